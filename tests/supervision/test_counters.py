"""The counters of a tree: what `tree` shows, for a view that is drawn again and again."""

from __future__ import annotations

from typing import Any

from actors import ActorRef, AsyncActor, Scheduler
from actors.testing import quiesce
from supervision import ChildSpec, Supervisor, SupervisorSpec, counters, start_child, terminate_child, tree, walk
from supervision.testing import ref_at


class Worker(AsyncActor):
    def on_receive(self, message: Any) -> Any:
        if message == "crash":
            raise ValueError("bad")
        return message


def shown(root: ActorRef[Any]) -> list[tuple[Any, ...]]:
    nodes = walk(tree(root))
    return [(n["path"], n["actor"], n["state"], n["handled"], n["mailbox"], n["restarts"]) for n in nodes]


def counted(root: ActorRef[Any]) -> list[tuple[Any, ...]]:
    return [(c.path, c.actor, c.state, c.handled, c.mailbox, c.restarts) for c in counters(root)]


def test_the_counters_are_those_that_the_tree_shows_of_every_actor_in_it(scheduler: Scheduler) -> None:
    inner = SupervisorSpec(*(ChildSpec(str(n), Worker) for n in range(3)), id="inner")
    root = Supervisor.start_tree(
        SupervisorSpec(ChildSpec("a", Worker), inner, ChildSpec("gone", Worker), id="top"), scheduler=scheduler
    )
    ref_at(root, "top/a").ask("hello")
    ref_at(root, "top/inner/1").tell("crash")
    terminate_child(root, "gone").get()
    start_child(root, ChildSpec("late", Worker)).get()
    ref_at(root, "top/late").suspend()
    quiesce(scheduler)
    ref_at(root, "top/late").tell("wait")
    assert counted(root) == shown(root)
    found = {each.path: each for each in counters(root)}
    assert (found["top/a"].handled, found["top/a"].busy) == (1, None)
    assert (found["top/inner/1"].restarts, found["top/inner/1"].state) == (1, "running")
    assert (found["top/gone"].actor, found["top/gone"].state) == (None, "terminated")
    assert (found["top/late"].state, found["top/late"].mailbox) == ("suspended", 1)
