"""Finding the parts of a program: submodules and predictors, by the names that DSPy gives them.

An attribute `qa` is "qa", the third item of a list or tuple "steps[2]", a value of a dict "by_kind['a']"; the program
itself is "self".  A part that can be reached in several ways has the name found first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dspex.predict._module import Module

__all__ = ["attributes", "named_parameters", "named_sub_modules", "places"]

_OURS = frozenset({"callbacks", "history", "_compiled"})


def attributes(owner: Any) -> Iterator[tuple[str, Any]]:
    """The values that may be parts of `owner`, by name: its attributes, and what is in its lists, tuples, dicts."""
    for name, value in vars(owner).items():
        if name not in _OURS:
            yield from _within(name, value)


def _within(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _within(f"{name}[{index}]", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _within(f"{name}['{key}']", item)
    else:
        yield name, value


def named_parameters(module: Module) -> list[tuple[str, Any]]:
    """The predictors of `module` and its submodules.

    Those of a compiled submodule are not to be changed, and left out.
    """
    found: dict[int, tuple[str, Any]] = {}
    if module.is_parameter:
        found[id(module)] = ("self", module)
    _collect_parameters(module, "", found, {id(module)})
    return list(found.values())


def _collect_parameters(owner: Any, prefix: str, found: dict[int, tuple[str, Any]], seen: set[int]) -> None:
    from dspex.predict._module import Module

    for name, value in attributes(owner):
        if not isinstance(value, Module) or id(value) in seen:
            continue
        seen.add(id(value))
        path = prefix + name
        if value.is_parameter:
            found[id(value)] = (path, value)
        elif not value._compiled:
            _collect_parameters(value, f"{path}.", found, seen)


def named_sub_modules(module: Module, kind: type | None, skip_compiled: bool) -> Iterator[tuple[str, Module]]:
    """`module` itself and every module in it, the outer ones first."""
    from dspex.predict._module import Module

    wanted = kind if kind is not None else Module
    seen = {id(module)}
    queue: list[tuple[str, Module]] = [("self", module)]
    while queue:
        path, owner = queue.pop(0)
        if isinstance(owner, wanted):
            yield path, owner
        for name, value in attributes(owner):
            if isinstance(value, Module) and id(value) not in seen:
                seen.add(id(value))
                if not (skip_compiled and value._compiled):
                    queue.append((f"{path}.{name}", value))


def places(module: Module) -> list[tuple[str, Module]]:
    """Every place in `module` where a module is found, by path; one that is in several places, in each of them."""
    from dspex.predict._module import Module

    found: list[tuple[str, Module]] = []
    seen = {id(module)}
    queue: list[tuple[str, Module]] = [("", module)]
    while queue:
        prefix, owner = queue.pop(0)
        for name, value in attributes(owner):
            if not isinstance(value, Module):
                continue
            found.append((prefix + name, value))
            if id(value) not in seen:
                seen.add(id(value))
                queue.append((f"{prefix}{name}.", value))
    return found
