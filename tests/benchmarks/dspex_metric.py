"""The metric of `dspex_side.py`, in a file of its own: by its name the processes that compute it find it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Exact:
    """Is it the answer? Said after so many milliseconds of CPU."""

    milliseconds: float = 0.0

    def __call__(self, example: Any, prediction: Any, trace: Any = None) -> bool:
        if self.milliseconds:
            burn(self.milliseconds)
        return bool(example.answer == prediction.answer)


def burn(milliseconds: float) -> int:
    """Python at work for so many milliseconds of this thread's CPU time."""
    end = time.thread_time() + milliseconds / 1000
    total = 0
    while time.thread_time() < end:
        for number in range(200):
            total += number * number
    return total
