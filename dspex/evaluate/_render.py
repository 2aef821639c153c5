"""An evaluation on the terminal: the bar while it runs, the table when it is done.

rich is imported when something is drawn, never before. `ProgressBar` draws nothing unless its file is a terminal.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import IO, Any

from ._outcomes import Failed, Outcome
from ._progress import Progress
from ._report import EvaluationResult

_CELL = 60  # characters of a value that a table shows
_PERIOD = 0.1  # seconds between two drawings


def progress_line(progress: Progress, now: float) -> str:
    """Score so far, failures, calls a second, tokens, cost and time left, in one line."""
    parts = []
    if progress.score is not None:
        parts.append(f"score {progress.score:.1f}")
    if progress.failed:
        worst = ", ".join(f"{count} {kind}" for kind, count in progress.counts.most_common(2))
        parts.append(f"{progress.failed} failed ({worst})")
    if progress.retries:
        parts.append(f"{progress.retries} retries")
    parts.append(_rate(progress, now))
    if progress.tokens:
        parts.append(f"{short(progress.tokens)} tokens")
    if progress.cost is not None:
        parts.append(f"${progress.cost:.4f}")
    eta = progress.eta(now)
    parts.append("waiting" if eta is None else f"{_duration(eta)} left")
    return " · ".join(parts)


def _rate(progress: Progress, now: float) -> str:
    """Calls a second, once there are any; else examples a second."""
    rate = progress.rate(now)
    if not progress.calls or not progress.done:
        return f"{rate:.1f}/s"
    return f"{rate * progress.calls / progress.done:.1f} calls/s"


class ProgressBar:
    """A bar that is redrawn at most ten times a second: ``update`` costs one comparison otherwise.

    A context manager; leaving it leaves the last state on the screen and the cursor below it.
    """

    def __init__(self, title: str, file: IO[str] | None = None) -> None:
        self._title = title
        self._file = sys.stderr if file is None else file
        self._live: Any = None
        self._bar: Any = None
        self._task: Any = None
        self._next = 0.0
        self._last: tuple[Progress, float] | None = None

    def __enter__(self) -> ProgressBar:
        if self._file.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("[bold]{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[line]}"),
                console=Console(file=self._file),
                auto_refresh=False,
            )
            self._task = self._bar.add_task(self._title, total=None, line="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            if self._last is not None:
                self._draw(*self._last)
            self._bar.stop()
            self._bar = None

    def update(self, progress: Progress, now: float) -> None:
        """Show the progress, if it is time to. ``now`` is on the progress's own clock."""
        if self._bar is None:
            return
        self._last = (progress, now)
        if now >= self._next or progress.done == progress.total:
            self._next = now + _PERIOD
            self._draw(progress, now)

    def show(self, done: int, total: int, line: str) -> None:
        """Show this, now."""
        if self._bar is not None:
            self._bar.update(self._task, total=total, completed=done, line=line)
            self._bar.refresh()

    def _draw(self, progress: Progress, now: float) -> None:
        self.show(progress.done, progress.total, progress_line(progress, now))


def show_result(result: EvaluationResult, rows: int | None = None, file: IO[str] | None = None) -> None:
    """Print the first ``rows`` examples (all, if None) as a table, and the summary."""
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    console = Console(file=sys.stdout if file is None else file)
    shown = result.outcomes if rows is None else result.outcomes[:rows]
    names = _columns(shown)
    table = Table(*(Column(Text(name)) for name in ("#", *names, result.metric_name)), show_lines=False)
    for outcome in shown:
        values = _values(outcome)
        table.add_row(
            str(outcome.index),
            *(Text(_clip(values.get(name, ""))) for name in names),
            Text(_verdict(outcome), style="red" if isinstance(outcome, Failed) else ""),
        )
    console.print(table)
    if len(shown) < len(result.outcomes):
        console.print(f"... and {len(result.outcomes) - len(shown)} more")
    console.print(Text(result.summary()))


def one_of_each(failures: tuple[Failed, ...]) -> list[Failed]:
    """The first failure of each kind."""
    first: dict[str, Failed] = {}
    for failure in failures:
        first.setdefault(failure.kind, failure)
    return list(first.values())


def _columns(outcomes: tuple[Outcome, ...]) -> list[str]:
    return list(dict.fromkeys(name for outcome in outcomes for name in _values(outcome)))


def _values(outcome: Outcome) -> dict[str, Any]:
    example = dict(outcome.example.items()) if hasattr(outcome.example, "items") else {"example": outcome.example}
    answer = outcome.prediction
    fields = dict(answer.items()) if hasattr(answer, "items") else ({} if answer is None else {"output": answer})
    return {**example, **{f"pred_{key}" if key in example else key: value for key, value in fields.items()}}


def _verdict(outcome: Outcome) -> str:
    return str(outcome.kind) if isinstance(outcome, Failed) else f"{outcome.score:g}"


def _clip(value: Any) -> str:
    text = "".join(char if char.isprintable() else "�" for char in " ".join(str(value).split()))
    return text if len(text) <= _CELL else text[: _CELL - 1] + "…"


def short(count: int) -> str:
    """A large number in a few characters."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return str(count)


def _duration(seconds: float) -> str:
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
