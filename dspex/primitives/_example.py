"""`Example`: one record of a dataset, a demonstration or an answer."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Self

from pydantic import BaseModel


def _plain(value: Any) -> Any:
    """`value` with examples and models in it turned into dicts."""
    if isinstance(value, Example):
        return value.toDict()
    if isinstance(value, BaseModel):
        return value.model_dump()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _frozen(value: Any) -> Any:
    """Something hashable that is equal for equal values."""
    if isinstance(value, Mapping):
        return frozenset((key, _frozen(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, (set, frozenset)):
        return frozenset(_frozen(item) for item in value)
    try:
        hash(value)
    except TypeError:
        return type(value).__qualname__
    return value


class Example:
    """A record with named values, read as attributes or as items.

    `with_inputs` says which of them a program is given; the others are labels. Methods return new records and
    share the values; only attribute and item assignment change one in place. Equal when the values are equal,
    whatever the marked inputs; hashable even when values are not, so do not change one that is in a set.
    """

    _store: dict[str, Any]
    _input_keys: frozenset[str] | None

    def __init__(self, base: Example | Mapping[str, Any] | None = None, **values: Any) -> None:
        state = self.__dict__
        if base is None:
            state["_store"] = values
            state["_input_keys"] = None
        elif isinstance(base, Example):
            state["_store"] = {**base._store, **values}
            state["_input_keys"] = base._input_keys
        else:
            state["_store"] = {**base, **values}
            state["_input_keys"] = None

    # -- values

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_store":
            # Protocol lookups of copy and pickle, perhaps before there is a store.
            raise AttributeError(name)
        try:
            return self._store[name]
        except KeyError:
            names = ", ".join(self._store) or "none"
            raise AttributeError(f"{type(self).__name__} has no value `{name}`. It has: {names}.") from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_") or isinstance(getattr(type(self), name, None), property):
            object.__setattr__(self, name, value)
        else:
            self._store[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self._store[name]
        except KeyError:
            raise AttributeError(name) from None

    def __getitem__(self, key: str) -> Any:
        return self._store[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._store[key] = value

    def __delitem__(self, key: str) -> None:
        del self._store[key]

    def __contains__(self, key: object) -> bool:
        return key in self._store

    def __iter__(self) -> Iterator[str]:
        return iter(self._store)

    def __len__(self) -> int:
        return len(self._store)

    def keys(self) -> KeysView[str]:
        return self._store.keys()

    def values(self) -> ValuesView[Any]:
        return self._store.values()

    def items(self) -> ItemsView[str, Any]:
        return self._store.items()

    def get(self, key: str, default: Any = None) -> Any:
        return self._store.get(key, default)

    # -- inputs and labels

    def with_inputs(self, *names: str) -> Self:
        """The same record, these values marked as what a program is given."""
        marked = self.copy()
        marked.__dict__["_input_keys"] = frozenset(names)
        return marked

    def inputs(self) -> Self:
        """A record of the inputs only. `ValueError` when `with_inputs` never said which they are."""
        if self._input_keys is None:
            raise ValueError("This example does not say which of its values are inputs: use `with_inputs(...)`.")
        return self._only({key: value for key, value in self._store.items() if key in self._input_keys})

    def labels(self) -> Self:
        """A record of everything that is not an input."""
        if self._input_keys is None:
            raise ValueError("This example does not say which of its values are inputs: use `with_inputs(...)`.")
        labels = self.copy()
        labels.__dict__["_store"] = {k: v for k, v in self._store.items() if k not in self._input_keys}
        labels.__dict__["_input_keys"] = None
        return labels

    def _only(self, values: dict[str, Any]) -> Self:
        record = type(self).__new__(type(self))
        record.__dict__.update(self.__dict__)
        record.__dict__["_store"] = values
        return record

    # -- copies

    def copy(self, **changes: Any) -> Self:
        """A new record with these values changed or added."""
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin.__dict__["_store"] = {**self._store, **changes}
        return twin

    def without(self, *names: str) -> Self:
        """A new record without these values."""
        return self._only({key: value for key, value in self._store.items() if key not in names})

    def toDict(self) -> dict[str, Any]:
        """A dict of plain values: records and pydantic models in it become dicts too."""
        return {key: _plain(value) for key, value in self._store.items()}

    # -- identity

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Example):
            return NotImplemented
        return self._store == other._store

    def __hash__(self) -> int:
        return hash(_frozen(self._store))

    def __repr__(self) -> str:
        values = ", ".join(f"{key}={value!r}" for key, value in self._store.items())
        marked = f", input_keys={sorted(self._input_keys)}" if self._input_keys else ""
        return f"{type(self).__name__}({values}{marked})"
