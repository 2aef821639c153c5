"""Callbacks: watch modules, LMs, adapters, tools, evaluations and compilations start and end.

Callbacks come from `settings.callbacks` and from the instance's own `callbacks`. When there are none, a
watched call costs one check. A callback that raises is logged and does not disturb the call that it watches.
"""

from __future__ import annotations

import functools
import inspect
import logging
import uuid
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Literal, TypeVar, cast

from dspex._settings import settings

__all__ = ["ACTIVE_CALL_ID", "BaseCallback", "Watch", "active_callbacks", "with_callbacks"]

Kind = Literal["module", "lm", "adapter_format", "adapter_parse", "tool", "evaluate", "compile"]

ACTIVE_CALL_ID: ContextVar[str | None] = ContextVar("dspex_call_id", default=None)
"""The id of the innermost watched call around this code. In an `on_*_start` it is still the parent's."""

_log = logging.getLogger(__name__)

_F = TypeVar("_F", bound=Callable[..., Any])


class BaseCallback:
    """Override what you want to watch. `call_id` is the same at start and end.

    In a callback `ACTIVE_CALL_ID` is the id of the call around the watched one. Callbacks
    run in the thread or on the loop of the call: keep them short, and hand long work to somebody else.
    """

    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None: ...
    def on_module_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None: ...
    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None: ...
    def on_lm_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None: ...
    def on_adapter_format_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None: ...
    def on_adapter_format_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None: ...
    def on_adapter_parse_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None: ...
    def on_adapter_parse_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None: ...
    def on_tool_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None: ...
    def on_tool_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None: ...
    def on_evaluate_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None: ...
    def on_evaluate_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None: ...
    def on_compile_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None: ...
    def on_compile_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None: ...


def active_callbacks(instance: Any) -> tuple[BaseCallback, ...]:
    """The callbacks that watch `instance` here and now: the settings' first, then its own."""
    shared = settings.callbacks
    own = getattr(instance, "callbacks", None)
    if not shared and not own:
        return ()
    return (*(shared or ()), *(own or ()))


class Watch:
    """One watched call: ``with Watch(callbacks, kind, instance, inputs) as watch: watch.outputs = ...``.

    Fires start, then end with `outputs` or the exception; in between it is the parent of inner calls.
    """

    __slots__ = ("_callbacks", "_kind", "_parent", "call_id", "inputs", "instance", "outputs")

    def __init__(
        self, callbacks: tuple[BaseCallback, ...], kind: Kind, instance: Any, inputs: Mapping[str, Any]
    ) -> None:
        self._callbacks = callbacks
        self._kind = kind
        self._parent: str | None = None
        self.call_id = uuid.uuid4().hex
        self.instance = instance
        self.inputs = dict(inputs)
        self.outputs: Any = None

    def __enter__(self) -> Watch:
        self._fire("start", instance=self.instance, inputs=self.inputs)
        self._parent = ACTIVE_CALL_ID.get()
        ACTIVE_CALL_ID.set(self.call_id)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ACTIVE_CALL_ID.set(self._parent)
        self._fire("end", outputs=None if error is not None else self.outputs, exception=error)

    def _fire(self, moment: str, **arguments: Any) -> None:
        name = f"on_{self._kind}_{moment}"
        for callback in self._callbacks:
            try:
                getattr(callback, name)(call_id=self.call_id, **arguments)
            except Exception:  # noqa: BLE001
                # An observer's defect is its own: the observed call goes on.
                _log.exception("%s.%s raised; the call that it watches goes on", type(callback).__name__, name)


def with_callbacks(kind: Kind) -> Callable[[_F], _F]:
    """Decorate a method, plain or async: callbacks of `kind` see its calls, its arguments as `inputs`."""

    def decorate(function: _F) -> _F:
        parameters = inspect.signature(function)

        def inputs(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
            bound = parameters.bind_partial(instance, *args, **kwargs).arguments
            bound.pop(next(iter(parameters.parameters)))
            for parameter in parameters.parameters.values():
                if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                    bound.update(bound.pop(parameter.name, {}))
            return dict(bound)

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def watched_async(self: Any, *args: Any, **kwargs: Any) -> Any:
                callbacks = active_callbacks(self)
                if not callbacks:
                    return await function(self, *args, **kwargs)
                with Watch(callbacks, kind, self, inputs(self, args, kwargs)) as watch:
                    watch.outputs = await function(self, *args, **kwargs)
                return watch.outputs

            return cast(_F, watched_async)

        @functools.wraps(function)
        def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
            callbacks = active_callbacks(self)
            if not callbacks:
                return function(self, *args, **kwargs)
            with Watch(callbacks, kind, self, inputs(self, args, kwargs)) as watch:
                watch.outputs = function(self, *args, **kwargs)
            return watch.outputs

        return cast(_F, watched)

    return decorate
