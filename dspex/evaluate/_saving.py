"""What is made of a result when an evaluation has ended: files and a table.

The result was paid for: where it goes is looked at before anything runs, and what fails afterwards is logged.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._report import EvaluationResult

_log = logging.getLogger("dspex.evaluate")


def check_target(option: str, path: str | Path) -> None:
    """Raises the fitting `OSError` if no file can be written there, as far as that shows without writing one."""
    target = Path(path)
    folder = target.parent
    if not folder.exists():
        raise _refused(FileNotFoundError, errno.ENOENT, option, f"there is no directory {folder}", target)
    if not folder.is_dir():
        raise _refused(NotADirectoryError, errno.ENOTDIR, option, f"{folder} is no directory", target)
    if target.is_dir():
        raise _refused(IsADirectoryError, errno.EISDIR, option, "it is a directory", target)
    if not os.access(target if target.exists() else folder, os.W_OK):
        raise _refused(PermissionError, errno.EACCES, option, "it may not be written", target)


def publish(
    result: EvaluationResult,
    *,
    table: bool | int | None = False,
    csv: str | Path | None = None,
    json: str | Path | None = None,
) -> None:
    """Show the first ``table`` examples (True: all; 0, False: none) and write the files that are wanted.

    What fails, or is interrupted from the keyboard, is logged, and keeps neither the rest nor the result.
    """
    if table is True or (table and table > 0):
        from ._render import show_result

        rows = None if table is True else int(table)
        _attempt("shown as a table", "", lambda: show_result(result, rows))
    if csv:
        _attempt(f"saved as {csv}", "; result.save_as_csv(...) tries again", lambda: result.save_as_csv(csv))
    if json:
        _attempt(f"saved as {json}", "; result.save_as_json(...) tries again", lambda: result.save_as_json(json))


def _attempt(what: str, remedy: str, act: Callable[[], None]) -> None:
    try:
        act()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  a full disk, a value that cannot be shown
        _log.error("the result could not be %s (%s: %s)%s", what, type(error).__name__, error, remedy)


def _refused(kind: type[OSError], number: int, option: str, why: str, target: Path) -> OSError:
    return kind(number, f"{option}: {why}", str(target))
