"""Server-sent events out of a stream of bytes, cut anywhere (WHATWG HTML, section 9.2.6)."""

from __future__ import annotations

from collections.abc import Iterator

MAX_EVENT = 8 * 1024 * 1024


class EventTooLargeError(ValueError):
    """One event has more bytes than a reader should hold."""


class EventReader:
    """`feed` bytes, get the events that they complete as (event name, data). Comments, ids and retry hints are left
    out.
    """

    def __init__(self, max_event: int = MAX_EVENT) -> None:
        self._max_event = max_event
        self._rest = b""
        self._event = ""
        self._data: list[str] = []
        self._size = 0
        self._started = False

    def feed(self, piece: bytes) -> Iterator[tuple[str, str]]:
        """Raises EventTooLargeError."""
        data = self._rest + piece if self._rest else piece
        if not self._started and data:
            if len(data) < 3 and b"\xef\xbb\xbf".startswith(data):
                self._rest = data
                return
            self._started = True
            data = data.removeprefix(b"\xef\xbb\xbf")
        start = 0
        while True:
            end, after = _line_end(data, start)
            if end < 0:
                break
            line = data[start:end]
            start = after
            if line:
                self._field(line)
            elif self._data:
                yield self._event or "message", "\n".join(self._data)
                self._reset()
            else:
                self._event = ""
        self._rest = data[start:]
        if len(self._rest) > self._max_event:
            raise EventTooLargeError(f"an event of the stream is larger than {self._max_event} bytes")

    def close(self) -> Iterator[tuple[str, str]]:
        """The last event, if the stream ended without the blank line behind it. (Strictly it is to be dropped;
        servers forget it.)
        """
        if self._rest:
            yield from self.feed(b"\n\n")
        elif self._data:
            yield self._event or "message", "\n".join(self._data)
        self._reset()

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._size += len(value)
            if self._size > self._max_event:
                raise EventTooLargeError(f"an event of the stream is larger than {self._max_event} bytes")
            self._data.append(value.decode("utf-8", "replace"))
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")

    def _reset(self) -> None:
        self._event = ""
        self._data = []
        self._size = 0


def _line_end(data: bytes, start: int) -> tuple[int, int]:
    """(end of the line, start of the next) from `start`; (-1, -1) when the line is not complete.

    Lines end with LF, CR LF or CR; a CR at the very end may be the first half of CR LF, so it waits for the next byte.
    """
    lf = data.find(b"\n", start)
    cr = data.find(b"\r", start, lf if lf >= 0 else len(data))
    if cr < 0:
        return (lf, lf + 1) if lf >= 0 else (-1, -1)
    if cr + 1 == len(data):
        return -1, -1
    return cr, cr + (2 if data[cr + 1 : cr + 2] == b"\n" else 1)
