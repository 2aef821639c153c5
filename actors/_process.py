"""What every kind of actor shares: identity, mailbox, links and monitors, exit signals, and its one death.

The semantics are those of Erlang processes (reference manual, chapter "Processes") under Pykka's interface.  A kind
of actor adds how handlers run: `_async_actor` on the loop, `_thread_actor` on a thread of its own, `_os_process` in
a child process.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self

import pykka
from pykka import messages
from pykka._introspection import get_attr_directly

from actors._errors import StopActor
from actors._exits import ExitReason, Normal
from actors._handlers import Kind, is_concurrent, kind_of, validate_handler
from actors._local import chosen_scheduler, current_actor, here
from actors._mailbox import Gate
from actors._messages import ReceiveTimeout
from actors._mortal import Mortal
from actors._options import Options, Starter
from actors._post import State
from actors._ref import ActorRef
from actors._reply import Reply
from actors._reserved import refuse_reserved_names

if TYPE_CHECKING:
    from actors._scheduler import Scheduler
    from actors._timers import Timer

__all__ = ["Process", "State", "current_scheduler"]


class Process(Mortal):
    """Base of all kinds of actor; not started itself.

    `trap_exit` turns exit signals into `Exit` messages.  `parent` is the actor that started this one with
    `start_link`; an exit signal from it ends the actor even when it traps (after `on_stop`), as in `gen_server`.
    """

    __slots__ = (
        "_handled",
        "_quiet",
        "_rejected",
        "_suspended",
        "current_message",
    )

    _receive_kind: ClassVar[Kind] = Kind.PLAIN
    _receive_concurrent: ClassVar[bool] = False
    _has_on_start: ClassVar[bool] = False
    _has_on_stop: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_reserved_names(cls)
        for name, arguments in (("on_receive", 1), ("on_start", 0), ("on_stop", 0), ("on_failure", 3)):
            validate_handler(cls, name, arguments)
        cls._receive_kind = kind_of(cls.on_receive)
        cls._receive_concurrent = is_concurrent(cls.on_receive)
        cls._has_on_start = cls.on_start is not pykka.Actor.on_start
        cls._has_on_stop = cls.on_stop is not pykka.Actor.on_stop

    if TYPE_CHECKING:  # Pykka's hooks, which here may be `async def` too

        def on_start(self) -> Any: ...

        def on_stop(self) -> Any: ...

    # -- starting

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        """Everything an actor needs was made before its constructor runs; calling this is allowed, not required."""

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> ActorRef[Self]:
        """Make the actor with these arguments and let it run; the reference is usable at once.

        The constructor runs here, `on_start` in the actor, before its first message.  It runs on the scheduler of
        the calling actor, else on that of the surrounding `with Scheduler()`, else on a default one.

        Raises:
            NoSchedulerError: there is no scheduler here and none can be made.
        """
        return cls._launch(Options(), args, kwargs)._ref

    @classmethod
    def start_link(cls, *args: Any, **kwargs: Any) -> Reply[ActorRef[Self] | None]:
        """Start it linked to the calling actor, its parent (`gen_server:start_link`).

        The reply is there when `on_start` has returned: the reference; None if it raised `Ignore`; a `StartError`
        if it failed, in which case no exit signal reaches the caller.
        """
        return cls.with_options(link=True).start_wait(*args, **kwargs)

    @classmethod
    def with_options(cls, **options: Any) -> Starter[Self]:
        """`start` and `start_link` with options: see `Options` for their names and meanings."""
        return Starter(cls, Options(**options))

    @classmethod
    def _launch(
        cls,
        options: Options,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        started: Reply[Any] | None = None,
    ) -> Self:
        scheduler = options.scheduler or current_scheduler()
        actor = cls.__new__(cls)
        actor._prepare(scheduler, options)
        actor._started = started
        actor._construct(args, kwargs)
        if options.name is not None:
            scheduler.claim(options.name, actor._ref)
        scheduler.adopt(actor)
        if options.link:
            parent = current_actor()
            if parent is not None:
                actor.parent = parent._ref
                if not parent._link(actor._ref):
                    actor.signal(("kill", None, None))
        actor._start_actor_loop()
        return actor

    def _construct(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Run the user's constructor, in the thread that starts the actor."""
        self.__init__(*args, **kwargs)  # type: ignore[misc]

    def _prepare(self, scheduler: Scheduler, options: Options) -> None:
        self.scheduler = scheduler
        self._ref = ActorRef(self, scheduler, scheduler.next_id(), options.name)
        self._state = State.NEW
        self._mail = None
        self._signals = None
        self._gate = Gate(options.mailbox) if options.mailbox is not None else None
        self._links = None
        self._monitors = None
        self._monitoring = None
        self._deferred = None
        self._stops = None
        self._answering = None
        self._helpers = None
        self._quiet: Timer | None = None
        self._suspended = False
        self._handled = 0
        self._rejected = 0
        self._started = None
        self.current_message: Any = None
        self.exit_reason = None
        self.parent = None
        self.trap_exit = options.trap_exit

    # -- Pykka's extension points

    @staticmethod
    def _create_actor_inbox() -> Any:
        return deque()

    @staticmethod
    def _create_future() -> Reply[Any]:
        return Reply()

    @property
    def actor_ref(self) -> ActorRef[Self]:
        """The reference to this actor: what may be given to others."""
        return self._ref

    @property
    def actor_urn(self) -> str:  # type: ignore[override]
        """Unique in this process."""
        return self._ref.actor_urn

    @property
    def actor_stopped(self) -> Any:  # type: ignore[override]
        """Set once the actor has ended."""
        return self._ref.actor_stopped

    def __str__(self) -> str:
        return str(self._ref)

    # -- what a handler may do

    def stop(self) -> None:
        """End with `Normal` after the messages that are in the mailbox now."""
        self._ref.stop(block=False)

    def exit(self, reason: ExitReason | None = None) -> NoReturn:
        """End this actor now, with `reason` (`Normal` by default).  `on_stop` runs; who asked gets `ActorCrashed`."""
        raise StopActor(reason if reason is not None else Normal())

    def defer(self) -> Reply[Any]:
        """Take the answer into one's own hands: the handler's return value is not sent, `set` the reply later.

        If the actor ends first the asker is told so.  After a `tell` it is a reply that nobody reads.
        """
        reply = self._take_reply()
        if reply is None:
            return Reply()
        if self._deferred is None:
            self._deferred = set()
        deferred = self._deferred
        deferred.add(reply)
        reply.add_done_callback(deferred.discard)
        return reply

    def _take_reply(self) -> Reply[Any] | None:
        reply, self._answering = self._answering, None
        return reply

    def continue_with(self, message: Any) -> None:
        """Handle `message` next, before any that waits (`gen_server`'s `{continue, ...}`)."""
        self._mailbox().appendleft((message, None, copy_context()))
        self._notify()

    def receive_timeout(self, seconds: float) -> None:
        """Get a `ReceiveTimeout` unless a message comes within `seconds`; any message cancels it."""
        self._cancel_quiet()
        self._quiet = self.scheduler.call_later(seconds, self.deliver_notice, ReceiveTimeout())

    def _cancel_quiet(self) -> None:
        if self._quiet is not None:
            self._quiet.cancel()
            self._quiet = None

    def send_after(self, seconds: float, message: Any) -> Timer:
        """Send itself `message` after `seconds`, on the scheduler's clock.  Nothing comes if it has ended by then."""
        return self.scheduler.call_later(seconds, self.deliver_notice, message)

    def every(self, seconds: float, message: Any) -> Timer:
        """Send itself `message` every `seconds`, until cancelled or ended.  Late ticks are not made up for."""
        return self.scheduler.call_every(seconds, self._tick, message)

    def _tick(self, message: Any) -> bool:
        self.deliver_notice(message)
        return self._state != State.DEAD

    # -- for the kinds of actor

    @contextmanager
    def interruptible(self, waiting: threading.Lock) -> Iterator[None]:
        """Around a blocking wait in a thread that works for this actor: a kind may use it to end the wait."""
        yield

    def _callee(self, message: Any) -> Callable[[], Any] | None:
        """What one of Pykka's proxy messages asks for, or None if it is a user's message."""
        if isinstance(message, messages.ProxyCall):
            callee = get_attr_directly(self, message.attr_path)
            return _Bound(callee, message.args, message.kwargs)
        if isinstance(message, messages.ProxyGetAttr):
            return lambda: get_attr_directly(self, message.attr_path)
        if isinstance(message, messages.ProxySetAttr):
            path = message.attr_path
            return lambda: setattr(get_attr_directly(self, path[:-1]), path[-1], message.value)
        return None


class _Bound:
    """A proxied call, carrying the marks of the method it calls."""

    __slots__ = ("__actor_concurrent__", "__actor_kind__", "_args", "_callee", "_kwargs")

    def __init__(self, callee: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._callee = callee
        self._args = args
        self._kwargs = kwargs
        self.__actor_kind__ = kind_of(callee)
        self.__actor_concurrent__ = is_concurrent(callee)

    def __call__(self) -> Any:
        return self._callee(*self._args, **self._kwargs)


def current_scheduler() -> Scheduler:
    """The scheduler that an actor started here runs on.

    That of the calling actor or loop, else of the surrounding `with Scheduler()`, else the default one, which is
    made if need be.
    """
    scheduler = _surrounding()
    if scheduler is None:
        from actors._default import default_scheduler

        scheduler = default_scheduler()
    return scheduler


def nearest_scheduler() -> Scheduler | None:
    """As `current_scheduler`, but None where that would have to make one."""
    scheduler = _surrounding()
    if scheduler is None:
        from actors._default import default_if_running

        scheduler = default_if_running()
    return scheduler


def _surrounding() -> Scheduler | None:
    scheduler = here.scheduler
    if scheduler is None and here.actor is not None:
        scheduler = here.actor.scheduler
    if scheduler is None:
        scheduler = chosen_scheduler.get()
    return scheduler if scheduler is not None and scheduler.running else None
