"""For tests of programs: a model that says what it is told, and a server that fails on demand."""

from ._answers import answer_to, value_of
from ._dummy import DummyLM
from ._faults import FAULTS, Chooser, Fault, Seen, always, at_random, first_attempts, none, script
from ._server import FaultServer

__all__ = [
    "Chooser",
    "DummyLM",
    "FAULTS",
    "Fault",
    "FaultServer",
    "Seen",
    "always",
    "answer_to",
    "at_random",
    "first_attempts",
    "none",
    "script",
    "value_of",
]
