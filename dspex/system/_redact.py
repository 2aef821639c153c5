"""What may be shown: texts without keys, and, where the settings say so, without prompts and answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from actors import Crash, ExitReason
from dspex.store._codec import REDACTED, Codec
from supervision import Report

__all__ = ["PROMPT_KEYS", "Redactor"]

PROMPT_KEYS: Final = frozenset(
    {"answer", "completion", "detail", "error", "example", "inputs", "message", "messages", "outputs", "prompt", "text"}
)
"""Names of metadata that may hold what users asked and models answered."""


class Redactor:
    """Replaces secrets by [redacted].  Knows those that it was told, and what looks like a key or a password.

    With `prompts=False` the metadata that may hold prompts or answers go too, and crashes lose their messages: an
    exception's text often quotes what could not be read.  Any thread.
    """

    def __init__(self, *, prompts: bool = True) -> None:
        self.prompts = prompts
        self._codec = Codec()

    def conceal(self, secret: str) -> None:
        """Never show this.  One of less than 8 characters is left alone: it would be found in innocent text."""
        self._codec.conceal_if_long(secret)

    def text(self, text: str) -> str:
        """The text as it may be shown."""
        return self._codec.text(text)

    def words(self, text: str) -> str:
        """The text of an error, which may quote a prompt, as it may be kept."""
        return self.text(text) if self.prompts else REDACTED

    def crash(self, crash: Crash) -> Crash:
        """The crash as it may be shown and kept."""
        return replace(crash.summary(), message=self.words(crash.message))

    def shown(self, reason: Any) -> Any:
        """An exit reason or a text as it may be shown; anything else as it is."""
        if isinstance(reason, Crash):
            return self.crash(reason)
        return self.text(reason) if isinstance(reason, str) else reason

    def reason(self, reason: ExitReason) -> str:
        """An exit reason in words."""
        return self.text(str(self.shown(reason)))

    def metadata(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Metadata of an event as JSON values.  What is no plain value becomes text, or just the name of its class."""
        return {
            str(key): REDACTED if not self.prompts and key in PROMPT_KEYS and value is not None else self.plain(value)
            for key, value in metadata.items()
        }

    def plain(self, value: Any, depth: int = 4) -> Any:
        """The value as JSON.  Objects are named, not opened: one may hold a request with its key."""
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, ExitReason):
            return self.reason(value)
        if isinstance(value, Report):
            return self._report(value)
        if depth and isinstance(value, Mapping):
            return {str(key): self.plain(each, depth - 1) for key, each in value.items()}
        if depth and isinstance(value, list | tuple | set | frozenset):
            return [self.plain(each, depth - 1) for each in value]
        if isinstance(value, BaseException):
            return self.text(f"{type(value).__name__}: {value}") if self.prompts else type(value).__name__
        return type(value).__name__

    def _report(self, report: Report) -> str:
        reason = report.reason
        if isinstance(reason, Crash):
            report = replace(report, reason=self.crash(reason))
        return self.text(str(report))
