"""The package's logger, imported when something has to be logged: structlog takes longer to import than we do."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["logger"]


def logger(name: str, **bound: Any) -> Any:
    """structlog's logger of that name, with these values in every entry.

    A program that has not configured structlog gets our lines on standard error: structlog's own default is standard
    output, where they would be mixed with what the program prints.
    """
    import structlog

    if structlog.is_configured():
        return structlog.get_logger(name).bind(**bound)
    return structlog.wrap_logger(structlog.PrintLogger(sys.stderr)).bind(**bound)
