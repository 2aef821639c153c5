"""DSPy's side of the comparison in `calls.py`: the same plug-in contract as `dspex_side.py`, for a Python with DSPy.

`opts`: `engine=auto` is DSPy as installed, `engine=tuned` gives its client as many connections as calls are wanted at
once (100 otherwise); `mode=evaluate` uses its `Evaluate` with that many threads, `mode=call` awaits `acall`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import dspy


def setup(job: Any) -> Any:
    """The predictor and the examples."""
    logging.getLogger("dspy").setLevel(logging.CRITICAL)
    options: dict[str, Any] = {"api_base": job.base_url, "api_key": "x"}
    if job.opts.get("engine") == "tuned":
        from dspy.clients.engines import lm15_engine

        def config() -> Any:
            return lm15_engine.RouterConfig(
                api_keys={"openai-chat": "x"},
                base_urls={"openai-chat": job.base_url},
                max_connections=max(100, job.concurrency),
            )

        options = {
            "engine": lm15_engine.LM15Engine(config()),
            "async_engine": lm15_engine.AsyncLM15Engine(config()),
        }
    dspy.configure(lm=dspy.LM("openai/fake-model", cache=False, **options), adapter=dspy.ChatAdapter())
    examples = [
        dspy.Example(question=question, answer=answer).with_inputs("question")
        for question, answer in zip(job.questions, job.expected)  # noqa: B905  an older Python may run this
    ]
    return dspy.Predict("question -> answer"), examples


def exact(example: Any, prediction: Any, trace: Any = None) -> float:
    """The metric."""
    return float(example.answer == prediction.answer)


def work(state: Any, job: Any) -> list[Any]:
    """The answers."""
    program, examples = state
    if job.opts.get("mode", "evaluate") == "call":
        return asyncio.run(called(program, examples, job.concurrency))
    evaluate = dspy.Evaluate(
        devset=examples, metric=exact, num_threads=job.concurrency, display_progress=False, max_errors=len(examples)
    )
    return [getattr(prediction, "answer", None) for _, prediction, _ in evaluate(program).results]


async def called(program: Any, examples: list[Any], concurrency: int) -> list[Any]:
    """`acall`, so many at a time."""
    answers: list[Any] = [None] * len(examples)

    async def caller(numbers: Any) -> None:
        for number in numbers:
            answers[number] = (await program.acall(question=examples[number].question)).answer

    numbers = iter(range(len(examples)))
    await asyncio.gather(*(caller(numbers) for _ in range(min(concurrency, len(examples)))))
    return answers
