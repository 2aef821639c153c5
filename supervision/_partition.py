"""PartitionSupervisor: the same child several times over, and a key decides which one serves it."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from hashlib import blake2b
from typing import Any

from actors import ActorRef
from supervision._errors import ChildNotFoundError, ChildRestartingError, SpecError
from supervision._published import published, supervisor_of
from supervision._spec import ChildSpec, Start, SupervisorSpec
from supervision._supervisor import Supervisor

__all__ = ["PartitionSupervisor", "partition_of"]


def partition_of(key: object, partitions: int) -> int:
    """Which of `partitions` serves `key`: the same in every process and on every machine.

    Whole numbers go by remainder of their absolute value; strings, bytes, other numbers, None and tuples of these by a
    hash.  TypeError for anything else, whose text could differ from run to run.
    """
    if isinstance(key, int):
        return abs(key) % partitions
    _check_key(key)
    return int.from_bytes(blake2b(repr(key).encode(), digest_size=8).digest()) % partitions


def _check_key(key: object) -> None:
    if isinstance(key, tuple):
        for part in key:
            _check_key(part)
    elif key is not None and type(key) not in (str, bytes, float, int, bool):
        raise TypeError(f"a partition key is a str, bytes, number, None or a tuple of these, not {key!r}")


class PartitionSupervisor(Supervisor):
    """`partitions` equal children with the ids 0, 1, 2..., under one_for_one (Elixir's module).

    `child` is their spec (its id is not used).  `with_arguments(args, n)` may give the n-th one other arguments.
    `PartitionSupervisor.route(sup, key)` is the child that serves `key`.
    """

    def __init__(
        self,
        child: ChildSpec,
        *,
        partitions: int | None = None,
        with_arguments: Callable[[tuple[Any, ...], int], tuple[Any, ...]] | None = None,
        id: Hashable = "partitions",
        **flags: Any,
    ) -> None:
        number = partitions if partitions is not None else os.cpu_count() or 1
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise SpecError("partitions", partitions, "a whole number from 1 up")
        if flags.get("strategy", "one_for_one") != "one_for_one":
            raise SpecError("strategy", flags["strategy"], "one_for_one in a PartitionSupervisor")
        start = child.start

        def begin(n: int) -> Start:
            args = start.args if with_arguments is None else tuple(with_arguments(start.args, n))
            return Start(start.target, args, start.kwargs)

        children = [child.change(id=n, start=begin(n)) for n in range(number)]
        super().__init__(SupervisorSpec(*children, id=id, **flags))
        self.partitions = number

    @staticmethod
    def route(sup: ActorRef[Any], key: object) -> ActorRef[Any]:
        """The child that serves `key`, without asking anybody.  It may end before it is used, like any actor.

        ChildNotFoundError: the supervisor has ended.  ChildRestartingError: the partition is down at the moment.
        """
        supervisor = supervisor_of(sup)
        table = published(sup)
        if table is None or not isinstance(supervisor, PartitionSupervisor):
            raise ChildNotFoundError(key)
        number = partition_of(key, supervisor.partitions)
        child = table.rows.get(number)
        if child is None or child.ref is None:
            raise ChildRestartingError(number)
        ref: ActorRef[Any] = child.ref
        return ref

    @staticmethod
    def partitions_of(sup: ActorRef[Any]) -> int:
        """How many partitions there are; 0 if the supervisor has ended."""
        supervisor = supervisor_of(sup)
        return supervisor.partitions if isinstance(supervisor, PartitionSupervisor) else 0
