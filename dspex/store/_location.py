"""Where the store is: one file per project, unless the caller or the environment says otherwise."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from dspex.store._errors import StoreURLError

PROJECT_MARKS = ("dspex.toml", "pyproject.toml", ".git")
ENVIRONMENT_VARIABLE = "DSPEX_STORE"


def project_directory(start: Path | None = None) -> Path:
    """The nearest of `start` (the working directory) and its parents that holds a dspex.toml, a
    pyproject.toml or a .git; `start` itself when none does."""
    start = (start or Path.cwd()).resolve()
    for directory in (start, *start.parents):
        if any((directory / mark).exists() for mark in PROJECT_MARKS):
            return directory
    return start


def store_url(
    location: str | os.PathLike[str] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    start: Path | None = None,
) -> str:
    """The store's URL: `location` (a path or a URL), else $DSPEX_STORE, else PROJECT/.dspex/dspex.db.

    `sqlite:` and `postgresql:` URLs are understood; anything without `scheme://` is a path of a SQLite file,
    relative to the working directory. `:memory:` is a store that lives as long as its object.
    """
    environ = os.environ if environ is None else environ
    if location is None:
        location = environ.get(ENVIRONMENT_VARIABLE) or project_directory(start) / ".dspex" / "dspex.db"
    text = os.fspath(location)
    if text == ":memory:" or text in ("sqlite://", "sqlite:///:memory:"):
        return "sqlite://"
    scheme, separator, rest = text.partition("://")
    if not separator:
        base = start or Path.cwd()
        return f"sqlite:///{(base / Path(text).expanduser()).absolute()}"
    if scheme == "sqlite":
        return text
    if scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        return f"postgresql+psycopg://{rest}"
    raise StoreURLError(
        f"a store is sqlite:///PATH, a plain PATH or postgresql://USER@HOST/DATABASE, not {scheme}://...",
        url=f"{scheme}://...",
    )
