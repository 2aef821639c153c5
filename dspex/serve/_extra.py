"""The packages of the extra `serve`, imported where they are used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from dspex._errors import MissingExtraError

__all__ = ["needed"]


def needed(module: str) -> Any:
    """The module.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"dspex.serve needs {error.name}: pip install 'dspex[serve]'", extra="serve") from error
