"""The pure decisions: what the recordings do not show."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from actors import Crash, ExitReason, Killed, Normal, Shutdown
from supervision import (
    Backoff,
    ChildNotFoundError,
    ChildSpec,
    ChildStartError,
    MaxChildrenError,
    SpecError,
    SupervisorFlags,
)
from supervision._dynamic_strategy import DynamicChildren, TemplateChildren
from supervision._strategy import OrderedChildren
from supervision._table import Emit, Failed, Ignored, Retry, Started, StartStep, StopAllStep, StopStep

BOOM = Crash("boom")


def nothing() -> None:
    """A start function that nobody calls."""


def spec(name: str, restart: Any = "permanent", **options: Any) -> ChildSpec:
    return ChildSpec(name, nothing, restart, **options)


class Stage:
    """Executes plans: refs are numbers, everything works at once unless told otherwise."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.reports: list[Any] = []
        self.retries: list[Retry] = []
        self.now = 0.0
        self.ref = 0
        self.starts: dict[str, list[Any]] = {}
        self.end: Callable[[Any], ExitReason] = lambda child: (
            Killed() if child.spec.shutdown == "brutal_kill" else Shutdown()
        )

    def run(self, plan: Generator[Any, Any, Any]) -> Any:
        outcome: Any = None
        while True:
            try:
                step = plan.send(outcome)
            except StopIteration as stop:
                return stop.value
            outcome = None
            match step:
                case StartStep(child):
                    self.done.append(f"start {child.label}")
                    planned = self.starts.get(child.spec.id, [])
                    self.ref += 1
                    outcome = planned.pop(0) if planned else Started(self.ref, self.now)
                case StopStep(child):
                    self.done.append(f"stop {child.label}")
                    outcome = self.end(child)
                case StopAllStep(children):
                    self.done.append("stop " + " ".join(child.label for child in children))
                    outcome = [self.end(child) for child in children]
                case Emit(report):
                    self.reports.append(report)
                case Retry():
                    self.retries.append(step)


def family(*specs: ChildSpec, random: float = 0.0, **flags: Any) -> tuple[OrderedChildren, Stage]:
    table, stage = OrderedChildren("sup", SupervisorFlags(**flags), specs, lambda: random), Stage()
    assert stage.run(table.boot()) is None
    stage.done.clear()
    return table, stage


def ref(table: Any, name: str) -> Any:
    return table.rows[name].ref


def test_an_exit_of_somebody_else_is_ignored() -> None:
    table, stage = family(spec("a"))
    assert stage.run(table.exited("stranger", BOOM, 0.0)) is None
    assert (stage.done, stage.reports) == ([], [])


def test_a_crash_touches_only_the_rows_that_the_strategy_names() -> None:
    for strategy, expected in [
        ("one_for_one", ["start b"]),
        ("rest_for_one", ["stop c", "start b", "start c"]),
        ("one_for_all", ["stop c", "stop a", "start a", "start b", "start c"]),
    ]:
        table, stage = family(spec("a"), spec("b"), spec("c"), strategy=strategy)
        assert stage.run(table.exited(ref(table, "b"), BOOM, 0.0)) is None
        assert stage.done == expected


def test_a_retry_that_was_called_off_does_nothing_even_if_the_child_restarts_again() -> None:
    table, stage = family(spec("a"), intensity=10)
    stage.starts["a"] = [Failed(BOOM)]
    stage.run(table.exited(ref(table, "a"), BOOM, 0.0))
    stale = stage.retries[-1]
    stage.run(table.terminate_child("a"))
    stage.run(table.restart_child("a"))
    stage.starts["a"] = [Failed(BOOM)]
    stage.run(table.exited(ref(table, "a"), BOOM, 0.0))
    stage.done.clear()
    stage.run(table.retry(stale.key, stale.ticket, 0.0))
    assert stage.done == []
    fresh = stage.retries[-1]
    stage.run(table.retry(fresh.key, fresh.ticket, 0.0))
    assert stage.done == ["start a"]


@pytest.mark.parametrize("strategy", ["one_for_one", "rest_for_one", "one_for_all"])
def test_a_restart_that_is_ignored_leaves_the_child_down_and_its_spec_in_place(strategy: Any) -> None:
    table, stage = family(spec("a"), spec("b"), strategy=strategy)
    stage.starts["b"] = [Ignored()]
    assert stage.run(table.exited(ref(table, "b"), BOOM, 0.0)) is None
    row = table.rows["b"]
    assert (row.ref, row.state, stage.retries) == (None, "down", [])
    assert stage.run(table.restart_child("b")) is not None


# ---- backoff


def test_without_backoff_a_child_is_restarted_at_once() -> None:
    table, stage = family(spec("a"))
    stage.run(table.exited(ref(table, "a"), BOOM, 0.0))
    assert (stage.done, stage.retries) == (["start a"], [])


def test_with_backoff_the_restart_waits_longer_each_time_and_counts_once() -> None:
    table, stage = family(spec("a"), intensity=3, period=100.0, backoff=Backoff(1.0, 60.0, jitter=0.0))
    for n in range(3):
        stage.run(table.exited(ref(table, "a"), BOOM, float(n)))
        assert table.rows["a"].state == "restarting"
        stage.run(table.retry("a", stage.retries[-1].ticket, float(n)))
        assert table.rows["a"].state == "running"
    assert [retry.delay for retry in stage.retries] == [1.0, 2.0, 4.0]
    assert table.history.count(3.0) == 3
    assert stage.run(table.exited(ref(table, "a"), BOOM, 3.0)) == Shutdown()


def test_with_backoff_a_failed_restart_counts_and_waits_again() -> None:
    table, stage = family(spec("a"), intensity=2, period=100.0, backoff=Backoff(1.0, 60.0, jitter=0.0))
    stage.starts["a"] = [Failed(BOOM), Failed(BOOM)]
    stage.run(table.exited(ref(table, "a"), BOOM, 0.0))
    assert stage.run(table.retry("a", stage.retries[-1].ticket, 1.0)) is None
    assert stage.run(table.retry("a", stage.retries[-1].ticket, 3.0)) is None
    assert [retry.delay for retry in stage.retries] == [1.0, 2.0, 4.0]
    assert stage.run(table.retry("a", stage.retries[-1].ticket, 7.0)) == Shutdown()


def test_a_child_that_has_run_long_enough_begins_again_with_the_shortest_delay() -> None:
    table, stage = family(spec("a"), intensity=9, backoff=Backoff(1.0, 60.0, jitter=0.0, reset_after=10.0))
    for now in (0.0, 1.0, 20.0):
        stage.now = now
        stage.run(table.exited(ref(table, "a"), BOOM, now))
        stage.run(table.retry("a", stage.retries[-1].ticket, now))
    assert [retry.delay for retry in stage.retries] == [1.0, 2.0, 1.0]


def test_with_backoff_the_group_stops_at_once_and_starts_together_later() -> None:
    table, stage = family(spec("a"), spec("b"), spec("c"), strategy="rest_for_one", backoff=Backoff())
    stage.run(table.exited(ref(table, "b"), BOOM, 0.0))
    assert stage.done == ["stop c"]
    assert [info.state for info in table.which_children()] == ["undefined", "restarting", "alive"]
    stage.run(table.retry("b", stage.retries[-1].ticket, 1.0))
    assert stage.done == ["stop c", "start b", "start c"]


# ---- fingerprints


def test_identical_crashes_within_the_period_are_reported_as_deterministic() -> None:
    table, stage = family(spec("a"), intensity=99, period=10.0, deterministic_after=3)
    for now in (0.0, 1.0, 2.0):
        stage.run(table.exited(ref(table, "a"), BOOM, now))
    assert [(report.identical, report.deterministic) for report in stage.reports] == [(1, False), (2, False), (3, True)]
    assert "deterministic" in str(stage.reports[-1])


def test_other_crashes_and_old_ones_are_not_counted_as_identical() -> None:
    table, stage = family(spec("a"), intensity=99, period=10.0, deterministic_after=2)
    for now, reason in [(0.0, BOOM), (1.0, Crash("other")), (2.0, Killed()), (11.5, BOOM)]:
        stage.run(table.exited(ref(table, "a"), reason, now))
    assert [report.identical for report in stage.reports] == [1, 1, 0, 1]
    assert not any(report.deterministic for report in stage.reports)


def test_crashes_of_one_type_at_different_places_are_different() -> None:
    def crash(line: int) -> Crash:
        return Crash("ValueError", "x", (("file.py", line, "f"),))

    table, stage = family(spec("a"), intensity=99, deterministic_after=2)
    for line in (1, 2, 1):
        stage.run(table.exited(ref(table, "a"), crash(line), 0.0))
    assert [report.identical for report in stage.reports] == [1, 1, 2]


# ---- what remains


def test_rows_keep_no_exceptions_alive() -> None:
    table, stage = family(spec("a", "transient"), intensity=99)
    stage.run(table.exited(ref(table, "a"), Crash.of(ValueError("big")), 0.0))
    last = table.rows["a"].last_exit
    assert isinstance(last, Crash)
    assert last.exception is None


def test_restarts_are_counted_for_each_child_that_was_started_again() -> None:
    table, stage = family(spec("a"), spec("b"), strategy="one_for_all", intensity=9)
    stage.run(table.exited(ref(table, "a"), BOOM, 0.0))
    stage.run(table.terminate_child("b"))
    stage.run(table.restart_child("b"))
    assert [child.restarts for child in table.rows.values()] == [1, 1]


def test_a_failed_first_start_stops_what_had_started_and_says_which_child_it_was() -> None:
    table, stage = OrderedChildren("sup", SupervisorFlags(), [spec("a"), spec("b"), spec("c")], lambda: 0.0), Stage()
    stage.starts["c"] = [Failed(BOOM)]
    reason = stage.run(table.boot())
    assert stage.done == ["start a", "start b", "start c", "stop b", "stop a"]
    assert str(reason) == "shutdown: failed to start child c: boom"


def test_a_change_of_specs_keeps_processes_and_order_as_otp_does() -> None:
    table, stage = family(spec("a"), spec("b"), spec("z"))
    before = ref(table, "b")
    table.change(SupervisorFlags(intensity=7), [spec("b", "transient"), spec("c")])
    assert list(table.rows) == ["b", "c", "a", "z"]
    assert ref(table, "b") == before
    assert table.rows["b"].spec.restart == "transient"
    assert [info.state for info in table.which_children()] == ["alive", "alive", "undefined", "alive"]
    assert stage.done == []
    with pytest.raises(SpecError):
        table.change(SupervisorFlags(), [spec("x"), spec("x")])
    assert list(table.rows) == ["b", "c", "a", "z"]
    assert table.flags.intensity == 7


# ---- dynamic


def dynamic(limit: int | None = None, **flags: Any) -> tuple[DynamicChildren, Stage]:
    return DynamicChildren("dyn", SupervisorFlags(**flags), lambda: 0.0, limit), Stage()


def test_dynamic_children_need_no_unique_ids_but_get_unique_labels() -> None:
    table, stage = dynamic()
    refs = [stage.run(table.start_child(spec("w"))) for _ in range(3)]
    assert [child.label for child in table.rows.values()] == ["w", "w#2", "w#3"]
    stage.run(table.terminate_child(refs[0]))
    stage.run(table.start_child(spec("w")))
    assert [child.label for child in table.rows.values()] == ["w#2", "w#3", "w"]


def test_children_that_are_being_restarted_count_for_the_limit_and_can_be_terminated_by_their_old_ref() -> None:
    table, stage = dynamic(1, intensity=9)
    old = stage.run(table.start_child(spec("w")))
    stage.starts["w"] = [Failed(BOOM)]
    stage.run(table.exited(old, BOOM, 0.0))
    assert table.count_children().active == 0
    with pytest.raises(MaxChildrenError):
        stage.run(table.start_child(spec("x")))
    stage.run(table.terminate_child(old))
    assert table.count_children().specs == 0
    stage.run(table.retry(stage.retries[-1].key, stage.retries[-1].ticket, 0.0))
    assert table.count_children().specs == 0
    with pytest.raises(ChildNotFoundError):
        stage.run(table.terminate_child(old))


def test_a_dynamic_child_whose_start_fails_or_ignores_leaves_nothing() -> None:
    table, stage = dynamic()
    stage.starts["w"] = [Failed(BOOM), Ignored()]
    with pytest.raises(ChildStartError):
        stage.run(table.start_child(spec("w")))
    assert stage.run(table.start_child(spec("w"))) is None
    assert table.count_children().specs == 0


def test_dynamic_children_are_stopped_together_and_each_bad_end_is_reported() -> None:
    table, stage = dynamic()
    for _ in range(2):
        stage.run(table.start_child(spec("w")))
    stage.end = lambda child: Normal()
    stage.run(table.stop())
    assert stage.done[-1] == "stop w w#2"
    assert [(report.context, report.child, report.count) for report in stage.reports] == [
        ("shutdown_error", 1, 1),
        ("shutdown_error", 2, 1),
    ]


def test_children_of_a_template_are_reported_together_under_its_id() -> None:
    table, stage = TemplateChildren("dyn", SupervisorFlags("simple_one_for_one"), spec("t"), lambda: 0.0), Stage()
    for name in "xy":
        stage.run(table.start_more((name,)))
    stage.end = lambda child: Killed()
    stage.run(table.stop())
    assert [(report.child, report.reason, report.count) for report in stage.reports] == [("t", Killed(), 2)]


def test_a_new_template_serves_the_restarts_to_come_with_the_old_arguments() -> None:
    table = TemplateChildren("dyn", SupervisorFlags("simple_one_for_one"), spec("t"), lambda: 0.0)
    stage = Stage()
    stage.run(table.start_more(("x",)))
    table.change_template(SupervisorFlags("simple_one_for_one"), spec("t", "temporary"))
    (child,) = table.rows.values()
    assert child.spec.restart == "temporary"
    assert child.spec.start.args == ("x",)
