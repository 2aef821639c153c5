"""What a stream consists of, beside the chunks of the language model and the prediction at its end."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamResponse:
    """A piece of an output field. Those of a field, joined, are its value as text; the last one says so.

    `restarted` is True when a reply could not be read and was asked for again, or when the value was read as another
    text than the reply showed: then `chunk` is the whole value, in place of all pieces before.
    """

    predict_name: str
    signature_field_name: str
    chunk: str
    is_last_chunk: bool = False
    restarted: bool = False


@dataclass(frozen=True, slots=True)
class StatusMessage:
    """What the program is doing now, in words for its users."""

    message: str
