"""How a field's name reads as a label."""

from __future__ import annotations

import re

_BOUNDARY = re.compile(
    r"(?<=[a-z])(?=[A-Z])"  # someName
    r"|(?<=[A-Z])(?=[A-Z][a-z])"  # HTMLPage
    r"|(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])"  # step2, 2nd
)


def infer_prefix(attribute_name: str) -> str:
    """`snake_case` and `camelCase` as words with capitals: "Snake Case", "Camel Case". Acronyms stay."""
    words = _BOUNDARY.sub("_", attribute_name).split("_")
    return " ".join(word if word.isupper() else word.capitalize() for word in words if word)
