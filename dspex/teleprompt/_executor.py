"""Units of work as jobs for workers, and their outcomes as the values that the search learns."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dspex._settings import settings
from dspex.evaluate._evaluate import fresh_sample, inputs_of
from dspex.evaluate._failures import FailureKind
from dspex.evaluate._messages import Job, Report
from dspex.evaluate._outcomes import Failed, Outcome
from dspex.predict import Module, Predict
from dspex.signatures import InputField, OutputField, make_signature

from ._candidate import Candidate
from ._driver import Unit
from ._programs import apply, trace_steps
from ._requests import Bootstrap, Evaluate, Prompt, Propose

_KEPT = 256  # programs of candidates that are kept ready


@dataclass
class Executor:
    """Knows the real program, the real examples and the models; the search knows none of them."""

    student: Module
    teacher: Module | None
    trainset: Sequence[Any]
    valset: Sequence[Any]
    metric: Callable[..., Any] | None
    teacher_settings: Mapping[str, Any]
    prompt_model: Any = None
    task_model: Any = None
    timeout: float | None = None
    _programs: OrderedDict[tuple[str, bool], Module] = field(default_factory=OrderedDict)

    def job(self, unit: Unit, attempt: int, last_kind: FailureKind | None) -> Job:
        """The unit, ready to be run."""
        again = fresh_sample(attempt) if last_kind is FailureKind.MALFORMED_OUTPUT else {}
        match unit.request:
            case Evaluate(candidate, split):
                example = (self.trainset if split == "train" else self.valset)[unit.index]
                own = {"lm": self.task_model} if self.task_model is not None else {}
                program = self._program(candidate, of_teacher=False)
                return Job(program, inputs_of(example), example, self.metric, {**own, **again}, False, self.timeout)
            case Bootstrap(candidate, _, rollout):
                example = self.trainset[unit.index]
                program = self._program(candidate, of_teacher=self.teacher is not None)
                metric = self.metric if self.metric is not None else _accept
                changes = {**self._teaching(rollout), **again}
                return Job(program, inputs_of(example), example, metric, changes, True, self.timeout)
            case Propose(prompt, values, temperature, rollout):
                asked = Predict(signature_of(prompt))
                lm = self.prompt_model if self.prompt_model is not None else settings.lm
                if hasattr(lm, "copy"):
                    lm = lm.copy(temperature=temperature, rollout_id=f"{rollout}.{attempt}")
                return Job(asked, dict(values), unit.request, None, {"lm": lm}, False, self.timeout)

    def value(self, unit: Unit, job: Job, outcome: Outcome, report: Report | None) -> dict[str, Any]:
        """What the search learns of a unit that is done."""
        if isinstance(outcome, Failed):
            return {"failed": str(outcome.kind), "error": outcome.message}
        if unit.kind == "propose":
            names = [name for name, _ in unit.request.prompt.outputs] if isinstance(unit.request, Propose) else []
            return {"outputs": {name: str(outcome.prediction[name]) for name in names}}
        if unit.kind == "trace":
            trace = (report.trace if report is not None else None) or []
            return {"score": outcome.score, "steps": trace_steps(job.program, trace)}
        return {"score": outcome.score}

    def example(self, unit: Unit) -> Any:
        """What the unit is about."""
        match unit.request:
            case Evaluate(_, split):
                return (self.trainset if split == "train" else self.valset)[unit.index]
            case Bootstrap():
                return self.trainset[unit.index]
            case _:
                return unit.request

    def _teaching(self, rollout: int) -> dict[str, Any]:
        changes = dict(self.teacher_settings)
        if rollout > 0:
            own = self.task_model if self.task_model is not None else settings.lm
            lm = changes.get("lm", own)
            if hasattr(lm, "copy"):
                changes["lm"] = lm.copy(rollout_id=rollout, temperature=1.0)
        elif "lm" not in changes and self.task_model is not None:
            changes["lm"] = self.task_model
        return changes

    def _program(self, candidate: Candidate, of_teacher: bool) -> Module:
        key = (candidate.key, of_teacher)
        program = self._programs.get(key)
        if program is None:
            base = self.teacher if of_teacher and self.teacher is not None else self.student
            program = self._programs[key] = apply(candidate, base)
            if len(self._programs) > _KEPT:
                self._programs.popitem(last=False)
        else:
            self._programs.move_to_end(key)
        return program


def signature_of(prompt: Prompt) -> Any:
    """The prompt as a signature."""
    fields: dict[str, Any] = {name: (str, InputField(desc=text)) for name, text in prompt.inputs}
    fields |= {name: (str, OutputField(desc=text)) for name, text in prompt.outputs}
    return make_signature(fields, prompt.instructions, prompt.name)


def _accept(example: Any, prediction: Any, trace: Any = None) -> bool:
    return True
