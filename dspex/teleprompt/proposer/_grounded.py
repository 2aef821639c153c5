"""Instructions grounded in data, program and demonstrations.

Opsahl-Ong et al., "Optimizing Instructions and Demonstrations for Multi-Stage Language Model Programs" (EMNLP 2024),
section 3.1: the prompt model writes better instructions when it is shown a summary of the data, the program's code,
bootstrapped demonstrations, earlier instructions with their scores, and a random tip.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .._candidate import Candidate, Demo
from .._requests import Search, fork, propose
from .._task import PredictorSpec, Task
from ._prompts import DESCRIBE_PROGRAM, DESCRIBE_STEP, OBSERVE, SUMMARIZE, instruct
from ._tips import TIPS

_BATCHES = 10  # of rows that are looked at for the summary
_ROW = 1000  # characters of a row that are shown
_CODE = 20_000  # characters of the program's code that are shown


@dataclass(frozen=True, slots=True)
class Grounding:
    """What a proposal is grounded in, and how much of it."""

    data_aware: bool = True
    program_aware: bool = True
    fewshot_aware: bool = True
    tip_aware: bool = True
    view_data_batch_size: int = 10
    demos_in_context: int = 3
    temperature: float = 1.0


class GroundedProposer:
    """Proposes instructions for every predictor of a task. Deterministic given the seed and the model's answers."""

    def __init__(self, task: Task, grounding: Grounding | None = None, seed: int = 0) -> None:
        self._task = task
        self._grounding = grounding or Grounding()
        self._seed = seed

    def propose(
        self,
        count: int,
        demo_sets: Sequence[Candidate],
        history: Mapping[str, Sequence[tuple[str, float]]] | None = None,
    ) -> Search[dict[str, tuple[str, ...]]]:
        """For each predictor its present instruction and, after it, up to ``count - 1`` new ones, all different.

        Each new one sees the demonstrations of another of the ``demo_sets``. A model that does not answer in form
        costs a proposal, not the run.
        """
        summary, description = yield from fork((self._summary(), self._program()))
        steps = yield from fork([self._step(p, description) for p in self._task.student.predictors])
        asked = [
            (predictor, self._instruction(predictor, number, summary, description, step, demo_sets, history or {}))
            for predictor, step in zip(self._task.student.predictors, steps, strict=True)
            for number in range(1, count)
        ]
        written = yield from fork([search for _, search in asked])
        proposals: dict[str, list[str]] = {p.name: [p.instructions] for p in self._task.student.predictors}
        for (predictor, _), text in zip(asked, written, strict=True):
            if text and text not in proposals[predictor.name]:
                proposals[predictor.name].append(text)
        return {name: tuple(texts) for name, texts in proposals.items()}

    def _summary(self) -> Search[str]:
        if not self._grounding.data_aware or not self._task.trainset:
            return ""
        size = self._grounding.view_data_batch_size
        rows = [_row(record.fields) for record in self._task.trainset[: size * _BATCHES]]
        observations = ""
        for start in range(0, len(rows), size):
            values = {"rows": "\n".join(rows[start : start + size]), "earlier_observations": observations}
            answer = yield from propose(OBSERVE, values, self._grounding.temperature)
            text = (answer or {}).get("observations", "").strip()
            if text.rstrip(".").upper() == "COMPLETE":
                break
            observations = f"{observations}\n{text}".strip()
        if not observations:
            return ""
        answer = yield from propose(SUMMARIZE, {"observations": observations}, self._grounding.temperature)
        return (answer or {}).get("summary", observations).strip()

    def _program(self) -> Search[str]:
        source = self._task.student.source[:_CODE]
        if not self._grounding.program_aware or not source:
            return ""
        example = _row(self._task.trainset[0].fields) if self._task.trainset else ""
        values = {"program_code": source, "example": example}
        answer = yield from propose(DESCRIBE_PROGRAM, values, self._grounding.temperature)
        return (answer or {}).get("program_description", "").strip()

    def _step(self, predictor: PredictorSpec, description: str) -> Search[str]:
        if not description:
            return ""
        values = {
            "program_description": description,
            "program_code": self._task.student.source[:_CODE],
            "step": _shape(predictor),
        }
        answer = yield from propose(DESCRIBE_STEP, values, self._grounding.temperature)
        return (answer or {}).get("step_description", "").strip()

    def _instruction(
        self,
        predictor: PredictorSpec,
        number: int,
        summary: str,
        description: str,
        step: str,
        demo_sets: Sequence[Candidate],
        history: Mapping[str, Sequence[tuple[str, float]]],
    ) -> Search[str]:
        rng = random.Random(f"{self._seed}:{predictor.name}:{number}")
        tried = sorted(history.get(predictor.name, ()), key=lambda pair: pair[1])
        tip = TIPS[rng.choice(list(TIPS))] if self._grounding.tip_aware else ""
        values = {
            "data_summary": summary,
            "program_description": description,
            "step_description": step,
            "step": _shape(predictor),
            "demonstrations": self._demonstrations(predictor, number, demo_sets),
            "earlier_instructions": "\n".join(f"[{score:.1f}] {text}" for text, score in tried[-5:]),
            "present_instruction": predictor.instructions,
            "tip": tip,
        }
        present = {name: value for name, value in values.items() if value}
        prompt = instruct(frozenset(present))
        answer = yield from propose(prompt, present, self._grounding.temperature, rollout=number)
        return bare((answer or {}).get("instruction", ""))

    def _demonstrations(self, predictor: PredictorSpec, number: int, demo_sets: Sequence[Candidate]) -> str:
        if not self._grounding.fewshot_aware or not demo_sets:
            return ""
        demos = demo_sets[number % len(demo_sets)][predictor.name].demos
        augmented = [demo for demo in demos if demo.get("augmented")]
        return "\n".join(_row(demo) for demo in augmented[: self._grounding.demos_in_context])


def _shape(predictor: PredictorSpec) -> str:
    def names(fields: Sequence[object]) -> str:
        return ", ".join(str(field) for field in fields)

    inputs = names([f"{f.name} ({f.description})" if f.description else f.name for f in predictor.inputs])
    outputs = names([f"{f.name} ({f.description})" if f.description else f.name for f in predictor.outputs])
    return f"{predictor.name}: {inputs} -> {outputs}"


def _row(fields: Demo) -> str:
    text = json.dumps({k: v for k, v in fields.items() if k != "augmented"}, ensure_ascii=False)
    return text if len(text) <= _ROW else text[:_ROW] + "..."


def bare(text: str) -> str:
    """Without the quotes and the heading that models like to put around an instruction."""
    text = text.strip()
    for heading in ("Instruction:", "Proposed instruction:", "INSTRUCTION:"):
        text = text.removeprefix(heading).strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'`":
        text = text[1:-1].strip()
    return text
