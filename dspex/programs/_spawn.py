"""A program as a supervision tree: the spec of its supervisor, and the ref by which it is called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dspex.programs._actors import ModuleActor, SyncModuleActor
from dspex.programs._plan import Plan
from dspex.programs._program_ref import ProgramRef
from supervision import ChildSpec, SupervisorSpec

if TYPE_CHECKING:
    from dspex.system._system import System
    from supervision import Strategy

__all__ = ["program_tree"]


def program_tree(
    system: System, program: Any, name: str, strategy: Strategy, intensity: int, period: float
) -> tuple[ProgramRef, SupervisorSpec]:
    """The ref of a program about to be spawned, and what to start for it.

    The parts are started before what uses them, so that under `rest_for_one` a crash takes the users down too.
    """
    if not hasattr(program, "named_sub_modules"):
        raise TypeError(f"Only a Module can be spawned, not {type(program).__name__}.")
    plan = Plan(system, name, program.deepcopy())
    children = [
        ChildSpec(path, (SyncModuleActor if cell.sync else ModuleActor, (cell,)))
        for path, cell in reversed(plan.cells.items())
    ]
    spec = SupervisorSpec(
        *children, id=name, restart="temporary", strategy=strategy, intensity=intensity, period=period
    )
    return ProgramRef(plan), spec
