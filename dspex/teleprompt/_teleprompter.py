"""`Teleprompter`: what all optimizers share."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from typing import TYPE_CHECKING, Any, cast

from dspex.callbacks import Watch, active_callbacks

from ._candidate import to_json_value
from ._requests import Found, Search
from ._task import Task

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
    resumed is the same for all.
    """

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

    def divide(self, trainset: Sequence[Any], valset: Sequence[Any] | None) -> tuple[list[Any], list[Any]]:
        """The training and the validation examples of a run. Without a valset the trainset judges."""
        return list(trainset), list(trainset if valset is None else valset)

    def start(self, student: Any, **arguments: Any) -> OptimizationRun:
        """`compile` that does not wait: the run can be watched, paused, resumed, cancelled and awaited."""
        return cast("OptimizationRun", self.compile(student, wait=False, **arguments))

    async def acompile(self, student: Any, **arguments: Any) -> Any:
        """`compile`, awaited, on any event loop. Preparing the run is quick but touches the store, if there is one."""
        run = await asyncio.to_thread(self.start, student, **arguments)
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
        from dspex.system._current import current_system

        from ._options import RunOptions
        from ._run import OptimizationRun

        chosen = {_SAME.get(name, name): value for name, value in (eval_kwargs or {}).items()}
        known = {f.name for f in fields(RunOptions)}
        chosen = {name: value for name, value in chosen.items() if name in known} | options
        unknown = chosen.keys() - known
        if unknown:
            raise TypeError(
                f"compile() takes no {', '.join(sorted(unknown))}; its options are {', '.join(sorted(known))}"
            )
        with Watch(active_callbacks(self), "compile", self, {"student": student, "trainset": trainset}) as watch:
            run = OptimizationRun(
                current_system(),
                self,
                student,
                trainset=trainset,
                valset=valset,
                teacher=teacher,
                arguments=arguments,
                options=RunOptions(**chosen),
            )
            watch.outputs = (run.follow() if run.options.display_progress else run.result()) if wait else run
        return watch.outputs

    def config(self) -> dict[str, Any]:
        """What of the constructor's arguments decides what a run finds, in JSON's values: a run that is resumed must
        have the same."""
        found = {name: value for name, value in self.get_params().items() if name not in _NO_DECISION}
        return {"class": type(self).__name__, **{name: _described(value) for name, value in found.items()}}

    def get_params(self) -> dict[str, Any]:
        """The constructor's arguments, as far as they are kept under their own names."""
        names = inspect.signature(type(self).__init__).parameters
        return {name: getattr(self, name) for name in names if name != "self" and hasattr(self, name)}


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
