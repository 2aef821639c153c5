"""What an optimization run tells those who listen to its system's events; `run.retry` and `run.failure` come from its
evaluations (`dspex.evaluate._incidents`).

| topic | measurements | metadata |
|---|---|---|
| `run.started` | `examples` | `run`, `kind`, `program` |
| `run.progress` | `done`, `needed`, `in_flight`, `candidates`, `tokens`, `seconds`, `best` and `cost` if known | `run`, `phase` |
| `run.best` | `score` | `run`: a better candidate than all before |
| `run.paused`, `run.resumed` | | `run` |
| `run.finished` | `tokens`, `seconds`, `best` and `cost` if known | `run`, `state`, `stopped`, `error`, `failures` by kind |

`state` is that of the store: done, paused, cancelled or failed; `lost` if another process has taken the run over.
"""  # noqa: E501  a table

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dspex.evaluate._incidents import Incidents
from dspex.evaluate._listener import Listener
from dspex.evaluate._news import EVERY

if TYPE_CHECKING:
    from dspex.system import System

    from ._run_actor import RunStatus

__all__ = ["RunNews"]

PROGRESS = "run.progress"


class RunNews:
    """The events of one run.  `incidents` is the listener of its evaluations."""

    def __init__(self, system: System, run_id: str, kind: str, program: str, listener: Listener) -> None:
        self.incidents = Incidents(system, "run", run_id, program, listener)
        self._events = system.events
        self._time = system.scheduler.clock.time
        self._known = {"run": run_id}
        self._about = {"kind": kind, "program": program}
        self._begun = self._told_at = self._time()
        self._best: float | None = None

    def started(self, examples: int) -> None:
        """It is under way."""
        self._events.emit("run.started", {"examples": examples}, {**self._known, **self._about})

    def due(self) -> bool:
        """It is time for a word on the progress."""
        return self._time() - self._told_at >= EVERY and self._events.wants(PROGRESS)

    def moved(self, status: RunStatus) -> None:
        """So far it is."""
        self._told_at = self._time()
        figures: dict[str, float] = {
            name: getattr(status, name) for name in ("done", "needed", "in_flight", "candidates", "tokens", "seconds")
        }
        figures |= _known(best=status.best, cost=status.cost)
        self._events.emit(PROGRESS, figures, {**self._known, "phase": status.phase})

    def judged(self, best: float | None) -> None:
        """So good is the best candidate now."""
        if best is not None and (self._best is None or best > self._best):
            self._best = best
            self._events.emit("run.best", {"score": best}, self._known)

    def paused(self) -> None:
        """It hands out nothing more."""
        self._events.emit("run.paused", {}, self._known)

    def resumed(self) -> None:
        """It goes on."""
        self._events.emit("run.resumed", {}, self._known)

    def finished(
        self,
        state: str,
        stopped: str | None,
        error: BaseException | None,
        failures: Mapping[str, int],
        best: float | None,
        spent: tuple[int, float | None],
    ) -> None:
        """It has ended, for good or for now."""
        tokens, cost = spent
        figures: dict[str, float] = {"tokens": tokens, "seconds": self._time() - self._begun}
        about: dict[str, Any] = {"state": state, "stopped": stopped, "error": self.incidents.words(error)}
        self._events.emit(
            "run.finished",
            figures | _known(best=best, cost=cost),
            {**self._known, **about, "failures": dict(failures)},
        )


def _known(**figures: float | None) -> dict[str, float]:
    return {name: value for name, value in figures.items() if value is not None}
