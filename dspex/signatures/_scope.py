"""Where the type names of a signature's string form come from."""

from __future__ import annotations

import builtins
import importlib
import sys
import typing
from collections.abc import Mapping
from types import FrameType
from typing import Any

import pydantic

from dspex.signatures._parser import could_be_type

_MODULES = frozenset({"datetime", "decimal", "dspex", "enum", "pathlib", "pydantic", "typing", "uuid"})
"""Modules that a dotted type name may start with although the caller imported them under another name or not."""


def _outside() -> FrameType | None:
    """The innermost frame that is not dspex's own: the caller's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "dspex":
        frame = frame.f_back
    return frame


class Scope:
    """Looks a name up: the given types, builtins, the caller's frame and its callers', `typing`, pydantic, our types.

    The caller's names come before `typing` and before ours, so that a class of the user's called `Image` is
    the user's. Only types and modules count: a local variable that happens to be called `Text` does not.
    """

    def __init__(self, custom_types: Mapping[str, Any] | None = None) -> None:
        self.custom_types = custom_types or {}
        self.frame = _outside()

    def __call__(self, name: str) -> Any:
        if name in self.custom_types:
            return self.custom_types[name]
        value = getattr(builtins, name, None)
        if isinstance(value, type):
            return value
        frame = self.frame
        while frame is not None:
            for names in (frame.f_locals, frame.f_globals):
                if name in names and could_be_type(names[name]):
                    return names[name]
            frame = frame.f_back
        modules: tuple[Any, ...] = (typing, pydantic)
        for module in modules:
            if name in module.__all__:
                return getattr(module, name)
        if name in _MODULES:
            return importlib.import_module(name)
        from dspex import types  # the field types, last: most signatures name none of them

        if name in types.__all__:
            return getattr(types, name)
        raise LookupError(name)
