"""A run that is waited for, in words: a line beside the bar on a terminal, a line a minute elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from actors import Timeout
from dspex.evaluate._line import Part
from dspex.evaluate._render import short

if TYPE_CHECKING:
    from ._run import OptimizationRun
    from ._run_actor import RunStatus

EVERY: Final = 60.0
"""Seconds between two lines."""

NOTABLE: Final = 5.0
"""Seconds after which an outage is worth a line: a breaker that opens for a second is not."""

_REDRAW = 0.2  # seconds between two looks at the progress while waiting
_GLANCE = 1.0  # seconds within which the progress must be told, or it is not shown

_FAILURES = {"connect": "it cannot be reached", "server": "its server fails", "timeout": "it does not answer in time"}


@dataclass(frozen=True, slots=True)
class EndpointOutage:
    """An endpoint whose breaker is open. ``trial`` is when it is tried next, in seconds of the wall's clock."""

    endpoint: str
    failure: str
    trial: float

    def in_words(self) -> str:
        """Which endpoint, why, and until when."""
        why = _FAILURES.get(self.failure, self.failure)
        return f"waits for {self.endpoint}, next trial at {_clock(self.trial)} ({why})"


def outages(pools: Iterable[Mapping[str, Any]], wall: float) -> list[EndpointOutage]:
    """The outages that the snapshots of a system's pools tell of. ``wall``: the time now, as of `time.time`."""
    return [
        EndpointOutage(pool["name"], str(pool["breaker_failure"]), wall + pool["breaker_retry_after"])
        for pool in pools
        if pool["breaker"] != "closed"
    ]


def run_line(status: RunStatus, out: Iterable[EndpointOutage] = ()) -> list[Part]:
    """What it does, the best score so far, failures, units of work a second, tokens, cost; what matters most first."""
    parts: list[Part] = [status.state] if status.state != "running" else []
    parts += [outage.in_words() for outage in out]
    if status.phase:
        parts.append(f"after {status.phase}")
    if status.best is not None:
        parts.append(f"best {status.best:.1f} of {status.candidates}")
    failed = sum(status.failures.values())
    if failed:
        worst = max(status.failures, key=lambda kind: status.failures[kind])
        parts.append((f"{failed} failed", f"{failed} failed (most: {worst})"))
    if status.seconds > 0:
        parts.append(f"{status.done / status.seconds:.1f}/s")
    if status.tokens:
        parts.append(f"{short(status.tokens)} tokens")
    if status.cost is not None:
        parts.append(f"${status.cost:.4f}")
    return parts


class RunLog:
    """What is written of a run where nothing can be drawn: a line at once and every minute, and one when an outage is
    waited out and when it is over.

    Pure: every ``now`` is in seconds of the wall's clock. ``patience`` is the run's own.
    """

    def __init__(self, run_id: str, patience: float) -> None:
        self._run = f"run {run_id}"
        self._patience = patience
        self._due: float | None = None
        self._since: dict[str, float] = {}
        self._told: set[str] = set()

    def due(self, now: float) -> bool:
        """It is time for a `line`."""
        return self._due is None or now >= self._due

    def line(self, status: RunStatus, now: float) -> str:
        """`run n-1: 107 steps done, best 46.7, $0.03`."""
        self._due = now + EVERY
        parts = [] if status.state == "running" else [status.state]
        parts.append(f"{status.done:,} {'step' if status.done == 1 else 'steps'} done")
        if status.reused:
            parts.append(f"{status.reused:,} known from its journal")
        if status.best is not None:
            parts.append(f"best {status.best:.1f}")
        failed = sum(status.failures.values())
        if failed:
            parts.append(f"{failed:,} failed")
        if status.cost is not None:
            parts.append(f"${status.cost:.2f}")
        return f"{self._run}: {', '.join(parts)}"

    def news(self, out: Iterable[EndpointOutage], now: float) -> list[str]:
        """What is to be said of these outages that was not said before."""
        open_now = {outage.endpoint: outage for outage in out}
        lines = [f"{self._run} goes on: {name} answers again" for name in sorted(self._told - open_now.keys())]
        self._told &= open_now.keys()
        self._since = {name: self._since.get(name, now) for name in open_now}
        for name, outage in open_now.items():
            if name not in self._told and now - self._since[name] >= NOTABLE:
                self._told.add(name)
                end = _clock(self._since[name] + self._patience)
                lines.append(f"{self._run} {outage.in_words()}; it is waited for until about {end}")
        return lines


def follow(run: OptimizationRun, pools: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
    """Show how far a run is until it has ended, on standard error: a bar on a terminal, else lines for a log."""
    show = _drawn(run, pools) if sys.stderr.isatty() else _written(run, pools)
    with show as look:
        while not run.wait(_REDRAW):
            look()


@contextmanager
def _drawn(run: OptimizationRun, pools: Callable[[], Iterable[Mapping[str, Any]]]) -> Iterator[Callable[[], None]]:
    from dspex.evaluate._render import ProgressBar

    with ProgressBar(run.run_id) as bar:

        def look() -> None:
            if (status := _glance(run)) is not None:
                bar.show(status.done, status.done + status.needed, run_line(status, outages(pools(), time.time())))

        yield look


@contextmanager
def _written(run: OptimizationRun, pools: Callable[[], Iterable[Mapping[str, Any]]]) -> Iterator[Callable[[], None]]:
    log = RunLog(run.run_id, run.options.patience)

    def look() -> None:
        now = time.time()
        lines = log.news(outages(pools(), now), now)
        if log.due(now) and (status := _glance(run)) is not None:
            lines.append(log.line(status, now))
        for line in lines:
            print(line, file=sys.stderr, flush=True)

    yield look


def _glance(run: OptimizationRun) -> RunStatus | None:
    """How far it is, if the loop is not held by something that does not give way."""
    try:
        return run.status(_GLANCE)
    except Timeout:
        return None


def _clock(wall: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(wall))
