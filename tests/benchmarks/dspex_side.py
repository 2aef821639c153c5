"""dspex's side of a comparison of language-model libraries: a plug-in with `setup(job)` and `work(state, job)`.

`job` has `base_url` (an OpenAI-compatible endpoint), `questions` and `expected` (the answers, by which the metric
judges), `concurrency`, `metric_ms` (CPU of the metric: from 1 on it is computed in processes), and `opts`:

    mode=evaluate (default)   `Evaluate` of the spawned program: the program, the metric, the report
    mode=call                 the spawned program called from a coroutine, `concurrency` calls at a time
    mode=sync                 the spawned program called from `concurrency` threads (one: from this thread)
    forward=none (default)    the program is a `Predict`; sync, async: a module with a `forward`, `aforward` around it
    certificate=PATH          trust this authority, for an https `base_url`

`work` returns one answer for each question, None where it failed.  No cache, no uvloop, retries as they come.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dspex
from dspex.lm import DirectTransport


class Answer(dspex.Module):
    """A synchronous `forward` around a predictor."""

    def __init__(self) -> None:
        super().__init__()
        self.predict = dspex.Predict("question -> answer")

    def forward(self, question: str) -> Any:
        return self.predict(question=question)


class AnswerAsync(dspex.Module):
    """The same as a coroutine."""

    def __init__(self) -> None:
        super().__init__()
        self.predict = dspex.Predict("question -> answer")

    async def aforward(self, question: str) -> Any:
        return await self.predict.acall(question=question)


PROGRAMS = {"none": lambda: dspex.Predict("question -> answer"), "sync": Answer, "async": AnswerAsync}


def setup(job: Any) -> Any:
    """The running system, the spawned program and the examples."""
    sys.path.append(str(Path(__file__).parent))  # for `dspex_metric`, here and in the processes of the metric
    transport = None
    if "certificate" in job.opts:
        transport = DirectTransport(tls=ssl.create_default_context(cafile=job.opts["certificate"]))
    lm = dspex.LM(
        "openai/fake-model",
        base_url=job.base_url,
        api_key="x",
        cache=False,
        timeout=job.timeout_s,
        transport=transport,
    )
    system = dspex.System(
        "benchmark", lm=lm, store=False, control_socket=False, loop_factory=asyncio.new_event_loop
    ).start()
    program = system.spawn(PROGRAMS[job.opts.get("forward", "none")](), name="answer")
    if "forward" in job.opts:
        # The first call of a `forward` is on trial, and others run on threads meanwhile: what it costs is another line.
        program(question=job.questions[0])
    examples = [
        dspex.Example(question=question, answer=answer).with_inputs("question")
        for question, answer in zip(job.questions, job.expected, strict=True)
    ]
    return system, program, examples


def work(state: Any, job: Any) -> list[Any]:
    """The answers."""
    system, program, examples = state
    modes = {"evaluate": evaluated, "call": called, "sync": called_by_threads}
    try:
        return modes[job.opts.get("mode", "evaluate")](system, program, examples, job)
    finally:
        system.close()


def evaluated(system: Any, program: Any, examples: list[Any], job: Any) -> list[Any]:
    """What `Evaluate` finds."""
    from dspex_metric import Exact

    executor = {"metric_executor": "process"} if job.metric_ms else {}
    with dspex.context(**system.settings):
        evaluate = dspex.Evaluate(
            devset=examples,
            metric=Exact(job.metric_ms),
            num_workers=job.concurrency,
            display_progress=False,
            **executor,
        )
        result = evaluate(program)
    return [None if score is None else prediction.answer for _, prediction, score in result.results]


def called(system: Any, program: Any, examples: list[Any], job: Any) -> list[Any]:
    """Calls from a coroutine on an event loop of one's own."""
    answers: list[Any] = [None] * len(examples)

    async def caller(numbers: Iterator[int]) -> None:
        for number in numbers:
            try:
                answers[number] = (await program.acall(question=examples[number].question)).answer
            except dspex.DspexError as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr)

    async def main() -> None:
        numbers = iter(range(len(examples)))
        await asyncio.gather(*(caller(numbers) for _ in range(min(job.concurrency, len(examples)))))

    asyncio.run(main())
    return answers


def called_by_threads(system: Any, program: Any, examples: list[Any], job: Any) -> list[Any]:
    """Calls from plain threads; with a concurrency of one, from this one."""
    answers: list[Any] = [None] * len(examples)

    def caller(numbers: Iterator[int]) -> None:
        for number in numbers:
            try:
                answers[number] = program(question=examples[number].question).answer
            except dspex.DspexError as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr)

    numbers = iter(range(len(examples)))
    threads = [threading.Thread(target=caller, args=(numbers,)) for _ in range(min(job.concurrency, len(examples)) - 1)]
    for thread in threads:
        thread.start()
    caller(numbers)
    for thread in threads:
        thread.join()
    return answers
