"""One lock for each key, given out in the order of asking and taken back when its holder ends."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from actors._entries import exact
from actors._local import current_actor
from actors._reply import Reply

if TYPE_CHECKING:
    from actors._links import Monitor
    from actors._ref import ActorRef

__all__ = ["KeyLock", "KeyLocks"]


class _Turn:
    """One asking for one lock.  Granted once, ended once."""

    __slots__ = ("ended", "granted", "monitor")

    def __init__(self) -> None:
        self.granted: Reply[None] = Reply()
        self.ended = False
        self.monitor: Monitor | None = None


class KeyLocks:
    """The locks of one registry.  A key costs nothing while nobody holds its lock."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._queues: dict[Hashable, deque[_Turn]] = {}

    def lock(self, key: Hashable) -> KeyLock:
        """The lock of `key`, to be used in `with` or `async with`."""
        return KeyLock(self, key)

    def ask(self, key: Hashable, holder: ActorRef[Any] | None) -> _Turn:
        """Queue up; `turn.granted` is set when it is this turn's turn."""
        turn = _Turn()
        name = exact(key)
        with self._mutex:
            queue = self._queues.setdefault(name, deque())
            queue.append(turn)
            first = queue[0] is turn
        if first:
            turn.granted.set(None)
        if holder is not None:
            turn.monitor = holder.monitor(lambda _: self.end(key, turn))
        return turn

    def end(self, key: Hashable, turn: _Turn) -> None:
        """Let go of the lock, or of the place in the queue.  Ending twice does nothing."""
        name = exact(key)
        with self._mutex:
            if turn.ended:
                return
            turn.ended = True
            queue = self._queues[name]
            was_first = queue[0] is turn
            queue.remove(turn)
            following = queue[0] if queue else None
            if following is None:
                del self._queues[name]
        if turn.monitor is not None:
            turn.monitor.cancel()
        if was_first and following is not None:
            following.granted.set(None)


class KeyLock:
    """One taking of the lock of one key.  Not reentrant: who holds it and asks again waits for ever."""

    __slots__ = ("_key", "_locks", "_turn")

    def __init__(self, locks: KeyLocks, key: Hashable) -> None:
        self._locks = locks
        self._key = key
        self._turn: _Turn | None = None

    def _ask(self) -> _Turn:
        if self._turn is not None:
            raise RuntimeError("a lock object is for one `with`: ask the registry for another one")
        actor = current_actor()
        self._turn = self._locks.ask(self._key, actor.actor_ref if actor is not None else None)
        return self._turn

    def _end(self) -> None:
        if self._turn is not None:
            self._locks.end(self._key, self._turn)

    def __enter__(self) -> None:
        turn = self._ask()
        try:
            turn.granted.get()
        except BaseException:
            self._end()
            raise

    def __exit__(self, *_: object) -> None:
        self._end()

    async def __aenter__(self) -> None:
        turn = self._ask()
        try:
            await turn.granted
        except BaseException:
            self._end()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._end()
