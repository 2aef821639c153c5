"""Is this a notebook?  There, a cell is run again and again in one process."""

from __future__ import annotations

import sys

__all__ = ["in_notebook"]


def in_notebook() -> bool:
    """True in a Jupyter kernel.  Imports nothing: a kernel has loaded all that is asked for."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and getattr(shell, "kernel", None) is not None
