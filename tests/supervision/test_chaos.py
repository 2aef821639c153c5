"""Thousands of faults in a tree of 500 actors: nothing is lost, nothing is left over, every order is kept."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from actors import ActorRef, AsyncActor, Event, Scheduler
from actors.testing import VirtualClock, no_leaks, quiesce
from supervision import ChildSpec, Report, Supervisor, SupervisorSpec, find_node, stop_supervisor, tree, walk
from supervision.testing import Chaos, ref_at, refs_under

STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")
FOREVER: dict[str, Any] = {"intensity": 10**9, "period": 1e9}


class Ledger:
    """Who started and ended, in which order."""

    def __init__(self) -> None:
        self.stamp = itertools.count()
        self.started: dict[str, int] = {}
        self.ended: dict[str, int] = {}
        self.path_of: dict[str, str] = {}
        self.reports: list[Report] = []
        self.begun = self.finished = 0

    def on_actor(self, event: Event) -> None:
        if event.topic[-1] in ("ended", "crashed"):
            self.finished += 1
            path = self.path_of.get(event.metadata["actor"])
            if path is not None:
                self.ended[path] = next(self.stamp)
        elif event.topic[-1] == "started":
            self.begun += 1

    def on_report(self, event: Event) -> None:
        self.reports.append(event.metadata["report"])


class Leaf(AsyncActor):
    def __init__(self, ledger: Ledger, path: str) -> None:
        super().__init__()
        ledger.path_of[str(self.actor_ref)] = path
        self.ledger = ledger
        self.path = path

    def on_start(self) -> None:
        self.ledger.started[self.path] = next(self.ledger.stamp)

    def on_receive(self, message: Any) -> Any:
        return message


class TrappingLeaf(Leaf):
    def __init__(self, ledger: Ledger, path: str) -> None:
        super().__init__(ledger, path)
        self.trap_exit = True


class Branch(Supervisor):
    """A supervisor that notes when it starts."""

    def __init__(self, ledger: Ledger, spec: SupervisorSpec) -> None:
        super().__init__(spec)
        ledger.path_of[str(self.actor_ref)] = self.path
        self.ledger = ledger

    def init(self) -> SupervisorSpec:
        self.ledger.started[self.path] = next(self.ledger.stamp)
        return super().init()


def large_tree(ledger: Ledger) -> SupervisorSpec:
    """10 supervisors of 5 supervisors of 9 workers each: 510 actors under the root, all strategies at all levels."""

    def branch(path: str, number: int, children: list[ChildSpec]) -> ChildSpec:
        name = path.rsplit("/", 1)[-1]
        spec = SupervisorSpec(*children, id=name, strategy=STRATEGIES[number % 3], **FOREVER)
        return ChildSpec(name, (Branch, (ledger, spec)))

    def leaf(path: str, number: int) -> ChildSpec:
        kind = TrappingLeaf if number % 3 == 0 else Leaf
        shutdown: Any = "brutal_kill" if number % 4 == 3 else 5.0
        return ChildSpec(path.rsplit("/", 1)[-1], (kind, (ledger, path)), shutdown=shutdown)

    tops = []
    for a in range(10):
        middles = []
        for b in range(5):
            leaves = [leaf(f"root/a{a}/b{b}/c{c}", a + b + c) for c in range(9)]
            middles.append(branch(f"root/a{a}/b{b}", a + b, leaves))
        tops.append(branch(f"root/a{a}", a, middles))
    return SupervisorSpec(*tops, id="root", strategy="one_for_one", **FOREVER)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def forest(ledger: Ledger, clock: VirtualClock) -> Iterator[tuple[Scheduler, ActorRef[Any]]]:
    with no_leaks(), Scheduler("chaos", clock=clock, stall_after=30.0) as scheduler:
        scheduler.events.subscribe("actor", ledger.on_actor)
        scheduler.events.subscribe("supervisor", ledger.on_report)
        yield scheduler, Supervisor.start_tree(large_tree(ledger))


def check_whole(scheduler: Scheduler, root: ActorRef[Any], declared: set[str]) -> None:
    running = refs_under(root)
    assert set(running) == declared, "a child was lost, or one is there twice"
    assert set(running.values()) == set(scheduler.refs()), "an actor lives outside the tree"
    states = {node["state"] for node in walk(tree(root))}
    assert states <= {"running", "crash-looping"}


def check_order(root: ActorRef[Any], ledger: Ledger) -> None:
    """Under rest_for_one and one_for_all, a later child has always been started after the earlier ones."""
    for node in walk(tree(root)):
        if node["kind"] == "supervisor" and node["strategy"] != "one_for_one":
            stamps = [ledger.started[child["path"]] for child in node["children"]]
            assert stamps == sorted(stamps), node["path"]


def check_stops(struck: str, before: dict[str, int], root: ActorRef[Any], ledger: Ledger) -> None:
    """Siblings that a group restart stopped ended in reverse start order."""
    parent = struck.rsplit("/", 1)[0]
    node = find_node(tree(root), parent)
    if node is None or node["strategy"] == "one_for_one":
        return
    siblings = [child["path"] for child in node["children"] if child["path"] != struck]
    ends = [ledger.ended[path] for path in siblings if ledger.ended.get(path) != before.get(path)]
    assert ends == sorted(ends, reverse=True), struck


def test_after_each_of_a_thousand_faults_the_tree_is_whole_and_each_fault_is_reported_once(
    forest: tuple[Scheduler, ActorRef[Any]], ledger: Ledger, clock: VirtualClock
) -> None:
    scheduler, root = forest
    declared = set(refs_under(root))
    assert len(declared) == 511
    chaos = Chaos(root, seed=3, kinds=("crash", "kill"))
    for _ in range(1000):
        before, reports = dict(ledger.ended), len(ledger.reports)
        fault = chaos.strike()
        assert fault is not None
        quiesce(scheduler)
        new = [report for report in ledger.reports[reports:] if report.context == "child_terminated"]
        assert [(report.supervisor, report.child) for report in new] == [tuple(fault.path.rsplit("/", 1))]
        check_stops(fault.path, before, root, ledger)
    check_whole(scheduler, root, declared)
    check_order(root, ledger)
    assert {report.context for report in ledger.reports} == {"child_terminated"}


def test_after_thousands_of_overlapping_faults_the_tree_is_whole_and_in_order(
    forest: tuple[Scheduler, ActorRef[Any]], ledger: Ledger, clock: VirtualClock
) -> None:
    scheduler, root = forest
    declared = set(refs_under(root))
    chaos = Chaos(root, seed=11, hang_for=0.2)
    done = chaos.run(2000, every=0.002)
    while not done.done():
        clock.advance(0.05)
    assert len(done.get()) > 1900
    clock.advance(10.0)
    quiesce(scheduler)
    check_whole(scheduler, root, declared)
    check_order(root, ledger)
    counted = restarts_counted(root)
    assert sum(counted.values()) <= sum(1 for report in ledger.reports if report.context == "child_terminated")
    assert ledger.begun - ledger.finished == len(declared)


def restarts_counted(root: ActorRef[Any]) -> dict[str, int]:
    """The restarts in each living supervisor's window."""
    nodes = [node for node in walk(tree(root)) if node["kind"] == "supervisor"]
    return {node["path"]: node["restarts_in_window"] for node in nodes}


def test_the_same_seed_does_the_same_harm(scheduler: Scheduler) -> None:
    logs = []
    for _ in range(2):
        ledger = Ledger()
        root = Supervisor.start_tree(large_tree(ledger))
        chaos = Chaos(root, seed=5, kinds=("crash", "kill"))
        for _ in range(50):
            chaos.strike()
            quiesce(scheduler)
        logs.append([(fault.kind, fault.path) for fault in chaos.log])
        stop_supervisor(root).get(timeout=10)
    assert logs[0] == logs[1]


def test_a_hanging_actor_leaves_its_mail_until_the_time_is_over(
    forest: tuple[Scheduler, ActorRef[Any]], clock: VirtualClock
) -> None:
    scheduler, root = forest
    chaos = Chaos(root)
    chaos.hang("root/a0/b0/c0", 5.0)
    answer = ref_at(root, "root/a0/b0/c0").call("hello")
    clock.advance(4.9)
    quiesce(scheduler)
    assert not answer.done()
    shown = find_node(tree(root), "root/a0/b0/c0")
    assert shown is not None
    assert (shown["state"], shown["mailbox"]) == ("suspended", 1)
    clock.advance(0.2)
    assert answer.get(timeout=5) == "hello"


def test_a_slow_actor_works_between_pauses_and_recovers(
    forest: tuple[Scheduler, ActorRef[Any]], clock: VirtualClock
) -> None:
    scheduler, root = forest
    chaos = Chaos(root)
    chaos.slow("root/a0/b0/c0", 1.0, pause=0.1)
    ref = ref_at(root, "root/a0/b0/c0")
    first = ref.call(1)
    quiesce(scheduler)
    assert not first.done()
    clock.advance(2.0)
    assert first.get(timeout=5) == 1
    assert ref.ask(2, timeout=5) == 2


def test_what_is_not_chosen_is_spared(forest: tuple[Scheduler, ActorRef[Any]]) -> None:
    scheduler, root = forest
    chaos = Chaos(root, kinds=("kill",), choose=lambda path: path.startswith("root/a3/"))
    for _ in range(20):
        chaos.strike()
        quiesce(scheduler)
    counts = defaultdict(int)
    for fault in chaos.log:
        counts[fault.path.split("/")[1]] += 1
    assert set(counts) == {"a3"}
