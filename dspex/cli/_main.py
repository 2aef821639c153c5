"""The program `dspex`: its commands, and the one place where errors become sentences and exit codes.

0 it worked and all is well, 1 it failed or something is not well, 2 no system is running (or the command line is
wrong), 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Final

import typer

from dspex._errors import DspexError
from dspex.cli._console import errors
from dspex.cli._errors import CommandError
from dspex.control import NoSystemError, SeveralSystemsError

__all__ = ["app", "main"]

_VERBS: Final = {
    "ps": "_look",
    "tree": "_look",
    "top": "_look",
    "inspect": "_look",
    "events": "_look",
    "crashes": "_look",
    "restart": "_steer",
    "stop": "_steer",
    "suspend": "_steer",
    "resume": "_steer",
    "scale": "_steer",
    "runs": "_runs",
    "deadletters": "_letters",
    "quarantine": "_quarantine",
    "eval": "_work",
    "optimize": "_work",
    "serve": "_serve",
    "store": "_data",
    "doctor": "_doctor",
    "demo": "_doctor",
}
"""In which module each command is.  One command imports one module: `dspex ps` is not to wait for the optimizers."""


def app(arguments: Sequence[str] = ()) -> typer.Typer:
    """The command line: with the commands that these arguments may need, by default with all."""
    made = typer.Typer(
        name="dspex",
        help="Run, watch, evaluate and optimize language-model programs.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback()(_root)
    verb = arguments[0] if arguments else ""
    for part in [_VERBS[verb]] if verb in _VERBS else dict.fromkeys(_VERBS.values()):
        import_module(f"dspex.cli.{part}").register(made)
    return made


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(version("dspex"))
        except PackageNotFoundError:
            print("dspex (not installed)")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Run, watch, evaluate and optimize language-model programs."""


def main() -> None:
    """Run the command line of this process, and exit."""
    try:
        code = app(sys.argv[1:])(standalone_mode=False)
    except (NoSystemError, SeveralSystemsError, CommandError) as error:
        _say(error)
        code = 2
    except BrokenPipeError:
        # Whoever read us has enough, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except (DspexError, OSError) as error:
        _say(error)
        code = 1
    except typer.Abort:
        errors().print("Aborted: nothing was done.")
        code = 1
    except KeyboardInterrupt:
        errors().print("Interrupted.")
        code = 130
    except Exception as error:
        code = _usage(error)
        if code is None:
            raise
    sys.exit(code if isinstance(code, int) else 0)


def _say(error: BaseException) -> None:
    errors().print(f"dspex: {error}", style="red", markup=False)


def _usage(error: Exception) -> int | None:
    """A wrong command line, which the parser reports with an exception of its own."""
    show = getattr(error, "show", None)
    code = getattr(error, "exit_code", None)
    if show is None or code is None:
        return None
    show()
    return int(code)
