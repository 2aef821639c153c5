"""Programs whose answers are shown while they come."""

from dspex.streaming._listener import StreamListener
from dspex.streaming._messages import StatusMessage, StreamResponse
from dspex.streaming._sse import streaming_response
from dspex.streaming._status import StatusMessageProvider
from dspex.streaming._streamify import streamify

__all__ = [
    "StatusMessage",
    "StatusMessageProvider",
    "StreamListener",
    "StreamResponse",
    "streamify",
    "streaming_response",
]
