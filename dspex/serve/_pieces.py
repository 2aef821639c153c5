"""The text of an answer as it comes, told apart by field.  Pure: pieces of text in, pieces of fields out."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

__all__ = ["FieldPieces"]

_MARKER = re.compile(r"\[\[ ## (\w+) ## \]\][ \t]*\n?")
_OPEN = "[[ ## "
_LONGEST = 200  # characters: what is longer without its end is no marker


class FieldPieces:
    """Reads `[[ ## answer ## ]]` and what follows, piece by piece.

    A piece that may be the beginning of a marker is kept back until it is known; so is white space, which is not the
    field's if a marker follows.
    """

    def __init__(self, fields: Collection[str]) -> None:
        self._fields = fields
        self._field: str | None = None
        self._kept = ""
        self._begun = False

    def feed(self, text: str) -> Iterator[tuple[str, str]]:
        """(field, text) of what is certain now."""
        self._kept += text
        while (found := _MARKER.search(self._kept)) is not None:
            yield from self._out(self._kept[: found.start()].rstrip())
            self._kept = self._kept[found.end() :]
            name = found.group(1)
            self._field = name if name in self._fields else None
            self._begun = False
        cut = self._certain()
        yield from self._out(self._kept[:cut])
        self._kept = self._kept[cut:]

    def close(self) -> Iterator[tuple[str, str]]:
        """The rest, at the end of the answer."""
        rest, self._kept = self._kept.rstrip(), ""
        yield from self._out(rest)

    def _certain(self) -> int:
        """How much of what is kept cannot be part of a marker, nor white space before one."""
        kept = self._kept
        at = kept.rfind("[[")
        if at >= 0 and len(kept) - at < _LONGEST and (kept[at:].startswith(_OPEN) or _OPEN.startswith(kept[at:])):
            return len(kept[:at].rstrip())
        if kept.endswith("["):
            return len(kept[:-1].rstrip())
        return len(kept.rstrip())

    def _out(self, text: str) -> Iterator[tuple[str, str]]:
        if self._field is None:
            return
        if not self._begun:
            text = text.lstrip()
        if text:
            self._begun = True
            yield self._field, text
