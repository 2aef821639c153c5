"""Specs are data: checked when they are made, printable without starting anything."""

from __future__ import annotations

import math
from typing import Any

import pytest

from actors import AsyncActor
from supervision import (
    Backoff,
    BadCombinationError,
    ChildSpec,
    DuplicateChildError,
    DynamicSupervisor,
    PartitionSupervisor,
    SpecError,
    Start,
    Supervisor,
    SupervisorFlags,
    SupervisorSpec,
    TaskSupervisor,
)


class Worker(AsyncActor):
    pass


def test_defaults_are_those_of_otp() -> None:
    worker = ChildSpec("w", Worker)
    assert (worker.restart, worker.shutdown, worker.type, worker.significant) == ("permanent", 5.0, "worker", False)
    below = ChildSpec("s", (DynamicSupervisor, ("d",)))
    assert (below.type, below.shutdown) == ("supervisor", "infinity")
    flags = SupervisorFlags()
    assert (flags.strategy, flags.intensity, flags.period, flags.auto_shutdown) == ("one_for_one", 3, 5.0, "never")
    assert flags.backoff is None


@pytest.mark.parametrize("kind", [Supervisor, DynamicSupervisor, PartitionSupervisor, TaskSupervisor])
def test_a_child_that_supervises_is_recognised_by_its_class(kind: Any) -> None:
    assert ChildSpec("s", (kind, ())).type == "supervisor"


@pytest.mark.parametrize(
    ("field", "value", "options"),
    [
        ("id", None, {"id": None}),
        ("id", [], {"id": []}),
        ("start", None, {"start": None}),
        ("start", (Worker, 1), {"start": (Worker, 1)}),
        ("restart", "always", {"restart": "always"}),
        ("shutdown", -1, {"shutdown": -1}),
        ("shutdown", "soon", {"shutdown": "soon"}),
        ("shutdown", True, {"shutdown": True}),
        ("type", "boss", {"type": "boss"}),
        ("significant", "yes", {"significant": "yes"}),
    ],
)
def test_a_wrong_value_in_a_child_spec_is_named_with_its_field(field: str, value: Any, options: Any) -> None:
    with pytest.raises(SpecError) as caught:
        ChildSpec(**{"id": "w", "start": Worker, **options})
    assert (caught.value.field, caught.value.value) == (field, value)
    assert field in str(caught.value)
    assert repr(value) in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("strategy", "two_for_one"),
        ("intensity", -1),
        ("intensity", 1.5),
        ("intensity", True),
        ("period", 0),
        ("period", "5"),
        ("auto_shutdown", "always"),
        ("backoff", 1.0),
        ("deterministic_after", 0),
    ],
)
def test_a_wrong_value_in_the_flags_is_named_with_its_field(field: str, value: Any) -> None:
    with pytest.raises(SpecError) as caught:
        SupervisorFlags(**{field: value})
    assert (caught.value.field, caught.value.value) == (field, value)


def test_a_flag_that_does_not_exist_is_named() -> None:
    with pytest.raises(SpecError, match="max_restarts"):
        SupervisorSpec(Worker, max_restarts=3)


@pytest.mark.parametrize(
    ("field", "value"),
    [("initial", 0), ("maximum", 0.01), ("multiplier", 0.5), ("jitter", 1.1), ("jitter", -0.1), ("reset_after", 0)],
)
def test_a_wrong_value_in_a_backoff_is_named(field: str, value: float) -> None:
    with pytest.raises(SpecError, match=f"backoff.{field}"):
        Backoff(**{field: value})


def test_infinite_seconds_are_infinity() -> None:
    assert ChildSpec("w", Worker, shutdown=math.inf).shutdown == "infinity"


def test_two_children_of_one_id_are_refused() -> None:
    with pytest.raises(DuplicateChildError) as caught:
        SupervisorSpec(ChildSpec("w", Worker), ChildSpec("w", Worker))
    assert caught.value.value == "w"


def test_a_significant_child_must_be_able_to_end_and_to_matter() -> None:
    with pytest.raises(BadCombinationError) as caught:
        ChildSpec("w", Worker, significant=True)
    assert (caught.value.other, caught.value.other_value) == ("restart", "permanent")
    child = ChildSpec("w", Worker, "transient", significant=True)
    with pytest.raises(BadCombinationError) as caught:
        SupervisorSpec(child)
    assert (caught.value.other, caught.value.other_value) == ("auto_shutdown", "never")
    SupervisorSpec(child, auto_shutdown="any_significant")


def test_simple_one_for_one_has_exactly_one_template() -> None:
    SupervisorSpec(Worker, strategy="simple_one_for_one")
    for children in ([], [ChildSpec("a", Worker), ChildSpec("b", Worker)]):
        with pytest.raises(SpecError, match="template"):
            SupervisorSpec(children, strategy="simple_one_for_one")


def test_a_child_may_be_a_class_a_spec_or_a_supervisor_and_nothing_else() -> None:
    spec = SupervisorSpec(Worker, ChildSpec("b", Worker), SupervisorSpec(id="c"))
    assert [child.id for child in spec.children] == ["Worker", "b", "c"]
    with pytest.raises(SpecError, match="child is 3"):
        SupervisorSpec(3)


def test_start_takes_arguments_and_keywords_in_a_tuple() -> None:
    assert Start.of((Worker, (1,), {"a": 2})) == Start(Worker, (1,), {"a": 2})
    assert Start.of((Worker, [1])) == Start(Worker, (1,))
    assert ChildSpec.of(Worker, 1, id="w", restart="transient").start.args == (1,)
    assert str(ChildSpec("w", (Worker, (1,), {"a": 2})).start) == "Worker(1, a=2)"


def test_a_spec_changes_into_another_one_that_is_checked_too() -> None:
    spec = ChildSpec("w", Worker)
    assert spec.change(restart="temporary") == ChildSpec("w", Worker, "temporary")
    assert spec.restart == "permanent"
    with pytest.raises(SpecError):
        spec.change(restart="never")


def test_a_whole_tree_prints_without_being_started() -> None:
    spec = SupervisorSpec(
        SupervisorSpec(ChildSpec("cache", Worker), id="lm", strategy="rest_for_one"),
        ChildSpec("log", Worker, "transient", "brutal_kill"),
        id="root",
        intensity=10,
    )
    assert str(spec).splitlines() == [
        "root [one_for_one, 10 restarts in 5 s]",
        "  lm [rest_for_one, 3 restarts in 5 s]",
        "    cache Worker() [worker, permanent, shutdown 5 s]",
        "  log Worker() [worker, transient, shutdown brutal_kill]",
    ]
