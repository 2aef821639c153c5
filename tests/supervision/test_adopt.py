"""Adoption: a start function that returns an actor which runs already."""

from __future__ import annotations

from typing import Any

import pytest

from actors import ActorRef, AsyncActor, Crash, Scheduler, Shutdown
from actors.testing import await_down, quiesce
from supervision import (
    AdoptionError,
    ChildSpec,
    ChildStartError,
    DynamicSupervisor,
    Supervisor,
    SupervisorSpec,
    adopt,
    find_node,
    start_child,
    terminate_child,
    tree,
    which_children,
)


class Worker(AsyncActor):
    def __init__(self, traps: bool = False) -> None:
        super().__init__()
        self.trap_exit = traps
        self.seen: list[Any] = []

    def on_receive(self, message: Any) -> Any:
        self.seen.append(message)
        return list(self.seen)


def tree_of(*children: ChildSpec, scheduler: Scheduler) -> ActorRef[Any]:
    return Supervisor.start_tree(SupervisorSpec(*children, id="top"), scheduler=scheduler)


def once(ref: ActorRef[Any]) -> Any:
    """Adopts `ref`, and starts another one when that has ended."""
    return lambda: adopt(ref) if ref.is_alive() else Worker.start_link()


@pytest.mark.parametrize("traps", [False, True])
def test_an_adopted_actor_goes_on_and_ends_with_its_supervisor(scheduler: Scheduler, traps: bool) -> None:
    worker = Worker.start(traps)
    assert worker.ask("before") == ["before"]
    top = tree_of(ChildSpec("w", once(worker)), scheduler=scheduler)
    assert which_children(top).get()[0].ref is worker
    assert worker.ask("after") == ["before", "after"]
    top.stop()
    await_down(worker)
    assert isinstance(worker.exit_reason, Shutdown)


def test_an_adopted_actor_that_crashes_is_followed_by_another(scheduler: Scheduler) -> None:
    worker = Worker.start()
    top = tree_of(ChildSpec("w", once(worker)), scheduler=scheduler)
    worker.exit(Crash("test"))
    await_down(worker)
    quiesce(scheduler)
    (child,) = which_children(top).get()
    assert child.ref is not worker
    assert child.ref.is_alive()


def test_an_adopted_supervisor_brings_its_children_and_has_its_place_in_the_tree(scheduler: Scheduler) -> None:
    pools = DynamicSupervisor.start("pools")
    pool = start_child(pools, ChildSpec("pool", (DynamicSupervisor, ("pool",)))).get()
    worker = start_child(pool, ChildSpec("worker", Worker)).get()
    top = tree_of(ChildSpec("pools", lambda: adopt(pools), type="supervisor"), scheduler=scheduler)
    assert find_node(tree(top), "top/pools/pool/worker")["actor"] == worker.id  # type: ignore[index]
    assert [ref._process.path for ref in (pools, pool)] == ["top/pools", "top/pools/pool"]
    assert [ref._process.table.name for ref in (pools, pool)] == ["top/pools", "top/pools/pool"]
    terminate_child(top, "pools").get()
    assert not worker.is_alive()


def test_what_has_ended_or_has_a_parent_or_lives_elsewhere_is_not_adopted(scheduler: Scheduler) -> None:
    ended = Worker.start()
    ended.stop()
    top = tree_of(ChildSpec("w", Worker), scheduler=scheduler)
    (child,) = which_children(top).get()
    with Scheduler("other") as other:
        elsewhere = Worker.with_options(scheduler=other).start()
        for ref, why in ((ended, "ended"), (child.ref, "parent"), (elsewhere, "another scheduler")):
            with pytest.raises(ChildStartError, match=why):
                start_child(top, ChildSpec("new", lambda ref=ref: adopt(ref))).get()
    with pytest.raises(AdoptionError, match="only the start function"):
        adopt(child.ref)
