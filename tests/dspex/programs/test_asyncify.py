from __future__ import annotations

import asyncio
import time

import pytest

import dspex
from dspex._settings import settings
from tests.dspex.programs.models import Answering


def test_a_module_is_awaited_or_called_as_one_likes(system: dspex.System) -> None:
    program = Answering()
    assert asyncio.run(dspex.asyncify(program)(question="q")).answer == "answer of q"  # type: ignore[arg-type]
    assert dspex.syncify(program) is program
    copy = dspex.syncify(program, in_place=False)
    assert copy is not program
    assert copy(question="q").answer == "answer of q"


def test_a_function_is_awaited_with_the_callers_settings(system: dspex.System) -> None:
    def blocks(question: str) -> tuple[str, int]:
        """Sleeps."""
        time.sleep(0.001)
        return question, settings.num_threads

    ask = dspex.asyncify(blocks)
    assert ask.__doc__ == "Sleeps."

    async def both() -> list[tuple[str, int]]:
        with dspex.context(num_threads=3):
            return await asyncio.gather(ask("a"), ask(question="b"))

    assert asyncio.run(both()) == [("a", 3), ("b", 3)]


def test_a_coroutine_function_is_called(system: dspex.System) -> None:
    async def ask(question: str) -> str:
        await asyncio.sleep(0)
        return question

    assert dspex.syncify(ask)("q") == "q"
    with pytest.raises(TypeError, match="a module or a coroutine function"):
        dspex.syncify(len)
