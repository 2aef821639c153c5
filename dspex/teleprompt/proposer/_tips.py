"""Hints that push proposals in different directions. "none" gives no hint."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

TIPS: Mapping[str, str] = MappingProxyType(
    {
        "none": "",
        "creative": "Try an angle that nobody has tried yet; it may look nothing like the present instruction.",
        "simple": "Say it in as few plain words as will do.",
        "description": "Leave no doubt: name every rule, every edge case and the exact form of the output.",
        "high_stakes": "Make clear how much depends on a right answer, by a concrete situation in which it is needed.",
        "persona": "Open by telling the model who it is: the expert who would do this task for a living.",
    }
)
