"""How an extra of dspex is installed: said in the same words wherever one is missing."""

from __future__ import annotations

__all__ = ["how_to_install"]


def how_to_install(extra: str) -> str:
    """The command, for whoever has installed dspex and for whoever works in a checkout."""
    return f"pip install 'dspex[{extra}]', or in a checkout pip install '.[{extra}]'"
