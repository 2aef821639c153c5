"""`COPRO`: coordinate ascent over instructions.

Khattab et al., "DSPy" (2023) ship it as an optimizer of instructions after Yang et al., "Large Language Models as
Optimizers" (OPRO, ICLR 2024): the prompt model sees earlier instructions with their scores, worst first, and writes
better ones. With several predictors, each is improved in turn while the others keep their best.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from ._candidate import Candidate
from ._requests import Found, Prompt, Ranked, Search, decide, evaluate, fork, propose, rank
from ._task import Task
from ._teleprompter import Teleprompter
from .proposer._grounded import bare

_log = logging.getLogger("dspex.teleprompt")

_FIRST = Prompt(
    "VaryInstruction",
    "You tune instructions for language models. Here is the instruction that a model is given at present. Write one "
    "that will make a good model do the task better. Be bold: another structure, another emphasis, more or fewer "
    "words are all welcome. Write the instruction only.",
    (("present_instruction", "the instruction in use now"),),
    (("instruction", "the new instruction, and nothing else"),),
)

_NEXT = Prompt(
    "ImproveInstruction",
    "You tune instructions for language models. Below are instructions that were tried, each with the score it "
    "reached (percent, higher is better), the best ones last. Find out what makes the good ones good and write one "
    "that will score higher than all of them. Write the instruction only.",
    (("attempts", "instructions tried so far with their scores"),),
    (("instruction", "the new instruction, and nothing else"),),
)


class COPRO(Teleprompter):
    """``depth`` rounds of ``breadth`` instructions for each predictor, judged on the trainset; the best stay.

    ``prompt_model`` writes them at ``init_temperature``. With ``track_stats`` the result's ``candidate_programs``
    lists every judged program. Output prefixes are not touched: the adapters of today do not show them. Arguments
    that it does not know are DSPy's of old, and change nothing.
    """

    needs_metric: ClassVar[bool] = True

    def __init__(
        self,
        prompt_model: Any = None,
        metric: Callable[..., Any] | None = None,
        breadth: int = 10,
        depth: int = 3,
        init_temperature: float = 1.4,
        track_stats: bool = False,
        num_threads: int | None = None,
        max_errors: int | None = None,
        stop_at_score: float | None = None,
        **_kwargs: Any,
    ) -> None:
        if _kwargs:
            _log.warning("COPRO does nothing with %s", ", ".join(sorted(_kwargs)))
        if breadth < 2:
            raise ValueError("breadth must be 2 or more: the present instruction and at least one other")
        if depth < 1:
            raise ValueError("depth must be 1 or more")
        super().__init__(
            metric=metric, prompt_model=prompt_model, num_workers=num_threads, max_errors=max_errors,
            stop_at_score=stop_at_score,
        )  # fmt: skip
        self.breadth = breadth
        self.depth = depth
        self.init_temperature = init_temperature
        self.track_stats = track_stats

    def compile(
        self, student: Any, *, trainset: Any, eval_kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        """``eval_kwargs``: arguments for the evaluations, as of `Evaluate` (``num_threads``, ``max_errors``...)."""
        return self._compile(student, trainset=trainset, eval_kwargs=eval_kwargs, **options)

    def search(self, task: Task) -> Search[Found]:
        best = task.student.candidate
        attempts: dict[str, dict[str, float]] = {name: {} for name in best.names}
        proposals = dict(zip(best.names, (yield from fork([self._first(best, n) for n in best.names])), strict=True))
        ranked: list[Ranked] = []
        for depth in range(self.depth):
            for name in best.names:
                fresh = [text for text in proposals[name] if text not in attempts[name]]
                candidates = [best.with_instructions({name: text}) for text in fresh]
                whole = range(len(task.trainset))
                results = yield from fork([evaluate(candidate, "train", whole) for candidate in candidates])
                for text, candidate, result in zip(fresh, candidates, results, strict=True):
                    attempts[name][text] = result.percent
                    ranked.append((yield from rank(candidate, result.percent, f"{name}, depth {depth}")))
                winner = max(attempts[name], key=lambda text: attempts[name][text])
                best = best.with_instructions({name: winner})
                yield from decide("chosen", depth=depth, predictor=name, instruction=winner, candidate=best.key)
            if depth + 1 < self.depth:
                searches = [self._next(name, attempts[name], depth + 1) for name in best.names]
                proposals = dict(zip(best.names, (yield from fork(searches)), strict=True))
        return Found.among(ranked)

    def _first(self, best: Candidate, name: str) -> Search[tuple[str, ...]]:
        present = best[name].instructions
        written = yield from fork(
            [self._write(_FIRST, {"present_instruction": present}, n) for n in range(1, self.breadth)]
        )
        return tuple(dict.fromkeys([present, *_different(written)]))  # the present one, even if it says nothing

    def _next(self, name: str, attempts: Mapping[str, float], depth: int) -> Search[tuple[str, ...]]:
        shown = sorted(attempts.items(), key=lambda pair: pair[1])[-self.breadth :]
        text = "\n\n".join(f"[{score:.1f}] {instruction}" for instruction, score in shown)
        written = yield from fork(
            [self._write(_NEXT, {"attempts": text}, depth * self.breadth + n) for n in range(self.breadth)]
        )
        return _different(written)

    def _write(self, prompt: Prompt, values: Mapping[str, str], rollout: int) -> Search[str]:
        answer = yield from propose(prompt, values, self.init_temperature, rollout)
        return bare((answer or {}).get("instruction", ""))


def _different(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in texts if text))
