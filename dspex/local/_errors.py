"""What can go wrong with the local model server."""

from __future__ import annotations

from dspex._errors import LMConfigurationError


class LocalModelError(LMConfigurationError):
    """The local model cannot be served. The message says why and what to do next."""
