"""What reading a reply has in common in every dialect: whatever a server sends, it is a response or an LMError.

A dialect's own code may index and call what it got as if it were well formed. What that raises on other data
becomes a typed error here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from dspex._errors import LMStreamAssemblyError

from .._types import LMResponse, StreamChunk
from ._errors import error_from
from ._json import loads
from ._wire import Source, decode, unexpected

T = TypeVar("T")

MALFORMED = (KeyError, IndexError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError)
"""What code meets that takes JSON of a wrong shape for JSON of the right one."""


def read_reply(
    source: Source,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    read: Callable[[Source, Mapping[str, str], dict[str, Any]], T],
) -> T:
    """`read(source, headers, data)` of a 2xx reply. Any other status is its typed error, no JSON is
    LMTransportError(code="malformed"), JSON of a wrong shape is LMUnexpectedError(code="malformed").
    """
    if not 200 <= status < 300:
        raise error_from(source, status, headers, body)
    data = decode(source, headers, body)
    try:
        return read(source, headers, data)
    except MALFORMED as error:
        raise unexpected(source, f"the reply is malformed ({_short(error)})", "malformed") from error


def string(value: Any) -> str | None:
    """`value`, which is a string or None. TypeError when it is anything else."""
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"a string was expected, not {type(value).__name__}")


class Assembler(ABC):
    """Base of the stream assemblers. Subclasses say what one event means, and what the whole is."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._id: str | None = None
        self._model = source.model

    def feed(self, event: str, data: str) -> list[StreamChunk]:
        """The chunks in one event. Raises the provider's error when the event is one, and
        LMStreamAssemblyError(code="malformed") when it cannot be read.
        """
        try:
            body = loads(data)
        except ValueError as error:
            raise self._broken(f"an event of the stream is not JSON: {data[:120]!r}") from error
        try:
            return self._take(event, body)
        except MALFORMED as error:
            raise self._broken(f"an event of the stream is malformed ({_short(error)}): {data[:120]!r}") from error

    @abstractmethod
    def response(self) -> LMResponse:
        """The whole reply. LMStreamAssemblyError when the stream ended before it was whole."""

    @abstractmethod
    def _take(self, event: str, body: Any) -> list[StreamChunk]:
        """The chunks in one event, whose data is this JSON."""

    @abstractmethod
    def _partial(self) -> str:
        """The text that has come so far."""

    def _broken(self, what: str) -> LMStreamAssemblyError:
        return self._error(what, "malformed")

    def _cut_short(self) -> LMStreamAssemblyError:
        return self._error("the stream ended before the reply was whole", None)

    def _error(self, what: str, code: str | None) -> LMStreamAssemblyError:
        source = self._source
        message = f"{source.provider} ({source.model}): {what}"
        return LMStreamAssemblyError(
            message, partial=self._partial(), code=code, provider=source.provider, model=source.model
        )


def _short(error: BaseException) -> str:
    words = repr(error)
    return words if len(words) <= 200 else f"{words[:200]}..."
