"""Callbacks see calls start and end, and never disturb them."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from dspex._settings import context
from dspex.callbacks import ACTIVE_CALL_ID, BaseCallback, active_callbacks, with_callbacks


class Recorder(BaseCallback):
    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        self.events.append(("start", call_id, ACTIVE_CALL_ID.get(), inputs))

    def on_module_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        self.events.append(("end", call_id, outputs, type(exception)))


class Program:
    def __init__(self, *callbacks: BaseCallback) -> None:
        self.callbacks = list(callbacks)

    @with_callbacks("module")
    def __call__(self, depth: int, **more: Any) -> int:
        return depth if depth == 0 else self(depth - 1)

    @with_callbacks("module")
    async def acall(self, *, value: int) -> int:
        if value < 0:
            raise ValueError("negative")
        return value


def test_start_and_end_carry_the_same_id_and_the_parent_is_the_outer_call() -> None:
    seen = Recorder()
    with context(callbacks=[seen]):
        assert Program()(1, extra="x") == 0
    outer, inner, inner_end, outer_end = seen.events
    assert outer[2] is None
    assert outer[3] == {"depth": 1, "extra": "x"}
    assert inner[2] == outer[1]
    assert inner_end == ("end", inner[1], 0, type(None))
    assert outer_end[1] == outer[1]
    assert ACTIVE_CALL_ID.get() is None


def test_callbacks_of_the_settings_and_of_the_instance_both_fire() -> None:
    shared, own = Recorder(), Recorder()
    with context(callbacks=[shared]):
        Program(own)(0)
    assert len(shared.events) == len(own.events) == 2


def test_an_exception_is_seen_and_still_raised() -> None:
    seen = Recorder()
    with pytest.raises(ValueError, match="negative"):
        asyncio.run(Program(seen).acall(value=-1))
    assert seen.events[-1][2:] == (None, ValueError)
    assert asyncio.run(Program(seen).acall(value=2)) == 2
    assert seen.events[-1][2] == 2


def test_a_callback_that_raises_is_logged_and_the_call_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(BaseCallback):
        def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
            raise RuntimeError("observer")

    seen = Recorder()
    with caplog.at_level(logging.ERROR):
        assert Program(Broken(), seen)(0) == 0
    assert "on_module_start" in caplog.text
    assert len(seen.events) == 2


def test_without_callbacks_nothing_is_active() -> None:
    assert active_callbacks(Program()) == ()
