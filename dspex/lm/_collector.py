"""Python's garbage collector, while calls are in flight by the thousand.

It looks for cycles after every so many new objects, 700 in Python 3.11. A call in flight holds a hundred, and none of
them is garbage: with a thousand calls at once, a third of all CPU time went into looking.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

OBJECTS = 50_000  # new objects between two looks: the call's share of them is then a twentieth
PYTHONS_OWN = 2_000  # no version of Python has a higher threshold by itself


def collect_seldom() -> Callable[[], None]:
    """Let the collector look less often; call what is returned to have it as it was.

    A threshold that somebody has chosen is left alone, and so is one that was changed meanwhile. With several systems
    the first to begin raises it and ends with it: the others run on, a little slower.
    """
    before = gc.get_threshold()
    if not 0 < before[0] <= PYTHONS_OWN:
        return _nothing
    raised = (OBJECTS, *before[1:])
    gc.set_threshold(*raised)

    def undo() -> None:
        if gc.get_threshold() == raised:
            gc.set_threshold(*before)

    return undo


def _nothing() -> None:
    """There is nothing to undo."""
