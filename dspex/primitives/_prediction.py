"""`Prediction` and `Completions`: what a program answers."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, Mapping, Sequence
from typing import Any

from dspex.primitives._example import Example


class Prediction(Example):
    """An answer: the output fields as attributes, all completions in `completions`.

    A prediction with a numeric `score` counts as that number in comparisons and arithmetic (equality stays
    that of the values), which is what lets a metric return one.
    """

    _completions: Completions | None
    _lm_usage: dict[str, Any] | None

    def __init__(self, base: Example | Mapping[str, Any] | None = None, **values: Any) -> None:
        super().__init__(base, **values)
        self.__dict__["_completions"] = None
        self.__dict__["_lm_usage"] = None

    @classmethod
    def from_completions(
        cls, list_or_dict: Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]], signature: Any = None
    ) -> Prediction:
        """The prediction whose values are those of the first completion."""
        completions = Completions(list_or_dict, signature=signature)
        prediction = cls()
        prediction.__dict__["_store"] = completions.first()
        prediction.__dict__["_completions"] = completions
        return prediction

    @property
    def completions(self) -> Completions:
        """All completions. A prediction that a program built itself has one: its own values."""
        own = self._completions
        return own if own is not None else Completions([self._store])

    def get_lm_usage(self) -> dict[str, Any] | None:
        """{model: token counts} of the calls behind this answer, when they were tracked."""
        return self._lm_usage

    def set_lm_usage(self, usage: dict[str, Any] | None) -> None:
        self.__dict__["_lm_usage"] = usage

    # -- as a number

    def __float__(self) -> float:
        try:
            score = self._store["score"]
        except KeyError:
            names = ", ".join(self._store) or "none"
            raise ValueError(f"A prediction without a `score` is not a number. It has: {names}.") from None
        return float(score)

    def _with(self, other: object, operation: Callable[[float, float], Any]) -> Any:
        if isinstance(other, (int, float, Prediction)):
            return operation(float(self), float(other))
        return NotImplemented

    def __add__(self, other: object) -> Any:
        return self._with(other, lambda a, b: a + b)

    def __radd__(self, other: object) -> Any:
        return self._with(other, lambda a, b: b + a)

    def __sub__(self, other: object) -> Any:
        return self._with(other, lambda a, b: a - b)

    def __rsub__(self, other: object) -> Any:
        return self._with(other, lambda a, b: b - a)

    def __mul__(self, other: object) -> Any:
        return self._with(other, lambda a, b: a * b)

    __rmul__ = __mul__

    def __truediv__(self, other: object) -> Any:
        return self._with(other, lambda a, b: a / b)

    def __rtruediv__(self, other: object) -> Any:
        return self._with(other, lambda a, b: b / a)

    def __lt__(self, other: object) -> Any:
        return self._with(other, lambda a, b: a < b)

    def __le__(self, other: object) -> Any:
        return self._with(other, lambda a, b: a <= b)

    def __gt__(self, other: object) -> Any:
        return self._with(other, lambda a, b: a > b)

    def __ge__(self, other: object) -> Any:
        return self._with(other, lambda a, b: a >= b)

    def __repr__(self) -> str:
        values = ",\n".join(f"    {key}={value!r}" for key, value in self._store.items())
        more = ""
        if self._completions is not None and len(self._completions) > 1:
            more = f",\n    completions={len(self._completions)}"
        return f"Prediction(\n{values}{more}\n)"


class Completions:
    """Several answers to one call, a list per field: ``completions.answer[2] == completions[2].answer``."""

    def __init__(
        self,
        list_or_dict: Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]],
        signature: Any = None,
    ) -> None:
        self.signature = signature
        if isinstance(list_or_dict, Mapping):
            columns = {key: list(values) for key, values in list_or_dict.items()}
        else:
            columns = {}
            for row in list_or_dict:
                for key in row:
                    columns.setdefault(key, [])
            for row in list_or_dict:
                for key, column in columns.items():
                    column.append(row.get(key))
        lengths = {len(column) for column in columns.values()}
        if len(lengths) > 1:
            counts = ", ".join(f"{key}: {len(column)}" for key, column in columns.items())
            raise ValueError(f"Every field needs as many values as there are completions; found {counts}.")
        self._completions: dict[str, list[Any]] = columns

    def first(self) -> dict[str, Any]:
        """The values of the first completion; empty when there is none."""
        return {key: column[0] for key, column in self._completions.items() if column}

    def __getitem__(self, key: int | str) -> Any:
        if isinstance(key, str):
            return self._completions[key]
        if not -len(self) <= key < len(self):
            raise IndexError(f"There are {len(self)} completions; there is no number {key}.")
        return Prediction({name: column[key] for name, column in self._completions.items()})

    def __getattr__(self, name: str) -> list[Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._completions[name]
        except KeyError:
            fields = ", ".join(self._completions) or "none"
            raise AttributeError(f"The completions have no field `{name}`. They have: {fields}.") from None

    def __len__(self) -> int:
        return len(next(iter(self._completions.values()), ()))

    def __iter__(self) -> Iterator[Prediction]:
        return (self[index] for index in range(len(self)))

    def __contains__(self, key: object) -> bool:
        return key in self._completions

    def items(self) -> ItemsView[str, list[Any]]:
        return self._completions.items()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Completions) and self._completions == other._completions

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Completions({self._completions!r})"
