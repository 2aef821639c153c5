"""What a pool's workers are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ._feed import Feed


@dataclass(frozen=True, slots=True, eq=False)
class Exchange:
    """Send this request. Answered with the `RawReply`, whatever its status; rejected with LMTransportError or
    LMTimeoutError when none came within `timeout` seconds."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    timeout: float | None


@dataclass(frozen=True, slots=True, eq=False)
class OpenStream:
    """Send this request and put its reply into `feed` as it comes: first the head, then the pieces of its body.

    Answered when the stream has ended. `timeout` bounds the silence before each piece.
    """

    url: str
    headers: Mapping[str, str]
    body: bytes
    timeout: float | None
    feed: Feed


@dataclass(frozen=True, slots=True)
class Abort:
    """Nobody waits for this exchange any more: drop its connection, so that the server stops."""

    exchange: Exchange | OpenStream
