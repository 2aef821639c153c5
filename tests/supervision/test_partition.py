"""Routing by key."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import ActorRef, AsyncActor, Scheduler
from actors.testing import quiesce
from supervision import (
    ChildNotFoundError,
    ChildRestartingError,
    ChildSpec,
    PartitionSupervisor,
    SpecError,
    delete_child,
    partition_of,
    stop_supervisor,
    terminate_child,
    which_children,
)


class Worker(AsyncActor):
    def __init__(self, *args: Any) -> None:
        super().__init__()
        self.args = args

    def on_receive(self, message: Any) -> Any:
        return self.args


def started(*args: Any, **options: Any) -> ActorRef[Any]:
    ref = PartitionSupervisor.start_link(ChildSpec.of(Worker, *args), **options).get(timeout=5)
    assert ref is not None
    return ref


@given(
    st.one_of(st.text(), st.binary(), st.integers(), st.floats(), st.none(), st.tuples(st.text())), st.integers(1, 9)
)
def test_every_key_has_one_partition(key: Any, partitions: int) -> None:
    number = partition_of(key, partitions)
    assert 0 <= number < partitions
    assert partition_of(key, partitions) == number


def test_a_key_goes_to_the_same_partition_in_every_process() -> None:
    keys = ["rag", ("a", 1), b"x", 2.5, None]
    code = f"from supervision import partition_of; print([partition_of(key, 1000) for key in {keys!r}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == str([partition_of(key, 1000) for key in keys])


def test_keys_spread_over_all_partitions() -> None:
    counts = [0] * 8
    for n in range(8000):
        counts[partition_of(f"key {n}", 8)] += 1
    assert min(counts) > 800


@pytest.mark.parametrize("key", [object(), ["list"], ("fine", object())])
def test_a_key_whose_text_may_vary_is_refused(key: Any) -> None:
    with pytest.raises(TypeError, match="partition key"):
        partition_of(key, 4)


def test_each_partition_may_get_arguments_of_its_own(scheduler: Scheduler) -> None:
    sup = started("base", partitions=3, with_arguments=lambda args, n: (*args, n))
    assert [PartitionSupervisor.route(sup, n).ask("?", timeout=5) for n in range(3)] == [
        ("base", 0),
        ("base", 1),
        ("base", 2),
    ]


def test_a_crash_of_one_partition_leaves_the_others_alone(scheduler: Scheduler) -> None:
    sup = started(partitions=3)
    before = [PartitionSupervisor.route(sup, n) for n in range(3)]
    before[1].kill()
    quiesce(scheduler)
    after = [PartitionSupervisor.route(sup, n) for n in range(3)]
    assert [a is b for a, b in zip(after, before, strict=True)] == [True, False, True]
    assert [info.id for info in which_children(sup).get(timeout=5)] == [2, 1, 0]


def test_a_partition_that_is_down_and_a_supervisor_that_has_ended_are_told(scheduler: Scheduler) -> None:
    sup = started(partitions=2)
    terminate_child(sup, 1).get(timeout=5)
    with pytest.raises(ChildRestartingError):
        PartitionSupervisor.route(sup, 1)
    stop_supervisor(sup).get(timeout=5)
    with pytest.raises(ChildNotFoundError):
        PartitionSupervisor.route(sup, 0)
    assert PartitionSupervisor.partitions_of(sup) == 0


@pytest.mark.parametrize(
    ("field", "options"), [("partitions", {"partitions": 0}), ("strategy", {"strategy": "one_for_all"})]
)
def test_a_wrong_option_is_named(field: str, options: Any) -> None:
    with pytest.raises(SpecError) as caught:
        PartitionSupervisor(ChildSpec("w", Worker), **options)
    assert caught.value.field == field


def test_a_partition_that_was_deleted_changes_the_place_of_no_other_key(scheduler: Scheduler) -> None:
    sup = started(partitions=4)
    places = {key: PartitionSupervisor.route(sup, key) for key in range(3)}
    terminate_child(sup, 3).get(timeout=5)
    delete_child(sup, 3).get(timeout=5)
    assert {key: PartitionSupervisor.route(sup, key) for key in range(3)} == places
    with pytest.raises(ChildRestartingError):
        PartitionSupervisor.route(sup, 3)
