"""How a metric is called: with as many of (example, prediction, trace) as it takes."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any


def metric_arguments(
    metric: Callable[..., Any], example: Any, prediction: Any, trace: list[Any] | None = None
) -> tuple[Any, ...]:
    """The positional arguments for one verdict.

    The example and the prediction; the trace, where there is one and the metric takes a third; and None for what it
    insists on besides.
    """
    least, most = _positional(metric)
    given = (example, prediction) if trace is None or most < 3 else (example, prediction, trace)
    return given + (None,) * (least - len(given))


def _positional(metric: Callable[..., Any]) -> tuple[int, float]:
    """How many positional arguments it needs at least, and takes at most."""
    metric = _called(metric)
    # As nearly all are: twenty times as fast as by its signature.
    function: Any = metric
    if not isinstance(metric, FunctionType | MethodType | type):
        function = getattr(metric, "__call__", None)  # noqa: B004  it is not asked whether it has one
    own = type(function) is MethodType
    if own:
        function = function.__func__
    if type(function) is FunctionType and not hasattr(function, "__wrapped__"):
        code = function.__code__
        least = code.co_argcount - len(function.__defaults__ or ()) - own
        return max(0, least), math.inf if code.co_flags & inspect.CO_VARARGS else code.co_argcount - own
    try:
        parameters = inspect.signature(metric).parameters.values()
    except (TypeError, ValueError):
        return 2, math.inf  # built in, and tells nothing
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    least = sum(p.default is p.empty for p in places)
    return least, math.inf if any(p.kind is p.VAR_POSITIONAL for p in parameters) else len(places)


def _called(metric: Callable[..., Any]) -> Callable[..., Any]:
    """What gets the arguments in the end: of a module its `forward`, or its `aforward` where that is what it has."""
    predict = sys.modules.get("dspex.predict")  # whoever has a module has imported it: a metric's process seldom
    if predict is None or not isinstance(metric, predict.Module):
        return metric
    from dspex.programs._style import Style, style_of

    called: Callable[..., Any] = getattr(metric, "aforward" if style_of(metric) is Style.ASYNC else "forward")
    return called
