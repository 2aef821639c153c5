"""What differs between two descriptions of a run, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_LONGEST = 80  # characters of a value that a message shows


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two descriptions of a run, as a reader would say it."""
    old, new = dict(_flat(before)), dict(_flat(now))
    differing = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    if "kind" in differing:
        differing = ["kind"]  # another optimizer has other arguments
    if "identity.teacher" in differing and None in (old.get("identity.teacher"), new.get("identity.teacher")):
        differing = [name for name in differing if "teacher" not in name] + ["identity.teacher"]
    differing = [name for name in differing if not name.endswith(".form") or f"{name[:-5]}.fields" not in differing]
    said = [_in_words(name, old.get(name), new.get(name)) for name in differing]
    return list(dict.fromkeys(said))


def _in_words(name: str, old: Any, new: Any) -> str:
    path = name.split(".")
    shown = f" ({_short(old)}; now {_short(new)})"
    match path:
        case ["identity", "program"]:
            return "the program's code"
        case ["identity", "teacher"]:
            return "the teacher" if None in (old, new) else "the teacher's code"
        case ["identity", "metric"]:
            return "the metric's code"
        case ["identity", "adapter"]:
            return f"the adapter{shown}"
        case ["identity", "models", *role]:
            return f"the language model of the {'.'.join(role)}{shown}"
        case ["identity", _, *predictor, "fields"]:
            return f"the fields of {'.'.join(predictor)!r}{shown}"
        case ["identity", _, *predictor, "form"]:
            return f"the types or descriptions of the fields of {'.'.join(predictor)!r}"
        case ["identity", _, *predictor, "config", option]:
            return f"{option} of {'.'.join(predictor)!r}{shown}"
        case ["student" | "teacher" as who]:
            return f"the {who}'s predictors, instructions or demonstrations"
        case ["data_hashes", which]:
            return f"the {which}"
        case ["program"]:
            return f"the program's class{shown}"
        case ["kind"]:
            return f"the optimizer{shown}"
    return f"{path[-1]}{shown}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if isinstance(item, Mapping) and item:
            yield from _flat(item, f"{prefix}{name}.")
        else:
            yield prefix + name, item
