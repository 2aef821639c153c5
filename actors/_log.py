"""The package's logger, imported when something has to be logged: structlog takes longer to import than we do."""

from __future__ import annotations

from typing import Any

__all__ = ["logger"]


def logger(name: str, **bound: Any) -> Any:
    """structlog's logger of that name, with these values in every entry."""
    import structlog

    return structlog.get_logger(name).bind(**bound)
