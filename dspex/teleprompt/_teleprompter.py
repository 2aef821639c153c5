"""`Teleprompter`: what all optimizers share."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

from dspex.callbacks import Watch, active_callbacks

from ._arguments import at_least, the_examples, the_program
from ._requests import Found, Search
from ._task import Task
from ._values import to_json_value

if TYPE_CHECKING:
    from ._run import OptimizationRun


_NO_DECISION = frozenset(
    {"num_threads", "num_workers", "max_errors", "verbose", "log_dir", "track_stats", "stop_at_score"}
)
_SAME = {"num_threads": "num_workers"}


class Teleprompter:
    """An optimizer: ``compile(student, trainset=...)`` gives an improved copy of a program.

    A subclass says *what* to try in `search`, a generator of requests that must be deterministic: its own seeded
    random numbers and the answers it is sent, nothing else. How the requests are carried out, journaled, paused and
    resumed is the same for all. An error that `search` raises is the one that `compile` raises.
    """

    needs_metric: ClassVar[bool] = False
    """Without a metric every candidate would be as good as the others."""

    runs_examples: ClassVar[bool] = True
    """Programs are run on the examples, so these must say what their inputs are."""

    def __init__(
        self,
        *,
        metric: Callable[..., Any] | None = None,
        teacher_settings: Mapping[str, Any] | None = None,
        prompt_model: Any = None,
        task_model: Any = None,
        num_workers: int | None = None,
        max_errors: int | None = None,
        stop_at_score: float | None = None,
        log_dir: str | None = None,
    ) -> None:
        at_least(1, num_threads=num_workers)
        at_least(0, max_errors=max_errors)
        self.metric = metric
        self.teacher_settings = dict(teacher_settings or {})
        self.prompt_model = prompt_model
        self.task_model = task_model
        self.num_workers = num_workers
        self.max_errors = max_errors
        self.stop_at_score = stop_at_score
        self.log_dir = log_dir

    def search(self, task: Task) -> Search[Found]:
        """The algorithm."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it searches")

    def check(self, task: Task, **arguments: Any) -> None:
        """Raise `ValueError` if `search` cannot do its work with this: before anything is kept or paid."""
        for name, rows in (("trainset", task.trainset), ("valset", task.valset)):
            if not rows:
                raise ValueError(f"the {name} is empty: {type(self).__name__} needs at least one example in it")
        if self.needs_metric and self.metric is None:
            raise ValueError(f"{type(self).__name__} needs a metric: without one it cannot tell what is better")

    def divide(self, trainset: Sequence[Any], valset: Sequence[Any] | None) -> tuple[list[Any], list[Any]]:
        """The training and the validation examples of a run. Without a valset the trainset judges."""
        return list(trainset), list(trainset if valset is None else valset)

    def start(self, student: Any, **arguments: Any) -> OptimizationRun:
        """`compile` that does not wait: the run can be watched, paused, resumed, cancelled and awaited."""
        return cast("OptimizationRun", self.compile(student, wait=False, **arguments))

    async def acompile(self, student: Any, **arguments: Any) -> Any:
        """`compile`, awaited, on any event loop. Preparing the run is quick but touches the store, if there is one."""
        beginning = _Beginning(lambda: self.start(student, **arguments))
        begun = asyncio.ensure_future(asyncio.to_thread(beginning))
        try:
            run = await asyncio.shield(begun)
        except asyncio.CancelledError:
            # The thread cannot be interrupted. What it begins is ended, and is over when the caller learns of it.
            beginning.give_up()
            await asyncio.wait([begun])
            if begun.exception() is None:
                await begun.result().interrupted()
            raise
        return await run

    def compile(self, student: Any, *, trainset: Any, **options: Any) -> Any:
        """The improved copy of ``student``. ``options`` are those of `RunOptions`, such as ``run_id``."""
        return self._compile(student, trainset=trainset, **options)

    def _compile(
        self,
        student: Any,
        *,
        trainset: Any,
        valset: Any = None,
        teacher: Any = None,
        arguments: Mapping[str, Any] | None = None,
        eval_kwargs: Mapping[str, Any] | None = None,
        wait: bool = True,
        **options: Any,
    ) -> Any:
        from dspex.programs._call import working_on
        from dspex.system._current import current_system

        from ._options import RunOptions
        from ._run import OptimizationRun

        student = the_program(student, "student")
        teacher = None if teacher is None else the_program(teacher, "teacher")
        trainset = the_examples(trainset, "trainset")
        valset = None if valset is None else the_examples(valset, "valset")
        chosen = {_SAME.get(name, name): value for name, value in (eval_kwargs or {}).items()}
        known = {f.name for f in fields(RunOptions)}
        chosen = {name: value for name, value in chosen.items() if name in known} | options
        unknown = chosen.keys() - known
        if unknown:
            raise TypeError(
                f"compile() takes no {', '.join(sorted(unknown))}; its options are {', '.join(sorted(known))}"
            )
        system, inputs = current_system(), {"student": student, "trainset": trainset}
        with working_on(system), Watch(active_callbacks(self), "compile", self, inputs) as watch:
            run = OptimizationRun(
                system,
                self,
                student,
                trainset=trainset,
                valset=valset,
                teacher=teacher,
                arguments=arguments,
                options=RunOptions(**chosen),
            )
            watch.outputs = run.begin() if not wait else self._awaited(run)
        return watch.outputs

    @staticmethod
    def _awaited(run: OptimizationRun) -> Any:
        try:
            run.begin()
            return run.follow() if run.options.display_progress else run.result()
        except KeyboardInterrupt:
            if not run.told_to_end:  # between the two: nothing goes on, and pays, behind the caller's back
                run.interrupt()
            raise

    def config(self) -> dict[str, Any]:
        """What of the constructor's arguments decides what a run finds, in JSON's values: a run that is resumed must
        have the same."""
        found = {name: value for name, value in self.get_params().items() if name not in _NO_DECISION}
        return {"class": type(self).__name__, **{name: _described(value) for name, value in found.items()}}

    def get_params(self) -> dict[str, Any]:
        """The constructor's arguments as they are now: the class called with them gives an equal optimizer."""
        return parameters_of(self)

    @property
    def num_threads(self) -> int | None:
        """``num_workers``, by DSPy's name."""
        return self.num_workers

    @num_threads.setter
    def num_threads(self, value: int | None) -> None:
        self.num_workers = value


class _Beginning:
    """A run that is begun on a thread for somebody who may lose interest meanwhile: then it is ended."""

    def __init__(self, begin: Callable[[], OptimizationRun]) -> None:
        self._begin = begin
        self._lock = threading.Lock()
        self._run: OptimizationRun | None = None
        self._given_up = False

    def __call__(self) -> OptimizationRun:
        run = self._begin()
        with self._lock:
            self._run, given_up = run, self._given_up
        if given_up:
            run.interrupt()
        return run

    def give_up(self) -> None:
        with self._lock:
            self._given_up, run = True, self._run
        if run is not None:
            run.end("interrupted")


def parameters_of(optimizer: Any) -> dict[str, Any]:
    """The arguments of an optimizer's constructor, as far as it keeps them under their own names."""
    found: dict[str, Any] = {}
    for name, parameter in inspect.signature(type(optimizer)).parameters.items():
        if hasattr(optimizer, name):
            value = getattr(optimizer, name)
            found |= value if parameter.kind is parameter.VAR_KEYWORD else {name: value}
    return found


def _described(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return to_json_value(asdict(value))
    if hasattr(value, "arespond"):
        return str(value.model)
    if callable(value):
        return getattr(value, "__qualname__", type(value).__qualname__)
    if isinstance(value, Mapping):
        return {str(key): _described(item) for key, item in value.items()}
    return to_json_value(value)
