"""The packages of the extra `serve`, imported where they are used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from dspex._errors import MissingExtraError
from dspex._extras import how_to_install

__all__ = ["needed"]


def needed(module: str) -> Any:
    """The module.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"dspex.serve needs {error.name}: {how_to_install('serve')}", extra="serve") from error
