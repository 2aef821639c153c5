"""An evaluation on the terminal: the bar while it runs, the table when it is done.

rich is imported when something is drawn, never before. `ProgressBar` draws nothing unless its file is a terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any

from ._line import SEPARATOR, Part, count_of, lay_out
from ._outcomes import Failed, Outcome
from ._progress import Progress
from ._report import EvaluationResult

_CELL = 60  # characters of a value that a table shows
_PERIOD = 0.1  # seconds between two drawings


def progress_parts(progress: Progress, now: float) -> list[Part]:
    """Score so far, failures, time left, calls a second, tokens, cost, retries: what matters most first."""
    parts: list[Part] = []
    if progress.score is not None:
        parts.append(f"score {progress.score:.1f}")
    if progress.failed:
        worst = ", ".join(f"{count} {kind}" for kind, count in progress.counts.most_common(2))
        parts.append((f"{progress.failed} failed", f"{progress.failed} failed ({worst})"))
    eta = progress.eta(now)
    parts.append("waiting" if eta is None else f"{_duration(eta)} left")
    parts.append(_rate(progress, now))
    if progress.tokens:
        parts.append(f"{short(progress.tokens)} tokens")
    if progress.cost is not None:
        parts.append(f"${progress.cost:.4f}")
    if progress.retries:
        parts.append(f"{progress.retries} retries")
    return parts


def _rate(progress: Progress, now: float) -> str:
    """Calls a second, once there are any; else examples a second."""
    rate = progress.rate(now)
    if not progress.calls or not progress.done:
        return f"{rate:.1f}/s"
    return f"{rate * progress.calls / progress.done:.1f} calls/s"


class ProgressBar:
    """A bar that is redrawn at most ten times a second: ``update`` costs one comparison otherwise.

    It takes the width that the terminal has: see `lay_out`. A context manager; leaving it leaves the last state on the
    screen and the cursor below it. A terminal that has gone away ends the drawing, not the work.
    """

    def __init__(self, title: str, file: IO[str] | None = None) -> None:
        self._title = title
        self._file = sys.stderr if file is None else file
        self._live: Any = None
        self._next = 0.0
        self._last: tuple[Progress, float] | None = None

    def __enter__(self) -> ProgressBar:
        if self._file.isatty():
            from rich.console import Console
            from rich.live import Live

            begun: Any = _Drawn(self._title, 0, None, ())
            self._live = Live(begun, console=Console(file=self._file), auto_refresh=False)
            self._attempt(self._live.start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None and self._last is not None:
            self._draw(*self._last)
        if self._live is not None:
            self._attempt(self._live.stop)
            self._live = None

    def update(self, progress: Progress, now: float) -> None:
        """Show the progress, if it is time to. ``now`` is on the progress's own clock."""
        if self._live is None:
            return
        self._last = (progress, now)
        if now >= self._next or progress.done == progress.total:
            self._next = now + _PERIOD
            self._draw(progress, now)

    def show(self, done: int, total: int | None, parts: Sequence[Part]) -> None:
        """Show this, now."""
        if self._live is not None:
            line = _Drawn(self._title, done, total, tuple(parts))
            self._attempt(lambda: self._live.update(line, refresh=True))

    def _draw(self, progress: Progress, now: float) -> None:
        self.show(progress.done, progress.total, progress_parts(progress, now))

    def _attempt(self, act: Callable[[], None]) -> None:
        try:
            act()
        except (OSError, ValueError):  # it was closed, or cannot write these letters
            live, self._live = self._live, None
            with suppress(OSError, ValueError):
                live.stop()  # what is printed goes past the bar again


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What rich draws, in the width that there is at that moment."""

    title: str
    done: int
    total: int | None
    parts: tuple[Part, ...]

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        from rich.progress_bar import ProgressBar as Cells
        from rich.table import Table
        from rich.text import Text

        line = lay_out(self.title, count_of(self.done, self.total), self.parts, options.max_width)
        grid = Table.grid(padding=(0, 1, 0, 0), pad_edge=False)
        row: list[Any] = [Text(line.title, style="bold")] if line.title else []
        if line.bar:
            row.append(Cells(total=self.total, completed=self.done, width=line.bar))
        text = line.text.replace(SEPARATOR, " | ") if options.ascii_only else line.text
        row.append(Text(text, no_wrap=True, overflow="crop"))
        for _ in row:
            grid.add_column(no_wrap=True)
        grid.add_row(*row)
        yield grid


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
