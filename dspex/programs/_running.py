"""Running a module: which context it runs in, who watches it, and where its calls go.

A call goes to the module's own actor when the module is part of the spawned program that is running here; otherwise
it runs where it is when that is inside a call already, and as a request of the current system when it is not.
"""

from __future__ import annotations

import asyncio
import inspect
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from actors import Activity, BlockingOnLoopError
from actors.runtime import current_fiber, here
from dspex._settings import _overlay, settings
from dspex._usage import track_usage
from dspex.callbacks import Watch, active_callbacks
from dspex.programs._call import Call, current_call
from dspex.programs._metrics import Meter
from dspex.programs._placement import Place, set_apart
from dspex.programs._style import Style, code_of, style_of
from dspex.programs._trial import Trial

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import CodeType

    from dspex.programs._plan import Running
    from dspex.system._system import System

__all__ = [
    "call_async",
    "call_function",
    "call_sync",
    "observed_async",
    "observed_sync",
    "run_async",
    "run_in_fiber",
    "run_placed",
    "run_sync",
    "running_program",
]

running_program: ContextVar[Running | None] = ContextVar("dspex.program", default=None)
"""The spawned program that this code is part of, with the parameters that hold for this call."""


def call_sync(module: Any, args: tuple[Any, ...], inputs: dict[str, Any]) -> Any:
    """`module(*args, **inputs)`: the result.  A fiber parks, a thread blocks, a bare loop gets an error."""
    timeout = inputs.pop("timeout") if "timeout" in inputs and module.takes_timeout() else None
    program = running_program.get()
    cell = program.cells.get(id(module)) if program is not None else None
    parent = current_call.get()
    fiber = current_fiber()
    if fiber is None and here.scheduler is not None:
        raise BlockingOnLoopError(f"{type(module).__name__}()")
    if cell is None and timeout is None and parent is not None:
        if fiber is not None:
            return run_in_fiber(module, args, inputs, parent.system, fiber.activity)
        if style_of(module) in (Style.SYNC, Style.BOTH):
            return run_sync(module, args, inputs)
    system = parent.system if parent is not None else _current_system()
    call = Call(system, module, args, inputs, timeout)
    reply = cell.send(call) if cell is not None else system.request(call)
    if fiber is None and parent is not None:
        parent.adopt(call.cancel, reply)
    return call.wait(reply)


async def call_async(module: Any, args: tuple[Any, ...], inputs: dict[str, Any]) -> Any:
    """`await module.acall(*args, **inputs)`: the result.  On any event loop."""
    timeout = inputs.pop("timeout") if "timeout" in inputs and module.takes_timeout() else None
    program = running_program.get()
    cell = program.cells.get(id(module)) if program is not None else None
    parent = current_call.get()
    inline = cell is None and timeout is None and parent is not None and here.scheduler is not None
    if inline and style_of(module) is not Style.SYNC:
        return await run_async(module, args, inputs)
    system = parent.system if parent is not None else _current_system()
    call = Call(system, module, args, inputs, timeout)
    reply = cell.send(call) if cell is not None else system.request(call)
    try:
        return await reply
    except asyncio.CancelledError:
        call.abandon(reply)
        raise


def _current_system() -> System:
    from dspex.system._current import current_system

    return current_system()


# -- running it here


def run_in_fiber(module: Any, args: tuple[Any, ...], inputs: dict[str, Any], system: System, activity: Activity) -> Any:
    """Run it in this fiber, or in a thread that this fiber waits for if it blocks."""
    if style_of(module) is Style.ASYNC:
        return activity.drive(run_async(module, args, inputs))
    return run_placed(module.forward, module.blocking, system, run_sync, module, args, inputs)


def run_placed(function: Any, blocking: bool, system: System, run: Callable[..., Any], *args: Any) -> Any:
    """`run(*args)` in this fiber, or on a thread, by what is known of the code of `function`, which it calls.

    Where code is `set_apart` it runs on a thread whatever is known: that can be left behind, if it never comes back.
    """
    if set_apart.get():
        return system.scheduler.run_blocking(run, *args).get()
    code = code_of(function)
    if code is None and not blocking:
        return run(*args)
    place = Place.THREAD if code is None or blocking else system.placement.place(code)
    if place is Place.FIBER:
        return run(*args)
    if place is Place.THREAD or code is None:
        return system.scheduler.run_blocking(run, *args).get()
    system.watch_for_blocking(code)
    proved = False
    try:
        if place is Place.DOUBT:
            return system.scheduler.run_blocking(run, *args).get()
        _give_way(system, code)
        with Trial(system.scheduler, system.config.stall_after) as trial:
            result = run(*args)
            proved = not trial.held()
            return result
    finally:
        system.placement.left(code, place, proved)


def _give_way(system: System, code: CodeType) -> None:
    """Let the calls of `code` that came at the same time begin, on threads: this one may be about to hold the loop."""
    fiber = current_fiber()
    assert fiber is not None
    begun = -1
    while (now := system.placement.doubtful(code)) > begun:
        begun = now
        fiber.activity.drive(asyncio.sleep(0))


def run_sync(module: Any, args: tuple[Any, ...], inputs: dict[str, Any]) -> Any:
    """Run `forward` right here, as one of the modules around it."""
    outer = _overlay.get()
    _overlay.set({**outer, "caller_modules": (*(outer.get("caller_modules") or ()), module)})
    try:
        return observed_sync(module, args, inputs)
    finally:
        _overlay.set(outer)


async def run_async(module: Any, args: tuple[Any, ...], inputs: dict[str, Any]) -> Any:
    """Run `aforward` right here, as one of the modules around it."""
    outer = _overlay.get()
    _overlay.set({**outer, "caller_modules": (*(outer.get("caller_modules") or ()), module)})
    try:
        return await observed_async(module, args, inputs)
    finally:
        _overlay.set(outer)


def _shown(args: tuple[Any, ...], inputs: dict[str, Any]) -> dict[str, Any]:
    return {"args": args, **inputs} if args else inputs


def _wants_usage() -> bool:
    """True for the outermost module: nobody counts yet."""
    tracker = settings.usage_tracker
    return tracker is None or (type(tracker) is Meter and tracker.parent is None)


def observed_sync(module: Any, args: tuple[Any, ...], inputs: dict[str, Any]) -> Any:
    """`forward`, seen by the callbacks, its usage on the prediction if that is configured."""
    if settings.track_usage and _wants_usage():
        with track_usage() as tracker:
            result = observed_sync(module, args, inputs)
        return _with_usage(result, tracker.get_total_tokens())
    callbacks = active_callbacks(module)
    if not callbacks:
        return module.forward(*args, **inputs)
    with Watch(callbacks, "module", module, _shown(args, inputs)) as watch:
        watch.outputs = module.forward(*args, **inputs)
    return watch.outputs


def observed_async(module: Any, args: tuple[Any, ...], inputs: dict[str, Any]) -> Awaitable[Any]:
    """`aforward`, seen by the callbacks, its usage on the prediction if that is configured."""
    if settings.track_usage and _wants_usage():
        return _counted_async(module, args, inputs)
    callbacks = active_callbacks(module)
    # Itself, where nobody looks on: a coroutine around it would cost every call in flight memory.
    awaitable: Awaitable[Any] = (
        module.aforward(*args, **inputs) if not callbacks else _watched_async(callbacks, module, args, inputs)
    )
    return awaitable


async def _counted_async(module: Any, args: tuple[Any, ...], inputs: dict[str, Any]) -> Any:
    with track_usage() as tracker:
        result = await observed_async(module, args, inputs)
    return _with_usage(result, tracker.get_total_tokens())


async def _watched_async(callbacks: Any, module: Any, args: tuple[Any, ...], inputs: dict[str, Any]) -> Any:
    with Watch(callbacks, "module", module, _shown(args, inputs)) as watch:
        watch.outputs = await module.aforward(*args, **inputs)
    return watch.outputs


def _with_usage(result: Any, usage: dict[str, Any]) -> Any:
    from dspex.primitives import Prediction

    if isinstance(result, Prediction):
        result.set_lm_usage(usage)
    return result


async def call_function(function: Callable[..., Any], *args: Any, **inputs: Any) -> Any:
    """The result of something of the user's that is no module: awaited if it is async, else in a fiber of its own."""
    if inspect.iscoroutinefunction(function):
        return await function(*args, **inputs)
    system = _current_system()
    result = await system.scheduler.submit(run_placed, function, False, system, lambda: function(*args, **inputs))
    return await result if inspect.isawaitable(result) else result
