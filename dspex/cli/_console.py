"""What commands print: tables and text for people, JSON for programs.

NO_COLOR is honoured and pipes get no colour; both are rich's own behaviour.  Results go to standard output, everything
said about them to standard error.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = [
    "Columns",
    "ago",
    "console",
    "duration",
    "emit_facts",
    "emit_json",
    "emit_list",
    "errors",
    "fields",
    "money",
    "plural",
    "score",
    "size",
    "table",
]

Columns = Mapping[str, Callable[[Any], Any]]
"""The names of a table's columns, and what each shows of a record."""

_GAP = 2  # between two columns
_LONG = 24  # characters that a long column needs
_PIPE = 1000  # columns; a table asks for as many as it needs


def console() -> Console:
    """Standard output.  A pipe has no width: nothing is cut there."""
    terminal = sys.stdout.isatty()
    return Console(highlight=False, soft_wrap=not terminal, width=None if terminal else _PIPE)


def errors() -> Console:
    """Standard error."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def emit_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, default=str, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Sequence[str] = (), long: Sequence[str] = ()
) -> Table:
    """A plain table, without lines: it reads well and greps well.  Where there is too little room, cells of the `long`
    columns go on below; without any, all may."""
    drawn = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in right else "left"
        drawn.add_column(column, justify=justify, overflow="fold", no_wrap=bool(long) and column not in long)
    for row in rows:
        drawn.add_row(*map(_cell, row))
    return drawn


def _cell(value: Any) -> str:
    return "-" if value is None else str(value)


def emit_list(
    found: Sequence[Mapping[str, Any]],
    columns: Columns,
    *,
    empty: str,
    right: Sequence[str] = (),
    long: Sequence[str] = (),
    spare: Sequence[str] = (),
    as_json: bool,
) -> None:
    """All of `found`: as JSON or as a row for each; `empty` if there is none.

    On a terminal too narrow for the table the `spare` columns are left out, the first of them first.
    """
    if as_json:
        emit_json(found)
    elif found:
        out = console()
        cells = {name: [_cell(of(each)) for each in found] for name, of in columns.items()}
        for name in spare:
            if out.is_terminal and _least_width(cells, long) > out.width:
                del cells[name]
        out.print(table(list(cells), zip(*cells.values(), strict=True), right=right, long=long))
    elif empty:
        console().print(empty)


def _least_width(cells: Mapping[str, Sequence[str]], long: Sequence[str]) -> int:
    """How wide the table must be to read well: nobody reads a column of single words."""
    widths = {name: max(map(len, (name, *column))) for name, column in cells.items()}
    return sum(min(width, _LONG) if name in long else width for name, width in widths.items()) + _GAP * (len(cells) - 1)


def emit_facts(facts: Iterable[tuple[str, Any]], *, indent: int = 0) -> None:
    """What is known of one thing, a line each.  On a terminal long values go on below themselves."""
    found = [(name, _cell(value)) for name, value in facts]
    width = max((len(name) for name, _ in found), default=0)
    out = console()
    if not out.is_terminal:
        for name, value in found:
            out.print(f"{' ' * indent}{name:{width}}  {value}", markup=False)
        return
    drawn = Table.grid(padding=(0, _GAP, 0, 0))
    drawn.add_column(no_wrap=True)
    drawn.add_column(overflow="fold")
    for name, value in found:
        drawn.add_row(Text(" " * indent + name.ljust(width)), Text(value))
    out.print(drawn)


def fields(record: Any) -> dict[str, Any]:
    """A record of the store as JSON."""
    return {name: getattr(record, name) for name in record.__slots__}


def duration(seconds: float | None) -> str:
    """`0.3s`, `42s`, `3m07s`, `2h05m`, `3d04h`."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def ago(moment: float | None) -> str:
    """How long ago a time of the wall clock was."""
    return "-" if moment is None else duration(max(0.0, time.time() - moment))


def size(count: int | None) -> str:
    """Bytes, for people."""
    if count is None:
        return "-"
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def plural(number: int, noun: str) -> str:
    """`1 example`, `2,000 examples`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def score(percent: float | None) -> str:
    """A score in percent."""
    return "-" if percent is None else f"{percent:.2f}"


def money(usd: float | None) -> str:
    """US dollars; an unknown price is not 0."""
    return "unknown" if usd is None else f"${usd:.4f}"
