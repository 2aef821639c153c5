"""How programs get to run on a system: as supervised trees of their own, or as single requests."""

from __future__ import annotations

from types import CodeType
from typing import TYPE_CHECKING, Any

from actors import Reply
from dspex.programs._call import Call
from dspex.programs._program_ref import ProgramRef
from dspex.programs._spawn import program_tree
from dspex.system._lifetime import Lifetime
from supervision import start_child

if TYPE_CHECKING:
    from supervision import Strategy

__all__ = ["Spawner"]


class Spawner(Lifetime):
    """Programs and requests."""

    def request(self, call: Call) -> Reply[Any]:
        """Run the call of a module that is not spawned.  Any thread; never blocks."""
        requests = self._requests
        if requests is None or self._state != "running" or not self.scheduler.running:
            refusal = self.refusal()
            if refusal is not None or requests is None:
                return Reply.failed(refusal or self._closed("nothing runs on it"))
        return requests.call(call)

    def spawn(
        self,
        program: Any,
        *,
        name: str | None = None,
        strategy: Strategy = "one_for_one",
        intensity: int = 10,
        period: float = 5.0,
    ) -> ProgramRef:
        """Run a copy of `program` as a supervised tree: one actor for each module instance in it.

        `strategy` says which actors are restarted with one that has crashed; more than `intensity` restarts within
        `period` seconds end the program.  The original may be changed afterwards without effect: `update` changes
        the running one.  Waits until it runs; in a coroutine on the system's own loop, use `aspawn`.

        Raises:
            ValueError: a program of that name runs.
        """
        ref, started = self._begin(program, name, strategy, intensity, period)
        started.get()
        return ref

    async def aspawn(
        self,
        program: Any,
        *,
        name: str | None = None,
        strategy: Strategy = "one_for_one",
        intensity: int = 10,
        period: float = 5.0,
    ) -> ProgramRef:
        """`spawn`, awaited, on any event loop."""
        ref, started = self._begin(program, name, strategy, intensity, period)
        await started
        return ref

    def _begin(
        self, program: Any, name: str | None, strategy: Strategy, intensity: int, period: float
    ) -> tuple[ProgramRef, Reply[Any]]:
        if not self.accepting or self._programs is None:
            raise self._closed("nothing can be spawned on it")
        with self._lock:
            name = self._name_for(program, name)
            ref, spec = program_tree(self._whole, program, name, strategy, intensity, period)
            self.programs[name] = ref
        started = start_child(self._programs, spec)
        started.add_done_callback(ref.started)
        return ref, started

    def _name_for(self, program: Any, name: str | None) -> str:
        if name is None:
            base = type(program).__name__
            number = 1
            name = base
            while name in self.programs:
                number += 1
                name = f"{base}-{number}"
        elif name in self.programs:
            raise ValueError(
                f"A program named {name!r} runs on {self.name!r} already: stop it, or choose another name."
            )
        return name

    def forget(self, name: str) -> None:
        """A program has ended."""
        with self._lock:
            self.programs.pop(name, None)

    def watch_for_blocking(self, code: CodeType) -> None:
        """If this code is found to hold the loop, it is to run on threads from then on."""
        self.scheduler.suspects.add(code)
