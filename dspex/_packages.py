"""Whether `actors` and `supervision` are the packages that dspex comes with.

Both names are taken by others too: a file `actors.py` beside a script hides ours, and a distribution with a package of
that name writes its files over ours without a word. Told from the code that an import would find, which costs a
fraction of a millisecond; nothing is imported here.
"""

from __future__ import annotations

import warnings
from importlib.util import find_spec

__all__ = ["PACKAGES", "explain_foreign", "warn_of_foreign"]

PACKAGES = ("actors", "supervision")
"""The packages that dspex comes with and builds on."""


def explain_foreign(package: str) -> str | None:
    """The sentence that says that another package is in the place of ours, where, and what to do; None if it is ours.

    What cannot be read is taken for ours: importing it will say what is wrong.
    """
    try:
        spec = find_spec(package)
    except ValueError:  # imported already, by something that gave it no spec
        return None
    if spec is None or spec.origin is None:
        return None
    try:
        code: bytes = spec.loader.get_data(spec.origin)  # type: ignore[union-attr]  # what has none is caught
    except (AttributeError, OSError):
        return None
    if f"{package}._errors".encode() in code:  # its source has it, and its bytecode
        return None
    return (
        f"dspex needs its own package {package!r}, but Python finds another one: {spec.origin}. Rename that file if it "
        "is yours; if another distribution has put it there, use an environment without that distribution."
    )


def warn_of_foreign() -> None:
    """Warn, in the name of whoever imports dspex, of each package that is not ours."""
    for package in PACKAGES:
        sentence = explain_foreign(package)
        if sentence is not None:
            warnings.warn(sentence, RuntimeWarning, stacklevel=3)
