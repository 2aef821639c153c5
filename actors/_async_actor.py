"""The light kind of actor: runs on a scheduler's loop, and owns nothing but its state while it is idle."""

from __future__ import annotations

from contextvars import Context, copy_context
from threading import current_thread
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from pykka import messages

from actors._activity import Activity
from actors._errors import ActorCrashed, Ignore, Reject, StopActor
from actors._exits import Crash, ExitReason, Killed, Normal
from actors._handlers import Kind, is_concurrent, kind_of
from actors._local import here
from actors._process import Process, State
from actors._reply import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["AsyncActor"]

_BATCH = 64
_SPECIAL = frozenset({messages.ProxyCall, messages.ProxyGetAttr, messages.ProxySetAttr, messages._ActorStop})


class AsyncActor(Process):
    """An actor on the event loop: no thread and no task of its own, some 440 bytes while idle.

    Handlers may be `def` (straight on the loop; must not wait), `async def`, `@fiber def` (may wait, as if on a
    thread) or `@blocking def` (on a pool thread).  One message at a time, in the order of arrival; a `@concurrent`
    handler lets the next message begin while it waits.  What it returns answers the asker.  An exception ends the
    actor, as in OTP, and the asker gets it as the cause of `ActorCrashed`; `raise Reject(error)` only answers.
    """

    __slots__ = ("_activities", "_current", "_ending", "_scheduled")

    def _prepare(self, scheduler: Any, options: Any) -> None:
        super()._prepare(scheduler, options)
        self._current: Activity | None = None
        self._activities: set[Activity] | None = None
        self._ending: tuple[ExitReason, bool] | None = None
        self._scheduled = False

    def _start_actor_loop(self) -> None:
        if self._has_on_start:
            self._scheduled = True
            self.scheduler.enqueue(self)
        else:
            self._begin()

    def _begin(self) -> None:
        self._state = State.ALIVE
        started, self._started = self._started, None
        if started is not None:
            started.set(self._ref)

    # -- being woken

    def _notify(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self.scheduler.enqueue(self)

    def _notify_signal(self, signal: tuple[str, Any, Any]) -> None:
        self.scheduler.enqueue(self)

    # -- one turn on the loop

    def run(self) -> None:
        """Handle signals, then a bounded batch of mail.  Called by the scheduler, in the hub."""
        if self._signals:
            self._handle_signals()
        state = self._state
        if state == State.ALIVE:
            if self._current is None:
                self._handle_mail()
        elif state == State.NEW:
            self._state = State.STARTING
            self._perform(self.on_start, None, None, copy_context(), self._started_up)

    def _handle_mail(self) -> None:
        mail = self._mail
        budget = _BATCH
        scheduler = self.scheduler
        scheduler.running_actor = self
        while mail and budget and not self._suspended:
            message, reply, context = mail.popleft()
            if self._gate is not None:
                self._gate.refill(mail)
            if self._quiet is not None:
                self._cancel_quiet()
            budget -= 1
            self._handled += 1
            if type(message) in _SPECIAL:
                self._special(message, reply, context)
            elif self._receive_kind is Kind.PLAIN and not (
                scheduler.blocking and scheduler.is_blocking(self.on_receive)
            ):
                self._answering = reply
                self.current_message = message
                try:
                    answer = context.run(self.on_receive, message)
                except BaseException as error:  # noqa: BLE001  this is where handlers crash
                    self.current_message = None
                    self._failed(error, self._take_reply())
                else:
                    self.current_message = None
                    if type(answer) is CoroutineType:
                        self._adopt(answer, message, self._take_reply(), context)
                    elif reply is not None and self._answering is reply:
                        self._answering = None
                        reply.set(answer)
            else:
                self._receive(message, reply, context)
            if self._current is not None or self._state != State.ALIVE:
                scheduler.running_actor = None
                return
            if self._signals:
                break
        scheduler.running_actor = None
        self._rest()

    def _rest(self) -> None:
        """Nothing runs: come back if there is mail, else sleep until there is."""
        self._scheduled = False
        if (self._mail and not self._suspended) or self._signals:
            self._scheduled = True
            self.scheduler.enqueue(self)

    def _special(self, message: Any, reply: Reply[Any] | None, context: Context) -> None:
        if type(message) is messages._ActorStop:
            if reply is not None:
                self._stops = [*(self._stops or ()), reply]
            self._ending = (Normal(), True)
            self._state = State.STOPPING
            self._finish_ending()
            return
        try:
            callee = self._callee(message)
        except Exception as error:  # noqa: BLE001  an attribute that is not there
            self._failed(error, reply)
            return
        assert callee is not None
        self._dispatch(callee, message, reply, context)

    def _receive(self, message: Any, reply: Reply[Any] | None, context: Context) -> None:
        """`_dispatch` to `on_receive`, of which is known what kind it is and that it takes a message."""
        kind, scheduler, handler = self._receive_kind, self.scheduler, self.on_receive
        if scheduler.blocking or kind not in (Kind.COROUTINE, Kind.FIBER):
            self._dispatch(handler, message, reply, context)
            return
        activity = Activity(
            scheduler,
            handler(message) if kind is Kind.COROUTINE else lambda: handler(message),
            context,
            self._handled_message,
            fiber=kind is Kind.FIBER,
            actor=self,
            message=message,
            reply=reply,
        )
        self._take_up(activity, self._receive_concurrent)

    def _dispatch(self, handler: Callable[..., Any], message: Any, reply: Reply[Any] | None, context: Context) -> None:
        """Run a handler of any kind; serial ones make the actor busy until they end."""
        arguments = () if type(message) in _SPECIAL else (message,)
        self._perform(handler, arguments, reply, context, self._handled_message, message, is_concurrent(handler))

    def _perform(
        self,
        handler: Callable[..., Any],
        arguments: tuple[Any, ...] | None,
        reply: Reply[Any] | None,
        context: Context,
        finished: Callable[[Activity, Any, BaseException | None], None],
        message: Any = None,
        overlapping: bool = False,
    ) -> None:
        """Start an activity for `handler(*arguments)`: its first step is taken here and now."""
        scheduler = self.scheduler
        arguments = arguments or ()
        kind = kind_of(handler)
        if scheduler.blocking and kind in (Kind.PLAIN, Kind.FIBER) and scheduler.is_blocking(handler):
            kind = Kind.BLOCKING
        work: Any
        if kind is Kind.BLOCKING:
            work = self._on_thread(handler, arguments, context)
        elif kind is Kind.FIBER:
            work = lambda: handler(*arguments)  # noqa: E731
        else:
            work = _called(handler, arguments)
        activity = Activity(
            scheduler,
            work,
            context,
            finished,
            fiber=kind is Kind.FIBER,
            actor=self,
            message=message,
            reply=reply,
        )
        self._take_up(activity, overlapping)

    def _adopt(self, coroutine: Any, message: Any, reply: Reply[Any] | None, context: Context) -> None:
        """A plain handler returned a coroutine: it is an `async def` in disguise (a lambda, a decorator)."""
        activity = Activity(
            self.scheduler,
            coroutine,
            context,
            self._handled_message,
            actor=self,
            message=message,
            reply=reply,
        )
        self._take_up(activity, self._receive_concurrent)

    def _take_up(self, activity: Activity, overlapping: bool) -> None:
        if overlapping:
            if self._activities is None:
                self._activities = set()
            self._activities.add(activity)
        else:
            self._current = activity
        activity.run()

    async def _on_thread(self, handler: Callable[..., Any], arguments: tuple[Any, ...], context: Context) -> Any:
        activity = self.scheduler.running_activity

        def work() -> Any:
            here.actor = self
            if activity is not None:
                activity.thread = current_thread()  # for those who look at the stack
            try:
                with self._helping() as alive:
                    if alive:
                        try:
                            return context.copy().run(handler, *arguments)
                        finally:
                            if self._state == State.DEAD:
                                self.scheduler.late_reply()
            finally:
                here.actor = None

        answer = await self.scheduler.run_blocking(work)
        # A plain handler may hand back a coroutine, on a thread as on the loop; the loop is where that runs.
        return await answer if type(answer) is CoroutineType else answer

    # -- what became of it

    def _handled_message(self, activity: Activity, value: Any, error: BaseException | None) -> None:
        if self._state == State.DEAD:
            self.scheduler.late_reply()
            return
        reply = activity.reply
        if activity is self._current:
            self._current = None
        elif self._activities is not None:
            self._activities.discard(activity)
        if error is not None:
            self._failed(error, reply)
        elif reply is not None and not activity.deferred:
            reply.set(value)
        if self._state == State.ALIVE:
            if self._current is None:
                self._rest()
        elif self._state == State.STOPPING:
            self._finish_ending()

    def _failed(self, error: BaseException, reply: Reply[Any] | None) -> None:
        if isinstance(error, Reject):
            self._rejected += 1
            if reply is not None:
                reply.set_exception(error.error)
            return
        if reply is not None:
            # Answered when the actor is dead, so that who reads the answer finds it dead.
            self._deferred = {*(self._deferred or ()), reply}
        if self._state == State.STOPPING:
            return
        if isinstance(error, StopActor):
            self._end(error.reason)
        else:
            self._crash(error)

    def _crash(self, error: BaseException) -> None:
        reason: ExitReason = Crash.of(error)
        self.exit_reason = reason
        try:
            self.on_failure(type(error), error, error.__traceback__)
        except Exception:
            self.scheduler.log.exception("on_failure raised", actor=str(self))
        self._cancel_all()
        self._die(reason)

    def _tell_askers(self, reason: ExitReason) -> None:
        for activity in (self._current, *(self._activities or ())):
            if activity is not None and activity.reply is not None:
                activity.reply.set_exception(ActorCrashed(self._ref, reason))
        super()._tell_askers(reason)

    def _take_reply(self) -> Reply[Any] | None:
        activity = self.scheduler.running_activity
        if activity is not None and activity.actor is self:
            activity.deferred = True
            reply, activity.reply = activity.reply, None
            return reply
        return super()._take_reply()

    # -- starting and ending

    def _started_up(self, activity: Activity, value: Any, error: BaseException | None) -> None:
        self._current = None
        if self._state == State.STOPPING:
            self._finish_ending()
        elif error is None:
            self._begin()
            self._rest()
        elif isinstance(error, Ignore):
            started, self._started = self._started, None
            self._die(Normal())
            if started is not None:
                started.set(None)
        else:
            self._die(self._crash_reason(error))

    def _handle_signals(self) -> None:
        signals = self._signals
        while signals and self._state != State.DEAD:
            kind, argument, reply = signals.popleft()
            if kind == "kill":
                self._kill()
            elif kind in ("exit", "link"):
                if self._state != State.STOPPING:
                    try:
                        self._exit_signal(kind, argument, reply)
                    except BaseException as error:  # noqa: BLE001  a user's on_exit crashes its actor, not the loop
                        self._failed(error, None)
            elif kind == "stop":
                self._end(reply)
                if not self.trap_exit and self._current is not None:
                    self._current.cancel()
            elif kind == "suspend":
                self._suspended = True
            elif kind == "resume":
                self._suspended = False
                if self._current is None:
                    self._rest()
            else:
                try:
                    reply.set(argument(self))
                except Exception as error:  # noqa: BLE001  it is the inspector's own function
                    reply.set_exception(error)

    def _end(self, reason: ExitReason) -> None:
        """The handler at work goes on to its end, overlapping ones are cancelled, `on_stop` runs, then death."""
        if self._state >= State.STOPPING:
            return
        self._ending = (reason, True)
        self._state = State.STOPPING
        self.exit_reason = reason
        for activity in list(self._activities or ()):
            activity.cancel()
        self.scheduler.enqueue(_Continuation(self._finish_ending))

    def _cut(self, reason: ExitReason) -> None:
        """Everything is cancelled at its wait; dead when that has unwound."""
        if self._state >= State.STOPPING:
            return
        self._ending = (reason, False)
        self._state = State.STOPPING
        self.exit_reason = reason
        self._cancel_all()
        self._finish_ending()

    def _cancel_all(self) -> None:
        if self._current is not None:
            self._current.cancel()
        for activity in list(self._activities or ()):
            activity.cancel()

    def _finish_ending(self) -> None:
        """If nothing runs any more: `on_stop` where it is due, then death."""
        if self._state != State.STOPPING or self._current is not None or self._activities or self._ending is None:
            return
        (reason, orderly), self._ending = self._ending, None
        self.exit_reason = reason
        if orderly and self._has_on_stop:
            self._perform(self.on_stop, None, None, copy_context(), self._stopped)
        else:
            self._die(reason)

    def _stopped(self, activity: Activity, value: Any, error: BaseException | None) -> None:
        self._current = None
        assert self.exit_reason is not None
        self._die(self.exit_reason if error is None else self._crash_reason(error))

    def _kill(self) -> None:
        running = [a for a in (self._current, *(self._activities or ())) if a is not None]
        self._die(Killed())
        self._current = None
        self._activities = None
        for activity in running:
            if not activity.kill():
                self._fence(activity)

    def _fence(self, activity: Activity) -> None:
        """It was killed and goes on: whatever comes of it is nobody's any more."""

        def returned(*_: object) -> None:
            self.scheduler.late_reply()
            self.scheduler.orphan_returned(self._ref, activity)

        activity.finished = returned
        self.scheduler.add_orphan(self._ref, activity)


class _Continuation:
    """A function on the ready queue."""

    __slots__ = ("run",)

    def __init__(self, run: Callable[[], None]) -> None:
        self.run = run


async def _called(handler: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """A handler as a coroutine, its call included: wrong arguments are its failure, not the loop's."""
    answer = handler(*arguments)
    return await answer if type(answer) is CoroutineType else answer
