"""The records that programs take and give."""

from dspex.primitives._example import Example
from dspex.primitives._normalize import normalize_text
from dspex.primitives._prediction import Completions, Prediction

__all__ = ["Completions", "Example", "Prediction", "normalize_text"]
