"""What a supervisor supervises, as data: child specs, flags, whole trees.  Nothing is started here."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal, TypeAlias, get_args

from supervision._backoff import Backoff
from supervision._errors import BadCombinationError, DuplicateChildError, SpecError

__all__ = [
    "AutoShutdown",
    "ChildSpec",
    "Restart",
    "ShutdownTime",
    "Start",
    "Strategy",
    "SupervisorFlags",
    "SupervisorSpec",
    "as_child_spec",
    "check_children",
]

Restart: TypeAlias = Literal["permanent", "transient", "temporary"]
Strategy: TypeAlias = Literal["one_for_one", "one_for_all", "rest_for_one", "simple_one_for_one"]
AutoShutdown: TypeAlias = Literal["never", "any_significant", "all_significant"]
ChildType: TypeAlias = Literal["worker", "supervisor"]
ShutdownTime: TypeAlias = float | Literal["infinity", "brutal_kill"]


_RESTARTS: Final = get_args(Restart)
_STRATEGIES: Final = get_args(Strategy)
_AUTO_SHUTDOWNS: Final = get_args(AutoShutdown)
_TYPES: Final = get_args(ChildType)


def _one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise SpecError(name, value, "one of " + ", ".join(choices))


@dataclass(frozen=True, slots=True)
class Start:
    """How a child is started: `target` is an actor class, or any callable.

    An actor class is started linked to its supervisor with these arguments.  A callable may return a ref, a
    Reply or an awaitable of one, or None to say that there is nothing to run (OTP's `ignore`).
    """

    target: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, value: object) -> Start:
        """`value` may be a Start, a class or callable, `(target, args)` or `(target, args, kwargs)`."""
        match value:
            case Start():
                return value
            case (target, tuple() | list() as args) if callable(target):
                return cls(target, tuple(args))
            case (target, tuple() | list() as args, Mapping() as kwargs) if callable(target):
                return cls(target, tuple(args), dict(kwargs))
            case _ if callable(value):
                return cls(value)
        raise SpecError("start", value, "an actor class, a callable, or (target, args, kwargs)")

    @property
    def name(self) -> str:
        """The target's qualified name, for people."""
        return str(getattr(self.target, "__qualname__", None) or type(self.target).__qualname__)

    @property
    def module(self) -> str:
        """The module that defines the target."""
        return str(getattr(self.target, "__module__", None) or type(self.target).__module__)

    def __str__(self) -> str:
        given = [repr(value) for value in self.args]
        given += [f"{key}={value!r}" for key, value in self.kwargs.items()]
        return f"{self.name}({', '.join(given)})"


@dataclass(frozen=True, slots=True, init=False)
class ChildSpec:
    """One child of a supervisor (OTP's `supervisor:child_spec()`).

    `id` names it among its siblings.  `start` is what `Start.of` takes.  `restart`: `permanent` children
    are restarted whatever their end, `transient` ones unless they ended normally or by shutdown,
    `temporary` ones never. `shutdown`: the seconds that the child has to end when told to, before it is
    killed; or `infinity`, or `brutal_kill`; 5 s for workers and `infinity` for supervisors if not given.
    `type` is found out from `start` if not given.  `significant`: see `auto_shutdown` in `SupervisorFlags`.

    Raises SpecError, which names field and value.
    """

    id: Hashable
    start: Start
    restart: Restart
    shutdown: ShutdownTime
    type: ChildType
    significant: bool

    def __init__(
        self,
        id: Hashable,
        start: object,
        restart: Restart = "permanent",
        shutdown: ShutdownTime | None = None,
        type: ChildType | None = None,
        significant: bool = False,
    ) -> None:
        if id is None or not isinstance(id, Hashable):
            raise SpecError("id", id, "a hashable value other than None")
        _one_of("restart", restart, _RESTARTS)
        begin = Start.of(start)
        if type is None:
            type = "supervisor" if getattr(begin.target, "supervises", False) else "worker"
        _one_of("type", type, _TYPES)
        if shutdown is None:
            shutdown = "infinity" if type == "supervisor" else 5.0
        if not isinstance(significant, bool):
            raise SpecError("significant", significant, "True or False")
        if significant and restart == "permanent":
            raise BadCombinationError(
                "significant",
                True,
                "restart",
                restart,
                "a permanent child never ends; make it transient or temporary",
            )
        put = object.__setattr__
        put(self, "id", id)
        put(self, "start", begin)
        put(self, "restart", restart)
        put(self, "shutdown", _shutdown_time(shutdown))
        put(self, "type", type)
        put(self, "significant", significant)

    @classmethod
    def of(cls, target: Callable[..., Any], *args: Any, id: Hashable | None = None, **options: Any) -> ChildSpec:
        """The spec of `target(*args)`; `id` is the target's name if not given, `options` are the other
        fields.
        """
        start = Start(target, args, options.pop("kwargs", {}))
        return cls(start.name if id is None else id, start, **options)

    def change(self, **changes: Any) -> ChildSpec:
        """The same spec with other values in some fields."""
        given: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        return ChildSpec(**{**given, **changes})

    def __str__(self) -> str:
        mark = " significant" if self.significant else ""
        time = f"{self.shutdown:g} s" if isinstance(self.shutdown, float) else self.shutdown
        return f"{self.id} {self.start} [{self.type}, {self.restart}, shutdown {time}{mark}]"


def _shutdown_time(value: object) -> ShutdownTime:
    if value == "infinity" or value == math.inf:
        return "infinity"
    if value == "brutal_kill":
        return "brutal_kill"
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
        return float(value)
    raise SpecError("shutdown", value, "seconds from 0 up, 'infinity' or 'brutal_kill'")


@dataclass(frozen=True, slots=True)
class SupervisorFlags:
    """How a supervisor treats its children (OTP's `supervisor:sup_flags()`; the defaults are Elixir's).

    More than `intensity` restarts within `period` seconds, and the supervisor gives up: it stops its
    children and ends by shutdown, which is for its own supervisor to judge.  `auto_shutdown`: the
    supervisor ends likewise when one (`any_significant`) or the last (`all_significant`) significant child
    has ended for good by itself. `backoff` delays restarts.  A child that dies of the identical crash
    `deterministic_after` times within `period` is reported as deterministic: restarting will not help it.
    """

    strategy: Strategy = "one_for_one"
    intensity: int = 3
    period: float = 5.0
    auto_shutdown: AutoShutdown = "never"
    backoff: Backoff | None = None
    deterministic_after: int = 3

    def __post_init__(self) -> None:
        _one_of("strategy", self.strategy, _STRATEGIES)
        _one_of("auto_shutdown", self.auto_shutdown, _AUTO_SHUTDOWNS)
        for name, lowest in (("intensity", 0), ("deterministic_after", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
                raise SpecError(name, value, f"a whole number from {lowest} up")
        if not isinstance(self.period, (int, float)) or isinstance(self.period, bool) or not self.period > 0:
            raise SpecError("period", self.period, "a number of seconds above 0")
        if self.backoff is not None and not isinstance(self.backoff, Backoff):
            raise SpecError("backoff", self.backoff, "a Backoff or None")

    def change(self, **changes: Any) -> SupervisorFlags:
        """The same flags with other values in some fields."""
        unknown = changes.keys() - {item.name for item in fields(self)}
        if unknown:
            name = sorted(unknown)[0]
            raise SpecError("flags", name, "one of " + ", ".join(item.name for item in fields(self)))
        return replace(self, **changes)


class SupervisorSpec:
    """A supervisor and its children, down to the leaves: a whole tree in one expression.

        SupervisorSpec(
            SupervisorSpec(ChildSpec("cache", Cache), ChildSpec("pool", (Pool, (8,))), id="lm",
            strategy="rest_for_one"), ChildSpec("clock", Clock), id="root", intensity=10,
        )

    Children are ChildSpecs, SupervisorSpecs, or actor classes (whose name is then the id).  Under
    `simple_one_for_one` there is exactly one, the template.  `flags` are given as keywords, see
    SupervisorFlags; `restart`, `shutdown`, `significant` are for its own supervisor.  Raises SpecError.
    """

    __slots__ = ("children", "flags", "id", "restart", "shutdown", "significant", "supervisor_class")

    def __init__(
        self,
        *children: object,
        id: Hashable = "supervisor",
        restart: Restart = "permanent",
        shutdown: ShutdownTime = "infinity",
        significant: bool = False,
        supervisor_class: Callable[..., Any] | None = None,
        **flags: Any,
    ) -> None:
        if len(children) == 1 and isinstance(children[0], (list, tuple)):
            children = tuple(children[0])
        self.id = id
        self.flags = SupervisorFlags().change(**flags)
        self.children = tuple(as_child_spec(child) for child in children)
        self.restart: Restart = restart
        self.shutdown: ShutdownTime = shutdown
        self.significant = significant
        self.supervisor_class = supervisor_class
        check_children(self.flags, self.children)

    def child_spec(self) -> ChildSpec:
        """This supervisor as a child of another one."""
        return ChildSpec(self.id, self._start(), self.restart, self.shutdown, "supervisor", self.significant)

    def _start(self) -> Start:
        if self.supervisor_class is None:
            from supervision._supervisor import (
                Supervisor,
            )  # the actor is built on this data, not the other way round

            return Start(Supervisor, (self,))
        return Start(self.supervisor_class, (self,))

    def __repr__(self) -> str:
        return f"SupervisorSpec({self.id!r}, {self.flags.strategy}, {len(self.children)} children)"

    def __str__(self) -> str:
        return "\n".join(self._lines(""))

    def _lines(self, indent: str) -> Iterator[str]:
        flags = self.flags
        yield f"{indent}{self.id} [{flags.strategy}, {flags.intensity} restarts in {flags.period:g} s]"
        for child in self.children:
            inner = child.start.args[0] if child.start.args else None
            if isinstance(inner, SupervisorSpec):
                yield from inner._lines(indent + "  ")
            else:
                yield f"{indent}  {child}"


def as_child_spec(value: object) -> ChildSpec:
    """A ChildSpec is itself; a SupervisorSpec becomes a child; an actor class is a child named after it."""
    match value:
        case ChildSpec():
            return value
        case SupervisorSpec():
            return value.child_spec()
        case type():
            return ChildSpec.of(value)
    raise SpecError("child", value, "a ChildSpec, a SupervisorSpec or an actor class")


def check_children(flags: SupervisorFlags, children: Iterable[ChildSpec]) -> None:
    """Raise SpecError if these children cannot be together under a supervisor with these flags."""
    seen = set()
    for child in children:
        if child.id in seen:
            raise DuplicateChildError(child.id)
        seen.add(child.id)
        check_significant(flags, child)
    if flags.strategy == "simple_one_for_one" and len(seen) != 1:
        raise SpecError("children", sorted(map(str, seen)), "exactly one child, the template, under simple_one_for_one")


def check_significant(flags: SupervisorFlags, child: ChildSpec) -> None:
    """Raise BadCombinationError for a significant child of a supervisor that never shuts down by itself."""
    if child.significant and flags.auto_shutdown == "never":
        raise BadCombinationError(
            "significant",
            True,
            "auto_shutdown",
            "never",
            "set auto_shutdown to any_significant or all_significant",
        )
