"""The counters of every actor in a tree, for a view that is drawn again and again: a tenth of what `tree` costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from actors import ActorRef, Look, look
from supervision._published import published, supervisor_of
from supervision._tree import absent_state, own_state, state_of

__all__ = ["Counters", "counters"]


class Counters(NamedTuple):
    """One actor: its number (None while it is not there), and what `tree` shows under the same names.

    `busy` are the seconds for which it has been handling its message, None if it handles none.
    """

    path: str
    actor: int | None
    state: str
    handled: int
    mailbox: int
    busy: float | None
    restarts: int


def counters(root: ActorRef[Any]) -> Iterator[Counters]:
    """`root` and all actors under it, parents first.  Any thread; asks nobody, as `tree`."""
    seen = look(root)
    supervisor = supervisor_of(root)
    path = supervisor.path if supervisor is not None else str(root.name or root)
    now = root.scheduler.clock.time()
    yield Counters(path, root.id, own_state(root, seen), seen.handled, seen.mailbox, _busy(seen, now), 0)
    yield from _below(root, path, now)


def _below(ref: ActorRef[Any], path: str, now: float) -> Iterator[Counters]:
    table = published(ref)
    if table is None:
        return
    for child in list(table.rows.values()):  # one step for the interpreter: no row is added or removed meanwhile
        name = f"{path}/{child.label}"
        below: ActorRef[Any] | None = child.ref
        if below is None:
            yield Counters(name, None, state_of(child, table, now, absent_state(child)), 0, 0, None, child.restarts)
            continue
        seen = look(below)
        state = state_of(child, table, now, own_state(below, seen))
        yield Counters(name, below.id, state, seen.handled, seen.mailbox, _busy(seen, now), child.restarts)
        if published(below) is not None:
            yield from _below(below, name, now)


def _busy(seen: Look, now: float) -> float | None:
    return None if seen.message is None or seen.since is None else round(now - seen.since, 6)
