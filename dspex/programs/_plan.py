"""A running program as its supervisor sees it: a place for each module instance, and the parameters in force."""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Mapping
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors import ActorCrashed, ActorDeadError, Reply
from dspex.programs._errors import ProgramStoppedError
from dspex.programs._metrics import Meter, Tally
from dspex.programs._parameters import Parameters, changed
from dspex.programs._style import Style, style_of

if TYPE_CHECKING:
    from actors import ActorRef
    from dspex._usage import UsageTracker
    from dspex.programs._call import Call
    from dspex.system._system import System

__all__ = ["Cell", "Plan", "Running"]


@dataclass(frozen=True, slots=True)
class Running:
    """What holds for one call from its beginning to its end, whatever is updated meanwhile."""

    plan: Plan
    cells: Mapping[int, Cell]
    parameters: Mapping[int, Parameters]


class Cell:
    """The place of one module instance.  It outlives the instance's actors; calls go to the one that is there.

    A call that comes while an actor is being restarted waits for the new one.
    """

    __slots__ = (
        "_lock",
        "_meter",
        "_pristine",
        "_ref",
        "_waiting",
        "closed",
        "module",
        "path",
        "plan",
        "sync",
        "tally",
        "title",
    )

    def __init__(self, plan: Plan, path: str, module: Any) -> None:
        self.plan = plan
        self.path = path
        self.title = plan.name if path == "self" else f"{plan.name}/{path}"
        self.module = module
        self.sync = style_of(module) is Style.SYNC
        self.tally = Tally()
        self.closed: ProgramStoppedError | None = None
        self._meter = Meter(self.tally, None)
        self._ref: ActorRef[Any] | None = None
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Call, Reply[Any], Context]] = deque()
        self._pristine: dict[str, Any] | None = None

    @property
    def ref(self) -> ActorRef[Any] | None:
        """The actor that is there now, if any."""
        return self._ref

    def send(self, call: Call) -> Reply[Any]:
        """Give the call to the actor.  Any thread; never blocks."""
        refusal = self.plan.system.refuses(self.title, call)
        if refusal is not None:
            return Reply.failed(refusal)
        ref = self._ref
        if ref is not None and ref.is_alive():
            reply = ref.call(call)
            if not reply.done() or not _never_got_there(reply.exception()):
                return reply
        return self._hold(call)

    def _hold(self, call: Call) -> Reply[Any]:
        reply: Reply[Any] = Reply()
        self.keep(call, reply, copy_context())
        return reply

    def keep(self, call: Call, reply: Reply[Any], context: Context) -> None:
        """A call that no actor has begun: it waits for the next one.  Any thread."""
        with self._lock:
            ref, error = self._ref, self.closed
            if error is None and (ref is None or not ref.is_alive()):
                self._waiting.append((call, reply, context))
                return
        if error is not None:
            self._undelivered(call, error)
            reply.set_exception(error)
        else:
            assert ref is not None
            context.run(ref.call, call).add_done_callback(_forward_to(reply))

    def _undelivered(self, call: Call, error: ProgramStoppedError) -> None:
        """A call of the program itself is a dead letter then; those between its modules end with their caller."""
        if self.plan.root is self:
            self.plan.system.undelivered(self.plan.name, call, str(error))

    @property
    def in_flight(self) -> int:
        """How many calls are at work or wait for the actor."""
        return self.tally.in_flight + len(self._waiting)

    def opened(self, ref: ActorRef[Any]) -> None:
        """A new actor is there: it gets the calls that waited for it."""
        with self._lock:
            self._ref = ref
            waiting, self._waiting = self._waiting, deque()
        for call, reply, context in waiting:
            context.run(ref.call, call).add_done_callback(_forward_to(reply))

    def close(self, error: ProgramStoppedError) -> None:
        """There will be no actor any more: the calls that wait fail, and so will all others."""
        with self._lock:
            self.closed = error
            waiting, self._waiting = self._waiting, deque()
        for call, reply, _ in waiting:
            self._undelivered(call, error)
            reply.set_exception(error)

    def meter(self, tracker: UsageTracker | Meter | None) -> Meter:
        """The usage tracker for a call of this module, in front of the caller's own."""
        own = tracker.parent if isinstance(tracker, Meter) else tracker
        return self._meter if own is None else Meter(self.tally, own)

    # -- the state of the instance

    def remember(self, instances: Mapping[int, Any]) -> None:
        """Note the instance's state, to be put back when its actor is restarted.  Submodules are not part of it."""
        memo = dict(instances)
        self._pristine = {name: _copied(value, memo) for name, value in vars(self.module).items()}

    def restore(self, instances: Mapping[int, Any], parameters: Parameters | None) -> None:
        """Give the instance its first state, and the parameters as they are now."""
        if self._pristine is not None:
            state = {name: _copied(value, dict(instances)) for name, value in self._pristine.items()}
            vars(self.module).clear()
            vars(self.module).update(state)
        if parameters is not None:
            parameters.put(self.module)


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    if hasattr(type(value), "arespond"):  # a language model: connections, not state
        return value
    try:
        return copy.deepcopy(value, memo)
    except Exception:  # noqa: BLE001  an open file, a client: what cannot be copied is shared
        return value


def _never_got_there(error: BaseException | None) -> bool:
    return isinstance(error, ActorDeadError) and not isinstance(error, ActorCrashed)


def _forward_to(reply: Reply[Any]) -> Any:
    def forward(answer: Reply[Any]) -> None:
        error = answer.exception()
        if error is None:
            reply.set(answer.get())
        else:
            reply.set_exception(error)

    return forward


class Plan:
    """One spawned program: its module instances, by path, and its parameters, which are replaced as a whole."""

    def __init__(self, system: System, name: str, program: Any) -> None:
        self.system = system
        self.name = name
        self.program = program
        modules = {path.removeprefix("self."): module for path, module in program.named_sub_modules()}
        self.cells: dict[str, Cell] = {path: Cell(self, path, module) for path, module in modules.items()}
        self._instances = {id(module): module for module in modules.values()}
        self._predictors = dict(program.named_parameters())
        self._lock = threading.Lock()
        for cell in self.cells.values():
            cell.remember(self._instances)
        self.parameters = {path: Parameters.of(predictor) for path, predictor in self._predictors.items()}
        self.running = self._running()

    @property
    def root(self) -> Cell:
        """The place of the program itself."""
        return next(iter(self.cells.values()))

    def _running(self) -> Running:
        return Running(
            self,
            {id(cell.module): cell for cell in self.cells.values()},
            {id(self._predictors[path]): parameters for path, parameters in self.parameters.items()},
        )

    def update(self, changes: Mapping[str, Any]) -> None:
        """Change some parameters, from the next call on; calls at work end with those that they began with."""
        with self._lock:
            self._set(changed(self.parameters, changes))

    def replace(self, parameters: Mapping[str, Parameters]) -> None:
        """Put other parameters in the place of those of the same names."""
        with self._lock:
            unknown = parameters.keys() - self.parameters.keys()
            if unknown:
                raise KeyError(f"{self.name!r} has no predictors {', '.join(sorted(unknown))}.")
            self._set({**self.parameters, **parameters})

    def _set(self, parameters: dict[str, Parameters]) -> None:
        self.parameters = parameters
        for path, own in parameters.items():
            own.put(self._predictors[path])  # for whoever looks at the predictors: calls read `running`
        self.running = self._running()

    def restore(self, cell: Cell) -> None:
        """Before an actor of `cell` begins anew."""
        parameters = self.running.parameters.get(id(cell.module))
        cell.restore(self._instances, parameters)

    def close(self, reason: Any) -> None:
        """The program has ended."""
        error = self.ended(reason)
        for cell in self.cells.values():
            cell.close(error)

    def ended(self, reason: Any = None) -> ProgramStoppedError:
        """What a call gets that comes too late."""
        why = f" ({reason})" if reason is not None else ""
        return ProgramStoppedError(
            f"The program {self.name!r} has ended{why}: spawn it again.", program=self.name, reason=reason
        )
