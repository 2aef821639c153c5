"""The actors that calls run in: one for each module instance of a spawned program, and one for all other calls."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Any

from actors import AsyncActor, Reject, concurrent, fiber, hosting
from actors.runtime import current_fiber
from dspex._errors import LMTimeoutError
from dspex._settings import _overlay
from dspex.programs._call import Call, current_call, settings_on
from dspex.programs._metrics import Tally
from dspex.programs._running import observed_async, observed_sync, run_in_fiber, run_placed, running_program

if TYPE_CHECKING:
    from contextvars import Context

    from actors import Reply
    from dspex.programs._plan import Cell

__all__ = ["ModuleActor", "Requests", "SyncModuleActor"]


def _enter(cell: Cell, call: Call) -> None:
    """Make the context that of this call.  Each call has a context of its own: nothing is put back."""
    program = running_program.get()
    if program is None or program.plan is not cell.plan:
        running_program.set(cell.plan.running)
        overlay = settings_on(call.system)
    else:
        overlay = dict(_overlay.get())
    current_call.set(call)
    overlay["caller_modules"] = (*(overlay.get("caller_modules") or ()), cell.module)
    overlay["usage_tracker"] = cell.meter(overlay.get("usage_tracker"))
    _set_deadline(overlay, call)
    _overlay.set(overlay)


def _set_deadline(overlay: dict[str, Any], call: Call) -> None:
    """A call within another has the sooner of both deadlines."""
    if call.deadline is not None:
        outer = overlay.get("deadline")
        overlay["deadline"] = call.deadline if outer is None else min(outer, call.deadline)


def _refusal(call: Call, error: BaseException, activity: Any) -> BaseException:
    """What to raise for a call that failed: the actor lives on unless its own end has cancelled the call."""
    if call.error is not None:
        return Reject(call.error)
    if isinstance(error, LMTimeoutError) and error.code == "deadline" and call.is_late():
        return Reject(call.too_late())  # the model call saw the same deadline pass before this call's own timer did
    if isinstance(error, asyncio.CancelledError) and activity is not None and activity.cancelling():
        return error
    return Reject(error)


class ModuleActor(AsyncActor):
    """Runs the calls of one module instance, as many at once as there are.

    What `aforward` raises is the answer to that call; only what ends the actor (an exit signal, a kill, a
    `SystemExit` raised in it) fails the other calls at work, with `ActorCrashed`.
    """

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell

    def on_start(self) -> None:
        """Again and again: the instance has its first state and the parameters of now."""
        if self.cell.ref is not None:
            self.cell.plan.restore(self.cell)
        self.cell.opened(self.actor_ref)

    def on_undelivered(self, message: Any, reply: Reply[Any] | None, context: Context) -> bool:
        """A call that was never begun is not lost with this actor: it waits for the next one."""
        if type(message) is not Call or reply is None:
            return False
        self.cell.keep(message, reply, context)
        return True

    def tree_metrics(self) -> dict[str, Any]:
        """What the supervision tree shows of it."""
        return self.cell.tally.read().to_json()

    @concurrent
    async def on_receive(self, message: Any) -> Any:
        """Run a `Call`."""
        if type(message) is not Call:
            return None
        cell, tally = self.cell, self.cell.tally
        activity = self.scheduler.running_activity
        tally.calls += 1
        tally.in_flight += 1
        begin = perf_counter()
        try:
            message.begin(activity)
            _enter(cell, message)
            return await observed_async(cell.module, message.args, message.inputs)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  it is the answer to this call
            tally.errors += 1
            raise _refusal(message, error, activity) from None
        except BaseException as error:  # a SystemExit or the like: it ends this actor, and this call is the cause
            message.system.struck(cell.title, message, error)
            raise
        finally:
            tally.in_flight -= 1
            tally.latency.add(perf_counter() - begin)
            message.end()


class SyncModuleActor(ModuleActor):
    """The same for a module with a synchronous `forward`: each call is a fiber, or a thread if it blocks."""

    @concurrent
    @fiber
    @hosting
    def on_receive(self, message: Any) -> Any:
        """Run a `Call`."""
        if type(message) is not Call:
            return None
        cell, tally = self.cell, self.cell.tally
        running = current_fiber()
        assert running is not None
        activity = running.activity
        tally.calls += 1
        tally.in_flight += 1
        begin = perf_counter()
        try:
            message.begin(activity)
            _enter(cell, message)
            module = cell.module
            return run_placed(
                module.forward, module.blocking, message.system, observed_sync, module, message.args, message.inputs
            )
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  it is the answer to this call
            tally.errors += 1
            raise _refusal(message, error, activity) from None
        except BaseException as error:  # a SystemExit or the like: it ends this actor, and this call is the cause
            message.system.struck(cell.title, message, error)
            raise
        finally:
            tally.in_flight -= 1
            tally.latency.add(perf_counter() - begin)
            message.end()


class Requests(AsyncActor):
    """Runs the calls of modules that nobody spawned: each on its own, none can disturb another."""

    def __init__(self) -> None:
        super().__init__()
        self.tally = Tally()

    def tree_metrics(self) -> dict[str, Any]:
        """What the supervision tree shows of it."""
        return self.tally.read().to_json()

    @concurrent
    @fiber
    @hosting
    def on_receive(self, message: Any) -> Any:
        """Run a `Call`."""
        if type(message) is not Call:
            return None
        running = current_fiber()
        assert running is not None
        activity, tally = running.activity, self.tally
        tally.calls += 1
        tally.in_flight += 1
        begin = perf_counter()
        try:
            message.begin(activity)
            current_call.set(message)
            overlay = settings_on(message.system)
            _set_deadline(overlay, message)
            _overlay.set(overlay)
            return run_in_fiber(message.module, message.args, message.inputs, message.system, activity)
        except BaseException as error:  # noqa: BLE001  even SystemExit is the business of that caller alone
            tally.errors += 1
            raise _refusal(message, error, activity) from None
        finally:
            tally.in_flight -= 1
            tally.latency.add(perf_counter() - begin)
            message.end()
