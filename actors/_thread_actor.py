"""The kind of actor for code that blocks: a thread of its own, and otherwise no difference."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import Any

import pykka
from pykka import messages

from actors._errors import ActorCrashed, Ignore, Reject, StartError, StopActor
from actors._exits import Crash, ExitReason, Killed, Normal
from actors._handlers import Kind, is_concurrent, kind_of
from actors._links import GRAPH
from actors._local import here
from actors._process import Process, State
from actors._reply import Reply

__all__ = ["ThreadActor"]


class ThreadActor(Process, pykka.ThreadingActor):
    """An actor on its own daemon thread: handlers may block it.

    `async def` handlers run on a private event loop in that thread; calls of a `@concurrent` handler each on a
    thread of the scheduler's pool.  Exit signals and kills take effect where the thread waits for mail or in
    `Reply.get`; elsewhere a kill fences it: dead for everybody at once, the thread listed as an orphan until it
    returns, its late answers dropped and counted.
    """

    __slots__ = (
        "_ending",
        "_interrupted",
        "_loop_runner",
        "_open",
        "_overlapping",
        "_resting",
        "_since",
        "_task",
        "_thread",
        "_tokens",
        "_waiting",
    )

    def _prepare(self, scheduler: Any, options: Any) -> None:
        super()._prepare(scheduler, options)
        self._tokens: SimpleQueue[None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._waiting: threading.Lock | None = None
        self._task: asyncio.Task[Any] | None = None
        self._interrupted = False
        self._loop_runner: asyncio.Runner | None = None
        self._ending: ExitReason | None = None
        self._open: set[Reply[Any]] = set()
        self._overlapping = 0
        self._resting = False
        self._since: float | None = None

    def _start_actor_loop(self) -> None:
        self._thread = threading.Thread(target=self._actor_loop, name=str(self._ref), daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._thread = None
            self._die(Crash.of(error))
            raise StartError(type(self), Crash.of(error)) from error

    # -- being woken

    def _notify(self) -> None:
        self._tokens.put(None)

    def _notify_signal(self, signal: tuple[str, Any, Any]) -> None:
        kind, _, reason = signal
        if kind == "kill":
            self._kill()
        elif not self.trap_exit and (kind == "stop" or (kind in ("exit", "link") and type(reason) is not Normal)):
            with GRAPH:  # one that the thread has taken up by now must not interrupt its `on_stop`
                if any(waiting is signal for waiting in self._signals or ()):
                    self._interrupt()
        self._tokens.put(None)

    def _interrupt(self) -> None:
        self._interrupted = True
        self._release()
        runner = self._loop_runner
        if runner is not None and self._task is not None:
            try:
                runner.get_loop().call_soon_threadsafe(self._cancel_task)
            except RuntimeError:
                return  # its loop has been closed: the thread is past its last handler

    def _cancel_task(self) -> None:
        if self._task is not None:
            self._interrupted = False
            self._task.cancel()

    def _release(self) -> None:
        waiting = self._waiting
        if waiting is not None:
            try:
                waiting.release()
            except RuntimeError:
                return  # the reply came at the same moment

    @contextmanager
    def interruptible(self, waiting: threading.Lock) -> Iterator[None]:
        if threading.current_thread() is not self._thread:
            yield
            return
        self._waiting = waiting
        if self._interrupted:
            self._release()
        try:
            yield
        finally:
            self._waiting = None
        if self._interrupted:
            self._interrupted = False
            raise asyncio.CancelledError(f"{self} was told to end")

    # -- the thread

    def _actor_loop(self) -> None:
        here.actor = self
        try:
            if self._begin():
                while self._state == State.ALIVE:
                    self._resting = True
                    self._tokens.get()
                    self._resting = False
                    self._turn()
                if self._state == State.STOPPING:
                    self._finish()
        finally:
            here.actor = None
            if self._loop_runner is not None:
                self._loop_runner.close()
            self.scheduler.orphan_returned(self._ref, threading.current_thread())

    def _begin(self) -> bool:
        self._state = State.STARTING
        try:
            if self._has_on_start:
                self._run(self.on_start, (), copy_context())
        except Ignore:
            started, self._started = self._started, None
            self._die(Normal())
            if started is not None:
                started.set(None)
            return False
        except BaseException as error:  # noqa: BLE001  a start that fails is data for who waits for it
            self._die(self._crash_reason(error))
            return False
        if self._state == State.STARTING:
            self._state = State.ALIVE
        started, self._started = self._started, None
        if started is not None:
            started.set(self._ref)
        return True

    def _turn(self) -> None:
        if self._signals:
            self._handle_signals()
        if self._state != State.ALIVE or self._suspended or not self._mail:
            return
        try:
            message, reply, context = self._mail.popleft()
        except IndexError:
            return
        if self._gate is not None:
            self._gate.refill(self._mail)
        self._cancel_quiet()
        self._handled += 1
        if type(message) is messages._ActorStop:
            if reply is not None:
                self._stops = [*(self._stops or ()), reply]
            self._state, self._ending = State.STOPPING, Normal()
            return
        if reply is not None:
            self._open.add(reply)
        handler: Callable[..., Any] | None
        try:
            handler = self._callee(message)
        except Exception as error:  # noqa: BLE001  an attribute that is not there
            self._failed(error, reply)
            return
        arguments: tuple[Any, ...] = ()
        if handler is None:
            handler, arguments = self.on_receive, (message,)
        if is_concurrent(handler):
            self._overlap(handler, arguments, message, reply, context)
        else:
            self._handle(handler, arguments, message, reply, context)

    def _handle(
        self,
        handler: Callable[..., Any],
        arguments: tuple[Any, ...],
        message: Any,
        reply: Reply[Any] | None,
        context: Context,
    ) -> None:
        here.reply = reply
        self._since = self.scheduler.clock.time()
        self.current_message = message
        try:
            answer = self._run(handler, arguments, context)
        except BaseException as error:  # noqa: BLE001  this is where handlers crash
            self._failed(error, reply)
        else:
            self._answer(reply, answer)
        finally:
            here.reply = None
            self.current_message = None

    def _answer(self, reply: Reply[Any] | None, answer: Any) -> None:
        if self._state == State.DEAD:
            self.scheduler.late_reply()
        elif reply is not None and here.reply is reply:
            self._open.discard(reply)
            reply.set(answer)

    def _overlap(
        self,
        handler: Callable[..., Any],
        arguments: tuple[Any, ...],
        message: Any,
        reply: Reply[Any] | None,
        context: Context,
    ) -> None:
        self._overlapping += 1

        def work() -> None:
            with self._helping() as alive:
                if not alive:
                    return
                here.actor, here.reply = self, reply
                try:
                    answer = context.run(handler, *arguments)
                    if asyncio.iscoroutine(answer):
                        answer = asyncio.run(answer)
                except BaseException as error:  # noqa: BLE001  as in _handle; the actor's own thread must end it
                    self._overlapped(error, reply)
                else:
                    self._answer(reply, answer)
                    self._overlapped(None, None)
                finally:
                    here.actor = here.reply = None

        self.scheduler.threads.run(work)

    def _overlapped(self, error: BaseException | None, reply: Reply[Any] | None) -> None:
        if error is not None and self._state == State.DEAD:
            self.scheduler.late_reply()
        self.signal(("overlapped", error, reply))

    def _run(self, handler: Callable[..., Any], arguments: tuple[Any, ...], context: Context) -> Any:
        if kind_of(handler) is not Kind.COROUTINE:
            answer = context.run(handler, *arguments)
            if not asyncio.iscoroutine(answer):
                return answer
        else:
            answer = handler(*arguments)
        if self._loop_runner is None:
            self._loop_runner = asyncio.Runner()
        return self._loop_runner.run(self._as_task(answer), context=context)

    async def _as_task(self, coroutine: Any) -> Any:
        self._task = asyncio.current_task()
        try:
            if self._interrupted:
                self._cancel_task()
            return await coroutine
        finally:
            self._task = None

    # -- what became of it

    def _take_reply(self) -> Reply[Any] | None:
        reply: Reply[Any] | None = here.reply
        here.reply = None
        if reply is not None:
            self._open.discard(reply)
        return reply

    def _failed(self, error: BaseException, reply: Reply[Any] | None) -> None:
        if self._state == State.DEAD:
            self.scheduler.late_reply()
        elif isinstance(error, Reject):
            self._rejected += 1
            if reply is not None:
                self._open.discard(reply)
                reply.set_exception(error.error)
        elif isinstance(error, StopActor):
            self._end(error.reason)
        elif isinstance(error, asyncio.CancelledError) and self._signals:
            self._handle_signals()  # it was interrupted by the signal that waits
        else:
            self._crash(error)

    def _crash(self, error: BaseException) -> None:
        reason = Crash.of(error)
        self.exit_reason = reason
        try:
            self.on_failure(type(error), error, error.__traceback__)
        except Exception:
            self.scheduler.log.exception("on_failure raised", actor=str(self))
        self._die(reason)

    def _handle_signals(self) -> None:
        signals = self._signals
        while signals and self._state != State.DEAD:
            with GRAPH:
                kind, argument, reply = signals.popleft()
            if kind in ("exit", "link"):  # a kill has been carried out by its sender
                if self._state < State.STOPPING:
                    try:
                        self._exit_signal(kind, argument, reply)
                    except BaseException as error:  # noqa: BLE001  a user's on_exit crashes its actor
                        self._failed(error, None)
            elif kind == "stop":
                self._end(reply)
            elif kind == "suspend":
                self._suspended = True
            elif kind == "resume":
                self._suspended = False
                for _ in self._mail or ():
                    self._tokens.put(None)
            elif kind == "overlapped":
                self._overlapping -= 1
                if argument is not None:
                    self._failed(argument, reply)
            elif kind == "inspect":
                try:
                    reply.set(argument(self))
                except Exception as error:  # noqa: BLE001  it is the inspector's own function
                    reply.set_exception(error)

    def _end(self, reason: ExitReason) -> None:
        if self._state < State.STOPPING:
            self._state, self._ending = State.STOPPING, reason
            self.exit_reason = reason
            self._tokens.put(None)

    def _cut(self, reason: ExitReason) -> None:
        self._die(reason)

    def _finish(self) -> None:
        reason = self._ending or Normal()
        self.exit_reason = reason
        while self._overlapping and self._state == State.STOPPING:
            self._tokens.get()
            self._handle_signals()
        self._interrupted = False
        try:
            if self._has_on_stop and self._state == State.STOPPING:
                self._run(self.on_stop, (), copy_context())
        except BaseException as error:  # noqa: BLE001  a cleanup that fails is the reason of the end
            reason = self._crash_reason(error)
        self._die(reason)

    def _kill(self) -> None:
        if self._state == State.DEAD:
            return
        self._die(Killed())
        self._interrupt()

    def _die(self, reason: ExitReason) -> None:
        # Threads are not seen in the loop's queue: this tells those who wait for quiet that news is on its way.
        self.scheduler.dying.append(self)
        try:
            super()._die(reason)
        finally:
            self.scheduler.dying.remove(self)

    def _left_running(self) -> list[threading.Thread]:
        left = super()._left_running()
        if self._thread is not None and self._thread is not threading.current_thread():
            left.append(self._thread)
        return left

    def _tell_askers(self, reason: ExitReason) -> None:
        opened, self._open = self._open, set()
        for reply in opened:
            reply.set_exception(ActorCrashed(self._ref, reason))
        super()._tell_askers(reason)
