"""Programs that run: calls, spawned programs, composition."""

from dspex.programs._asyncify import asyncify, syncify
from dspex.programs._errors import DeadlineExceededError, ParallelError, ProgramStoppedError, SystemClosedError
from dspex.programs._metrics import ModuleMetrics
from dspex.programs._parameters import Parameters
from dspex.programs._program_ref import ProgramRef

__all__ = [
    "DeadlineExceededError",
    "ModuleMetrics",
    "ParallelError",
    "Parameters",
    "ProgramRef",
    "ProgramStoppedError",
    "SystemClosedError",
    "asyncify",
    "syncify",
]
