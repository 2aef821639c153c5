"""What `dspex top` shows: the difference of two counts of everything.  Pure: counts in, a reading out.

It is worked out where the system runs, since only the few busiest actors of many are wanted: a system with a hundred
thousand of them sends twenty lines.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from supervision import Counters

__all__ = ["SORTS", "Counted", "reading"]

SORTS: Final = ("rate", "mailbox", "busy", "handled", "restarts")

_TOTALLED: Final = ("lm_calls", "total_tokens")  # of these a rate is shown as well


@dataclass(frozen=True, slots=True)
class Counted:
    """All counters at one `time` of the wall clock; `totals` are those of programs and pools."""

    time: float
    actors: Sequence[Counters]
    totals: Mapping[str, Any] = field(default_factory=dict)


def reading(before: Counted, now: Counted, sort: str, lines: int) -> dict[str, Any]:
    """What was done between two counts, with the `lines` actors that come first by `sort`, and the totals of all."""
    seconds = max(1e-6, now.time - before.time)
    earlier = {each.actor: each.handled for each in before.actors}
    # An actor that was started since has handled all that it has within this time.
    done = [each.handled - earlier.get(each.actor, 0) for each in now.actors]
    by = [(_order(each, sort), number) for each, number in zip(now.actors, done, strict=True)]
    first = heapq.nlargest(lines, range(len(by)), key=by.__getitem__)
    rates = {
        f"{key}_per_second": max(0.0, now.totals[key] - before.totals.get(key, 0)) / seconds
        for key in _TOTALLED
        if key in now.totals
    }
    totals = {
        "actors": len(now.actors),
        "handled": sum(each.handled for each in now.actors),
        "handled_per_second": sum(done) / seconds,  # by those that live: what ended took its counts with it
    }
    return {
        "time": now.time,
        "seconds": seconds,
        "totals": {**totals, **now.totals, **rates},
        "actors": [_row(now.actors[index], done[index] / seconds) for index in first],
        "hidden": max(0, len(now.actors) - lines),
    }


def _order(actor: Counters, sort: str) -> float:
    return 0.0 if sort == "rate" else float(getattr(actor, sort) or 0.0)


def _row(actor: Counters, rate: float) -> dict[str, Any]:
    return {
        "path": actor.path,
        "state": actor.state,
        "handled": actor.handled,
        "mailbox": actor.mailbox,
        "busy": actor.busy,
        "restarts": actor.restarts,
        "rate": rate,
    }
