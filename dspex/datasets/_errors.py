"""What can be wrong with data."""

from __future__ import annotations

from dspex._errors import DspexError


class DatasetError(DspexError):
    """A file or a split that cannot be had. `path` and `line` say where, as far as they are known."""

    code = "dataset"

    def __init__(self, message: str, *, path: str | None = None, line: int | None = None) -> None:
        where = f"{path}:{line}: " if path and line else f"{path}: " if path else ""
        super().__init__(where + message)
        self.path = path
        self.line = line
