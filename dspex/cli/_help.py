"""What `--help` prints of a command: its arguments by their names, and its example on a line that can be copied."""

from __future__ import annotations

import re
from typing import Any

import typer
from typer.core import TyperCommand

__all__ = ["Command", "add"]

_EXAMPLE = re.compile(r"\s*^\s*Example: ", re.MULTILINE)


class Command(TyperCommand):
    """A command whose usage says `PATH`, `[PATH]` and `RUN...`; typer adds braces, and the types of Python."""

    def __init__(self, *args: Any, help: str | None = None, **more: Any) -> None:
        # \b keeps a paragraph's lines as they are.
        super().__init__(*args, help=_EXAMPLE.sub("\n\n\b\nExample: ", help or "", count=1), **more)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words behind `Usage: dspex COMMAND`."""
        return ["[OPTIONS]", *(_usage(each) for each in _of_type("argument", self, ctx))]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The tables of arguments and of options."""
        arguments = [(_usage(each), each.help or "") for each in _of_type("argument", self, ctx)]
        records = (each.get_help_record(ctx) for each in _of_type("option", self, ctx))
        for title, rows in (("Arguments", arguments), ("Options", [each for each in records if each is not None])):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def _of_type(kind: str, command: Any, ctx: Any) -> list[Any]:
    return [each for each in command.get_params(ctx) if each.param_type_name == kind]


def _usage(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    name = f"{name}..." if argument.nargs == -1 else name
    return name if argument.required else f"[{name}]"


def add(app: typer.Typer, *commands: Any) -> None:
    """Add commands by the names of their functions."""
    for command in commands:
        app.command(cls=Command)(command)
