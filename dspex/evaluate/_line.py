"""What stands in a line of a terminal, by what matters most when it is narrow. Pure.

The bar goes first, then the title, then the parts from the last one on: count and percent are always there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SEPARATOR = " · "

_BAR = 24  # cells of the bar where there is room
_LEAST = 6  # of one that says anything

Part = str | tuple[str, str]
"""What is to be said: in short, and in full if there are two of it."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of at most the width that was given: title (or none), cells of a bar (or 0), text."""

    title: str
    bar: int
    text: str


def count_of(done: int, total: int | None) -> str:
    """`812/5000 16%`. It says 100% when all is done, not before."""
    if total is None:
        return ""
    return f"{done}/{total} {100 * done // total}%" if total else f"{done}/{total}"


def lay_out(title: str, count: str, parts: Sequence[Part], width: int) -> Line:
    """As much as there is room for, the first parts first; what is said in short is said in full if it fits."""
    offered = [(part, part) if isinstance(part, str) else part for part in parts]
    shown = [count] if count else []
    taken = 0
    for brief, _ in offered:
        if shown and len(SEPARATOR.join([*shown, brief])) > width:
            break
        shown.append(brief)
        taken += 1
    first = len(shown) - taken
    if taken == len(offered):
        for place, (_, full) in enumerate(offered[:taken], first):
            longer = [*shown[:place], full, *shown[place + 1 :]]
            if len(SEPARATOR.join(longer)) <= width:
                shown = longer
    text = SEPARATOR.join(shown)
    room = width - len(text)
    name = title if title and len(title) < room else ""
    room -= len(name) + 1 if name else 0
    bar = min(_BAR, room - 1)
    return Line(name, bar if bar >= _LEAST else 0, text)
