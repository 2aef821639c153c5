"""Code and models by their content: keys and texts that are the same in every process.

Code counts as its bytecode: neither comments nor places in a file matter, another minor version of Python does. What
is this package's own counts by its name. No key and no header is ever part of anything here.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import CodeType, FunctionType, MethodType
from typing import Any
from urllib.parse import urlsplit

from dspex.lm import LM, BaseLM
from dspex.lm._base import SECRET_PARAMS
from dspex.predict import Module

from ._candidate import content_key

_OURS = frozenset({"dspex", "actors", "supervision"})
_PLAIN = (str, int, float, bool, type(None))
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})


def lm_text(lm: Any) -> str:
    """A model, its parameters, and where it is asked. A server on this machine has no port: it gets another one each
    time it is started."""
    if lm is None:
        return "none"
    name = str(getattr(lm, "model", type(lm).__qualname__))
    text = name if isinstance(lm, LM) else f"{type(lm).__qualname__} {name}"
    kwargs = {k: v for k, v in getattr(lm, "kwargs", {}).items() if v is not None and k not in SECRET_PARAMS}
    shown = [f"{key}={value_text(kwargs[key])}" for key in sorted(kwargs)]
    if getattr(lm, "model_type", "chat") != "chat":
        shown.insert(0, f"model_type={lm.model_type}")
    if shown:
        text += f"({', '.join(shown)})"
    return f"{text} at {_place(lm.endpoint.base_url)}" if isinstance(lm, LM) else text


def _place(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = "" if parts.port is None or host in _LOCAL else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}{parts.path}"


def object_text(value: Any) -> str:
    """A class with its plain settings; one that is not ours also with its code."""
    kind = type(value)
    shown = []
    for name, item in sorted(vars(value).items()):
        if not name.startswith("_") and item is not None and (isinstance(item, _PLAIN) or _is_model(item)):
            shown.append(f"{name}={value_text(item)}")
    if not _is_ours(kind.__module__):
        shown.append(f"code={content_key(_class_code(kind, set()))}")
    return f"{kind.__qualname__}({', '.join(shown)})"


def value_text(value: Any) -> str:
    if isinstance(value, _PLAIN):
        return repr(value)
    return lm_text(value) if _is_model(value) else content_key(_constant(value, set()))


def _is_model(value: Any) -> bool:
    return isinstance(value, BaseLM)


def _is_ours(module: str | None) -> bool:
    return (module or "").partition(".")[0] in _OURS


def program_key(program: Module) -> str:
    """The code of a program and of all modules in it that are not ours."""
    seen: set[int] = set()
    parts = []
    for path, module in program.named_sub_modules():
        own = vars(module).get("forward") or vars(module).get("aforward")
        parts.append([path, type(module).__qualname__, _class_code(type(module), seen), _callable(own, seen)])
    return content_key(parts)


def callable_key(function: Callable[..., Any]) -> str:
    """The code of a function, with its defaults, what it closes over, and the functions of its own file that it
    calls; of a module or an object, the code of its class."""
    if isinstance(function, Module):
        return program_key(function)
    return content_key(_callable(function, set()))


def _class_code(kind: type, seen: set[int]) -> list[Any]:
    found: list[Any] = []
    for owner in kind.__mro__:
        if _is_ours(owner.__module__) or owner.__module__ == "builtins":
            continue
        for name, member in sorted(vars(owner).items()):
            if isinstance(member, property):
                found += [[name, _callable(part, seen)] for part in (member.fget, member.fset) if part is not None]
            elif isinstance(member, FunctionType | staticmethod | classmethod):
                found.append([name, _callable(getattr(member, "__func__", member), seen)])
    return found


def _callable(value: Any, seen: set[int]) -> Any:
    if value is None:
        return None
    if isinstance(value, functools.partial):
        given = [[name, _constant(item, seen)] for name, item in sorted(value.keywords.items())]
        return ["partial", _callable(value.func, seen), [_constant(item, seen) for item in value.args], given]
    if isinstance(value, MethodType):
        return [type(value.__self__).__qualname__, _callable(value.__func__, seen)]
    if not isinstance(value, FunctionType):
        kind = value if isinstance(value, type) else type(value)
        return [kind.__module__, kind.__qualname__, _class_code(kind, seen)]
    if _is_ours(value.__module__):
        return [value.__module__, value.__qualname__]
    code = value.__code__
    if id(code) in seen:
        return code.co_name
    seen.add(id(code))
    return [
        _code(code, seen),
        [_constant(item, seen) for item in value.__defaults__ or ()],
        [[name, _constant(item, seen)] for name, item in sorted((value.__kwdefaults__ or {}).items())],
        [[name, _constant(item, seen)] for name, item in _closure(value)],
        [[name, _callable(function, seen)] for name, function in _called(value)],
    ]


def _code(code: CodeType, seen: set[int]) -> list[Any]:
    return [
        code.co_code.hex(),
        code.co_exceptiontable.hex(),
        [_constant(constant, seen) for constant in code.co_consts],
        [code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars],
        [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags],
    ]


def _closure(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """What the function closes over, but for what it assigns itself: a counter is no part of what it does."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        if name not in _assigned(function.__code__):
            try:
                yield name, cell.cell_contents
            except ValueError:
                continue  # it is not bound yet


@functools.lru_cache(maxsize=256)
def _assigned(code: CodeType) -> frozenset[str]:
    import dis

    return frozenset(i.argval for i in dis.get_instructions(code) if i.opname in ("STORE_DEREF", "DELETE_DEREF"))


def _called(function: FunctionType) -> Iterator[tuple[str, FunctionType]]:
    """The functions of its own file that it names."""
    for name in sorted(set(_names(function.__code__))):
        value = function.__globals__.get(name)
        if isinstance(value, FunctionType) and value.__module__ == function.__module__:
            yield name, value


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _constant(value: Any, seen: set[int]) -> Any:
    """A value in code or beside it, by its content where that is plain, else by its type."""
    if isinstance(value, _PLAIN):
        return f"{type(value).__name__} {value!r}"
    if isinstance(value, CodeType):
        return _code(value, seen)
    if isinstance(value, set | frozenset):
        return sorted(content_key(_constant(item, seen)) for item in value)
    if isinstance(value, Mapping):
        return sorted([content_key(_constant(key, seen)), _constant(item, seen)] for key, item in value.items())
    if isinstance(value, Sequence):
        return value.hex() if isinstance(value, bytes) else [_constant(item, seen) for item in value]
    if _is_model(value):
        return lm_text(value)
    if inspect.isfunction(value) or isinstance(value, functools.partial | MethodType):
        return _callable(value, seen)
    kind = value if isinstance(value, type) else type(value)
    return f"{kind.__module__}.{kind.__qualname__}"
