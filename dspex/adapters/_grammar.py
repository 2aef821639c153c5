"""GBNF grammars: label sets and numbers that the endpoint itself enforces (llama.cpp's format)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic.fields import FieldInfo

from dspex.adapters._read import labels_of, split_annotated, without_none
from dspex.signatures._field import constraints_of

_LINE = r"[^\n]+"
_WHOLE = '"-"? [0-9]{1,15}'
_NUMBER = '"-"? [0-9]{1,15} ("." [0-9]{1,15})?'
_MANY = 200


def gbnf(outputs: Mapping[str, FieldInfo], labels: Mapping[str, str], opened: bool) -> str | None:
    """A grammar of a reply with these fields, one labelled line each.

    `opened`: the prompt ends with the first label, so the reply begins with a space and the first value; otherwise a
    single value stands alone, and several have their labels. None when nothing is to enforce, or a type is
    neither a text, a number nor a fixed set of values.
    """
    rules = []
    enforced = False
    for name, field in outputs.items():
        rule, strict = _rule(field)
        if rule is None:
            return None
        enforced = enforced or strict
        rules.append((labels[name], rule))
    if not enforced:
        return None
    parts: list[str] = []
    for number, (label, rule) in enumerate(rules):
        if number:
            parts.append(_text(f"\n{label} "))
        elif opened:
            parts.append(_text(" "))
        elif len(rules) > 1:
            parts.append(_text(f"{label} "))
        parts.append(rule)
    return f"root ::= {' '.join(parts)}\n"


def _rule(field: FieldInfo) -> tuple[str | None, bool]:
    """(the rule, whether it enforces anything); (None, False) for a type that no rule here describes."""
    annotation, more = split_annotated(field.annotation)
    annotation, optional = without_none(annotation)
    labels = labels_of(annotation)
    rule: str | None = None
    if labels is not None:
        if not labels or any("\n" in label or not label for label in labels):
            return None, False
        rule = " | ".join(_text(label) for label in labels)
    elif annotation is int:
        rule = _range(constraints_of(field)) if not more else None
        rule = rule or _WHOLE
    elif annotation is float:
        rule = _NUMBER
    elif annotation is str:
        return _LINE, False
    if rule is None:
        return None, False
    return f"({rule}{' | ' + _text('None') if optional else ''})", True


def _range(limits: Mapping[str, Any]) -> str | None:
    """The numbers of a small range, spelled out."""
    low = limits.get("ge", limits["gt"] + 1 if "gt" in limits else None)
    high = limits.get("le", limits["lt"] - 1 if "lt" in limits else None)
    if not isinstance(low, int) or not isinstance(high, int) or not 0 <= high - low < _MANY:
        return None
    step = limits.get("multiple_of", 1)
    numbers = [number for number in range(low, high + 1) if number % step == 0]
    return " | ".join(_text(str(number)) for number in numbers) or None


def _text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'
