"""Names that actor classes must leave to the runtime, and the check that they do.

An actor's own attributes live beside the runtime's.  Overwriting one of those (`self._state = ...` is easily
written) would break the actor in ways that point anywhere but there, so it is refused when the class is made.
"""

from __future__ import annotations

import dis
from types import FunctionType, MemberDescriptorType

from actors._errors import HandlerError

__all__ = ["refuse_reserved_names"]


def refuse_reserved_names(cls: type) -> None:
    """Look through what `cls` itself defines and sets.

    Raises:
        HandlerError: it defines a private method of the runtime, or sets one of its private attributes on `self`.
    """
    if cls.__module__.startswith("actors."):
        return
    reserved = _reserved(cls)
    for name, value in cls.__dict__.items():
        if name in reserved and isinstance(value, FunctionType | property | MemberDescriptorType):
            raise HandlerError(f"{cls.__qualname__}.{name} would replace a part of the runtime: choose another name")
        if isinstance(value, FunctionType):
            for attribute in _set_on_self(value, reserved):
                raise HandlerError(
                    f"{cls.__qualname__}.{name} sets self.{attribute}, a part of the runtime: choose another name"
                )


def _reserved(cls: type) -> set[str]:
    ours = (base for base in cls.__mro__[1:] if base.__module__.startswith(("actors.", "pykka.")))
    names = {name for base in ours for name in base.__dict__ if name.startswith("_") and not name.startswith("__")}
    return {
        name for name in names if name.startswith("_") and not name.startswith("__") and not name.startswith("_abc")
    }


def _set_on_self(function: FunctionType, reserved: set[str]) -> list[str]:
    code = function.__code__
    suspicious = reserved.intersection(code.co_names)
    if not suspicious or not code.co_argcount:
        return []
    this = code.co_varnames[0]
    found = []
    before: dis.Instruction | None = None
    for instruction in dis.get_instructions(code):
        onto_self = before is not None and before.opname.startswith("LOAD_FAST") and _last(before.argval) == this
        if instruction.opname == "STORE_ATTR" and instruction.argval in suspicious and onto_self:
            found.append(instruction.argval)
        before = instruction
    return found


def _last(argument: object) -> object:
    """The variable on top of the stack: newer interpreters load two with one instruction."""
    return argument[-1] if isinstance(argument, tuple) else argument
