"""Each event to the consumer of its partition (GenStage's `PartitionDispatcher`)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from actors.stage._dispatcher import Consumer, Dispatcher, Step, SubscriptionError

__all__ = ["Hash", "PartitionDispatcher"]

Hash: TypeAlias = Callable[[Any], tuple[Any, Hashable] | None]
"""Event to (event to send, its partition), or None: nobody is to have it."""


@dataclass(slots=True)
class _Partition:
    consumer: Consumer | None = None
    demand: int = 0
    queue: deque[Any] = field(default_factory=deque)


class PartitionDispatcher(Dispatcher):
    """`partitions` names them, or is how many there are, named 0, 1, ...; one consumer each, which says
    `partition=` when it subscribes.

    Without a `hash` an event goes to partition `hash(event) % n`, which for strings differs between interpreters.
    A partition that has not asked holds its events back, whether it has a consumer or not, and so slows the others
    in the end: producers are asked for no more than all consumers together have asked for.
    """

    def __init__(self, partitions: int | Iterable[Hashable], hash: Hash | None = None) -> None:
        names = list(range(partitions)) if isinstance(partitions, int) else list(partitions)
        if not names:
            raise ValueError("a partition dispatcher needs at least one partition")
        if hash is None and names != list(range(len(names))):
            raise ValueError("partitions with names of their own need a hash function that returns these names")
        self._partitions: dict[Hashable, _Partition] = {name: _Partition() for name in names}
        self._name_of: dict[Consumer, Hashable] = {}
        self._hash = hash if hash is not None else self._spread
        self._waiting = 0  # asked of the producer for consumers, and not come yet
        self._pending = 0  # of that, asked for by consumers that have left

    @property
    def available(self) -> int:
        return self._waiting

    @property
    def held(self) -> int:
        return sum(len(partition.queue) for partition in self._partitions.values())

    def subscribe(self, consumer: Consumer, options: Mapping[str, Any]) -> Step:
        if "partition" not in options:
            raise SubscriptionError("a subscription to a partition dispatcher needs partition=")
        name = options["partition"]
        partition = self._partitions.get(name)
        if partition is None:
            raise SubscriptionError(f"there is no partition {name!r}, only {list(self._partitions)}")
        if partition.consumer is not None:
            raise SubscriptionError(f"partition {name!r} has a consumer already: {partition.consumer}")
        partition.consumer = consumer
        self._name_of[consumer] = name
        return Step()

    def cancel(self, consumer: Consumer) -> Step:
        name = self._name_of.pop(consumer)
        left, self._partitions[name] = self._partitions[name], _Partition()
        self._pending += left.demand
        # The events that it held back are lost with it; as many others may come instead.
        self._waiting += len(left.queue)
        return Step(demand=len(left.queue), discarded=list(left.queue))

    def ask(self, consumer: Consumer, count: int) -> Step:
        partition = self._partitions[self._name_of[consumer]]
        batch = [partition.queue.popleft() for _ in range(min(count, len(partition.queue)))]
        partition.demand += count - len(batch)
        already_asked = min(self._pending, count)
        self._pending -= already_asked
        demand = count - already_asked
        self._waiting += demand
        return Step(demand=demand, deliveries=[(consumer, batch)] if batch else [])

    def dispatch(self, events: Iterable[Any]) -> Step:
        left = list(events)
        now, left = left[: self._waiting], left[self._waiting :]
        step = Step(leftover=left)
        self._waiting -= len(now)
        batches: dict[Consumer, list[Any]] = {}
        for event in now:
            placed = self._hash(event)
            partition = self._partitions.get(placed[1]) if placed is not None else None
            if placed is None or partition is None:
                step.discarded.append(event)
            elif partition.demand:
                partition.demand -= 1
                batches.setdefault(partition.consumer, []).append(placed[0])
            else:
                partition.queue.append(placed[0])
        step.deliveries = list(batches.items())
        step.demand = len(step.discarded)  # the consumers wait for others in their place
        self._waiting += step.demand
        return step

    def _spread(self, event: Any) -> tuple[Any, Hashable]:
        return event, hash(event) % len(self._partitions)
