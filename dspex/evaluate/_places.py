"""Who of those that have begun something is at work: the places of an evaluation. Pure."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

W = TypeVar("W", bound=Hashable)

CROWD: Final = 4
"""Times the width: as many may have begun, those included that rest."""


class Places(Generic[W]):
    """`width` places. Whose work rests gives its place to another, and takes one again, before anything new is begun,
    when its work could go on.

    The laws (a Hypothesis machine proves them): never more than `width` are at work, but for those who insisted and
    after the width was lowered; never have more than `CROWD` times the width begun; whoever could go on does so in
    the order of coming, as soon as there is a place.
    """

    __slots__ = ("_begun", "_held", "_resting", "_waiting", "width")

    def __init__(self, width: int) -> None:
        if width < 1:
            raise ValueError("num_workers must be 1 or more")
        self.width = width
        self._begun: set[W] = set()
        self._resting: set[W] = set()
        self._waiting: dict[W, None] = {}
        self._held = 0

    @property
    def in_flight(self) -> int:
        """How many have begun and are not over, at work or not."""
        return len(self._begun) + self._held

    @property
    def at_work(self) -> int:
        """How many places are taken."""
        return len(self._begun) - len(self._resting) + self._held

    @property
    def room(self) -> int:
        """How many may begin now."""
        return max(0, min(self.width - self.at_work, CROWD * self.width - len(self._begun)))

    @property
    def useful(self) -> int:
        """With how many who could begin something all places would be taken."""
        return min(CROWD * self.width, self.width + len(self._resting))

    def begin(self, who: W) -> None:
        """Take a place. There must be `room`."""
        self._begun.add(who)

    def end(self, who: W) -> None:
        """What it had begun is over, whatever it was doing."""
        self._begun.discard(who)
        self._resting.discard(who)
        self._waiting.pop(who, None)

    def hold(self) -> None:
        """One place stays taken, though by nobody, until `release`."""
        self._held += 1

    def release(self) -> None:
        self._held -= 1

    def rest(self, who: W) -> None:
        """Its work waits for something: its place is free. Nothing happens if it has begun nothing."""
        if who in self._begun:
            self._resting.add(who)

    def back(self, who: W) -> bool:
        """Its work could go on. True: it does; False: it waits for its `turn`."""
        if who not in self._resting:
            return True
        if self.at_work < self.width:
            self._resting.discard(who)
            return True
        self._waiting[who] = None
        return False

    def turn(self) -> W | None:
        """Who of those that wait goes on now, as there is a place; None if there is none or nobody waits."""
        if not self._waiting or self.at_work >= self.width:
            return None
        who = next(iter(self._waiting))
        self.insist(who)
        return who

    def insist(self, who: W) -> bool:
        """It has waited for long enough, and goes on whether there is a place or not. False if it did not wait."""
        if who not in self._waiting:
            return False
        del self._waiting[who]
        self._resting.discard(who)
        return True

    def clear(self) -> None:
        """All is over."""
        self._begun.clear()
        self._resting.clear()
        self._waiting.clear()
        self._held = 0
