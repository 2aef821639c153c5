"""Texts made comparable.

The normalization is the one that SQuAD's evaluation made customary (Rajpurkar et al., "SQuAD: 100,000+ Questions
for Machine Comprehension of Text", 2016, section 6).
"""

from __future__ import annotations

import re
import string
import unicodedata

__all__ = ["normalize_text"]

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_text(text: str) -> str:
    """Decompose accents (NFD), lower the case, drop ASCII punctuation and English articles, join words by one blank."""
    lowered = unicodedata.normalize("NFD", text).lower()
    return " ".join(_ARTICLES.sub(" ", lowered.translate(_NO_PUNCTUATION)).split())
