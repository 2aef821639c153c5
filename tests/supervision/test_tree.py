"""The tree is read from outside: nobody is asked, whoever is stuck is shown."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest

from actors import ActorRef, AsyncActor, Crash, Killed, Normal, Reply, Scheduler, Shutdown, ThreadActor
from actors.testing import VirtualClock, no_leaks, quiesce
from supervision import (
    Backoff,
    ChildSpec,
    Consequence,
    DynamicSupervisor,
    Node,
    Supervisor,
    SupervisorSpec,
    find_node,
    render_dot,
    render_json,
    render_mermaid,
    render_text,
    start_child,
    terminate_child,
    tree,
    walk,
    what_if,
    which_children,
)
from supervision.testing import ref_at


class Worker(AsyncActor):
    async def on_receive(self, message: Any) -> Any:
        if isinstance(message, Reply):
            await message
        if message == "crash":
            raise ValueError("bad")
        return message


class Stuck(ThreadActor):
    def __init__(self, begun: threading.Event, release: threading.Event) -> None:
        super().__init__()
        self.begun = begun
        self.release = release

    def on_receive(self, message: Any) -> None:
        self.begun.set()
        self.release.wait(10)


class SlowStart(AsyncActor):
    def __init__(self, release: Reply[None]) -> None:
        super().__init__()
        self.release = release

    async def on_start(self) -> None:  # type: ignore[override]
        await self.release


def node_at(root: ActorRef[Any], path: str, **options: Any) -> Node:
    node = find_node(tree(root, **options), path)
    assert node is not None
    return node


def small(**flags: Any) -> SupervisorSpec:
    return SupervisorSpec(
        SupervisorSpec(ChildSpec("a", Worker), ChildSpec("b", Worker, "transient"), id="lm", strategy="rest_for_one"),
        ChildSpec("dyn", (DynamicSupervisor, ("dyn",))),
        ChildSpec("w", Worker, "temporary"),
        id="root",
        **flags,
    )


def test_the_tree_is_json_and_has_every_node_with_its_path(scheduler: Scheduler) -> None:
    root = Supervisor.start_tree(small())
    seen = tree(root)
    assert json.loads(json.dumps(seen)) == seen
    assert [node["path"] for node in walk(seen)] == [
        "root",
        "root/lm",
        "root/lm/a",
        "root/lm/b",
        "root/dyn",
        "root/w",
    ]
    inner = find_node(seen, "root/lm")
    assert inner is not None
    assert (inner["kind"], inner["strategy"], inner["intensity"], inner["class"]) == (
        "supervisor",
        "rest_for_one",
        3,
        "Supervisor",
    )
    worker = find_node(seen, "root/lm/b")
    assert worker is not None
    assert (worker["kind"], worker["restart"], worker["state"]) == ("worker", "transient", "running")
    assert worker["module"].endswith("test_tree")
    assert find_node(seen, "root/nobody") is None


def test_a_busy_actor_is_shown_with_message_time_mail_and_stack(scheduler: Scheduler) -> None:
    root = Supervisor.start_tree(small())
    release: Reply[None] = Reply()
    ref = ref_at(root, "root/lm/a")
    ref.tell(release)
    ref.tell("next")
    quiesce(scheduler)
    node = node_at(root, "root/lm/a", stacks=True)
    assert node["busy"]["message"] == "Reply"
    assert node["busy"]["seconds"] >= 0
    assert "on_receive" in node["busy"]["stack"]
    assert node["mailbox"] == 1
    release.set(None)


def test_a_supervisor_that_waits_for_a_stuck_child_is_shown_and_does_not_hold_up_the_view(
    scheduler: Scheduler,
) -> None:
    begun, release, slow = threading.Event(), threading.Event(), Reply[None]()
    stuck = ChildSpec("stuck", (Stuck, (begun, release)), shutdown="infinity")
    root = Supervisor.start_tree(SupervisorSpec(stuck, id="root"))
    ref_at(root, "root/stuck").tell("x")
    assert begun.wait(5)
    starting = start_child(root, ChildSpec("slow", (SlowStart, (slow,))))
    quiesced = which_children(root)
    shown = node_at(root, "root")
    while shown["busy"] is None:
        shown = node_at(root, "root")
    assert shown["busy"]["message"] == "StartChild"
    assert node_at(root, "root/stuck")["busy"]["message"] == "str"
    assert not quiesced.done()
    release.set()
    slow.set(None)
    starting.get(timeout=5)


def test_a_child_in_its_start_is_starting(scheduler: Scheduler) -> None:
    begun: list[Reply[None]] = [Reply.of(None), Reply()]

    async def start() -> Any:
        return await SlowStart.start_link(begun.pop(0))

    root = Supervisor.start_tree(SupervisorSpec(ChildSpec("s", start), id="root"))
    gate = begun[0]
    ref_at(root, "root/s").kill()
    quiesce(scheduler)
    assert node_at(root, "root/s")["state"] == "starting"
    gate.set(None)
    quiesce(scheduler)
    assert node_at(root, "root/s")["state"] == "running"


def test_restarts_last_exit_and_uptime_are_told() -> None:
    clock = VirtualClock()
    with no_leaks(), Scheduler(clock=clock):
        root = Supervisor.start_tree(small())
        clock.advance(10.0)
        ref_at(root, "root/lm/a").tell("crash")
        clock.advance(2.0)
        node = node_at(root, "root/lm/a")
        assert (node["restarts"], node["uptime"], node["last_exit"]) == (1, 2.0, "ValueError: bad")
        assert node_at(root, "root/lm")["restarts_in_window"] == 1
        assert node_at(root, "root/lm")["uptime"] == 12.0
        clock.advance(10.0)
        assert node_at(root, "root/lm")["restarts_in_window"] == 0


def test_a_child_that_waits_for_its_restart_says_how_many_of_how_many() -> None:
    with no_leaks(), Scheduler(clock=VirtualClock()) as scheduler:
        root = Supervisor.start_tree(SupervisorSpec(ChildSpec("w", Worker), id="root", intensity=5, backoff=Backoff()))
        ref_at(root, "root/w").tell("crash")
        quiesce(scheduler)
        assert node_at(root, "root/w")["state"] == "restarting 1 of 5"


def test_a_child_that_keeps_dying_of_the_same_crash_is_crash_looping(scheduler: Scheduler) -> None:
    root = Supervisor.start_tree(SupervisorSpec(ChildSpec("w", Worker), id="root", intensity=9, period=3600))
    for _ in range(3):
        ref_at(root, "root/w").tell("crash")
        quiesce(scheduler)
    assert node_at(root, "root/w")["state"] == "crash-looping"


def test_suspended_and_terminated_children_are_shown_as_such(scheduler: Scheduler) -> None:
    root = Supervisor.start_tree(SupervisorSpec(ChildSpec("a", Worker), ChildSpec("b", Worker), id="root"))
    ref_at(root, "root/a").suspend()
    terminate_child(root, "b").get(timeout=5)
    quiesce(scheduler)
    assert node_at(root, "root/a")["state"] == "suspended"
    assert node_at(root, "root/b")["state"] == "terminated"


def test_a_child_whose_code_cannot_be_ended_is_fenced_until_it_returns(scheduler: Scheduler) -> None:
    begun, release = threading.Event(), threading.Event()
    spec = ChildSpec("s", (Stuck, (begun, release)), "transient", "brutal_kill")
    root = Supervisor.start_tree(SupervisorSpec(spec, id="root"))
    ref = ref_at(root, "root/s")
    thread = next(thread for thread in threading.enumerate() if thread.name == str(ref))
    ref.tell("x")
    assert begun.wait(5)
    terminate_child(root, "s").get(timeout=5)
    assert node_at(root, "root/s")["state"] == "fenced"
    release.set()
    thread.join(5)
    assert node_at(root, "root/s")["state"] == "terminated"


def test_the_tree_of_a_worker_and_of_a_dead_root_is_one_node(scheduler: Scheduler) -> None:
    ref = Worker.start()
    assert tree(ref)["state"] == "running"
    ref.kill()
    ref.down().get(timeout=5)
    assert (tree(ref)["state"], tree(ref)["last_exit"]) == ("terminated", "killed")


def test_the_tree_can_be_read_while_it_changes(scheduler: Scheduler) -> None:
    sup = DynamicSupervisor.start_link("d", intensity=10**6).get(timeout=5)
    assert sup is not None
    replies = [start_child(sup, ChildSpec("w", Worker)) for _ in range(500)]
    while not replies[-1].done():
        tree(sup)
    assert len(tree(sup)["children"]) == 500


# ---- rendering


def test_text_has_a_line_for_each_node_under_its_parent(scheduler: Scheduler) -> None:
    root = Supervisor.start_tree(small())
    lines = render_text(tree(root)).splitlines()
    assert [line.split("  ")[0].rstrip() for line in lines[:2]] == ["root", "├─ lm"]
    assert [line[: line.index("running")].rstrip() for line in lines] == [
        "root  [one_for_one]",
        "├─ lm  [rest_for_one]",
        "│  ├─ a  (Worker)",
        "│  └─ b  (Worker)",
        "├─ dyn  [dynamic]",
        "└─ w  (Worker)",
    ]


def sample() -> Node:
    leaf: Node = {
        "path": 'r/"x"',
        "id": '"x"',
        "name": None,
        "actor": 2,
        "kind": "worker",
        "module": "m",
        "class": "Generic<int>",
        "restart": "permanent",
        "significant": False,
        "shutdown": 5.0,
        "state": "restarting 2 of 5",
        "restarts": 2,
        "mailbox": 4,
        "handled": 9,
        "busy": {"message": "Forward", "seconds": 43.2},
        "uptime": None,
        "last_exit": "ValueError: two\nlines",
        "children": [],
    }
    top = {**leaf, "path": "r", "id": "r", "kind": "supervisor", "state": "running", "strategy": "one_for_all"}
    return {**top, "restarts": 0, "mailbox": 0, "busy": None, "uptime": 7300.0, "last_exit": None, "children": [leaf]}


def test_text_says_what_an_actor_is_at() -> None:
    assert render_text(sample()).splitlines() == [
        "r  [one_for_all]  running  up 2.0 h",
        '└─ "x"  (Generic<int>)  restarting 2 of 5  restarted 2x  4 waiting  handling Forward for 43 s'
        "  last exit: ValueError: two lines",
    ]


def test_json_is_the_tree() -> None:
    assert json.loads(render_json(sample())) == sample()


def test_dot_and_mermaid_have_every_node_and_edge_and_no_stray_quotes() -> None:
    dot = render_dot(sample())
    assert "n0 -> n1;" in dot
    assert '\\"x\\"\\n(Generic<int>)' in dot
    assert dot.count("{") == dot.count("}") == 1
    mermaid = render_mermaid(sample())
    assert mermaid.startswith("graph TD\n")
    assert "n0 --> n1" in mermaid
    assert "&quot;x&quot;<br>(Generic&lt;int&gt;)" in mermaid


# ---- what if


@pytest.mark.parametrize(
    ("path", "reason", "stopped", "restarted"),
    [
        ("root/lm/a", None, ["b"], ["a", "b"]),
        ("root/lm/b", None, [], ["b"]),
        ("root/lm/b", Normal(), [], []),
        ("root/w", None, [], []),
        ("root/dyn", Killed(), [], ["dyn"]),
    ],
)
def test_what_a_crash_would_stop_and_restart(
    path: str, reason: Any, stopped: list[str], restarted: list[str], scheduler: Scheduler
) -> None:
    seen = what_if(tree(Supervisor.start_tree(small())), path, reason)
    assert [path.rsplit("/", 1)[-1] for path in seen.stopped] == stopped
    assert [path.rsplit("/", 1)[-1] for path in seen.restarted] == restarted
    assert not seen.root_ends


def test_a_crash_of_a_supervisor_takes_its_children_along_and_brings_them_back(scheduler: Scheduler) -> None:
    seen = what_if(tree(Supervisor.start_tree(small())), "root/lm", Shutdown())
    assert list(map(str, seen.consequences)) == [
        "root/lm crashes",
        "root/lm/b is stopped",
        "root/lm/a is stopped",
        "root/lm is started",
        "root/lm/a is started",
        "root/lm/b is started",
    ]


def test_a_crash_too_many_escalates_to_the_root(scheduler: Scheduler) -> None:
    root = Supervisor.start_tree(small(intensity=0))
    for _ in range(3):
        ref_at(root, "root/lm/b").kill()
        quiesce(scheduler)
    seen = what_if(tree(root), "root/lm/b")
    assert Consequence("gives up", "root/lm") in seen.consequences
    assert Consequence("gives up", "root") in seen.consequences
    assert seen.root_ends
    assert str(seen).endswith("the whole tree ends")


def test_what_if_knows_that_dynamic_children_are_stopped_together_and_lost(scheduler: Scheduler) -> None:
    root = Supervisor.start_tree(SupervisorSpec(ChildSpec("dyn", (DynamicSupervisor, ("dyn",))), id="root"))
    sup = ref_at(root, "root/dyn")
    for _ in range(3):
        start_child(sup, ChildSpec("w", Worker)).get(timeout=5)
    first, second, third = (child["path"] for child in node_at(root, "root/dyn")["children"])
    assert what_if(tree(root), second).restarted == (second,)
    for _ in range(3):
        ref_at(root, first).kill()
        quiesce(scheduler)
        (first, *_) = (child["path"] for child in node_at(root, "root/dyn")["children"])
    second, third, first = (child["path"] for child in node_at(root, "root/dyn")["children"])
    assert list(map(str, what_if(tree(root), second).consequences)) == [
        f"{second} crashes",
        "root/dyn gives up",
        f"{third} is stopped",
        f"{first} is stopped",
        "root/dyn is started",
    ]


def test_what_if_knows_of_significant_children(scheduler: Scheduler) -> None:
    child = ChildSpec("main", Worker, "transient", significant=True)
    spec = SupervisorSpec(ChildSpec("side", Worker), child, id="root", auto_shutdown="any_significant")
    seen = what_if(tree(Supervisor.start_tree(spec)), "root/main", Normal())
    assert seen.stopped == ("root/side",)
    assert seen.root_ends


def test_what_if_says_exactly_what_then_happens(scheduler: Scheduler) -> None:
    root = Supervisor.start_tree(small())
    before = {node["path"]: node["actor"] for node in walk(tree(root))}
    expected = what_if(tree(root), "root/lm/a", Crash("x"))
    ref_at(root, "root/lm/a").kill()
    quiesce(scheduler)
    after = {node["path"]: node["actor"] for node in walk(tree(root))}
    assert {path for path in before if before[path] != after[path]} == set(expected.restarted)


def test_an_unknown_path_is_named(scheduler: Scheduler) -> None:
    with pytest.raises(KeyError, match="nobody"):
        what_if(tree(Supervisor.start_tree(small())), "root/nobody")


def test_reading_a_tree_needs_no_running_loop(scheduler: Scheduler) -> None:
    root = Supervisor.start_tree(small())
    begun, release = threading.Event(), threading.Event()

    async def hold() -> None:
        begun.set()
        release.wait(10)
        await asyncio.sleep(0)

    held = scheduler.submit(hold)
    assert begun.wait(5)
    assert len(list(walk(tree(root)))) == 6
    release.set()
    held.get(timeout=5)
