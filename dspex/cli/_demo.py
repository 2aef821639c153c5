"""The system that `dspex demo` runs: a program under load, on a stand-in for a language model, with crashes."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from actors import ActorCrashed
from dspex import Module, Predict, System
from dspex.lm import BaseLM

__all__ = ["run_demo"]

_IN_FLIGHT = 20
_CRASH_EVERY = 5.0


class StandIn(BaseLM):
    """Answers every prompt after a while with the same words: there is something to watch, and nothing to pay."""

    def __init__(self, scheduler: Any) -> None:
        super().__init__("stand-in/demo", cache=False)
        self._rng = scheduler.rng

    async def aforward(
        self, prompt: str | None = None, messages: list[dict[str, Any]] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """One completion, in the shape of OpenAI's."""
        await asyncio.sleep(self._rng.uniform(0.1, 1.5))
        text = "[[ ## outline ## ]]\nthree points\n\n[[ ## answer ## ]]\nforty-two\n\n[[ ## completed ## ]]"
        return {
            "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150},
        }


class Writer(Module):
    """Two predictors, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.plan = Predict("question -> outline")
        self.write = Predict("question, outline -> answer")

    async def aforward(self, question: str) -> Any:
        """Plan, then write."""
        if question.startswith("unanswerable"):
            raise SystemExit(f"{question}: that is too much")  # ends the actor, as a defect in C code might
        plan = await self.plan.acall(question=question)
        return await self.write.acall(question=question, outline=plan.outline)


def run_demo(seconds: float, crashes: bool) -> dict[str, int]:
    """Run it; the counts of what was answered, of what failed, and of the crashes that were caused."""
    counts = {"answered": 0, "failed": 0, "crashes": 0}
    with System("demo") as system:
        program = system.spawn(Writer(), name="writer")
        program.update(lm=StandIn(system.scheduler))
        deadline = time.monotonic() + seconds

        async def ask(number: int) -> None:
            while time.monotonic() < deadline:
                try:
                    await program.acall(question=f"question {number}")
                    counts["answered"] += 1
                except Exception:  # noqa: BLE001  whatever a crash does to a call is what the demo shows
                    counts["failed"] += 1

        async def crash() -> None:
            while crashes and time.monotonic() + _CRASH_EVERY < deadline:
                await asyncio.sleep(_CRASH_EVERY)
                number = counts["crashes"] // system.config.quarantine_after  # as often as it takes to be set aside
                counts["crashes"] += 1
                try:
                    await program.acall(question=f"unanswerable {number}")
                except ActorCrashed:
                    pass  # what was wanted

        async def load() -> None:
            await asyncio.gather(crash(), *(ask(number) for number in range(_IN_FLIGHT)))

        try:
            system.scheduler.submit(load()).get()
        except KeyboardInterrupt:
            pass  # the one way to end it early; the counts so far are the answer
    return counts
