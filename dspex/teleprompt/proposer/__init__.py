"""The grounded proposer of MIPROv2: instructions written by a model that has seen data, program and demonstrations."""

from ._grounded import GroundedProposer, Grounding
from ._tips import TIPS

__all__ = [
    "GroundedProposer",
    "Grounding",
    "TIPS",
]
