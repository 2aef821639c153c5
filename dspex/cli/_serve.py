"""`dspex serve`: programs over HTTP, from a shell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dspex.cli._help import add
from dspex.cli._options import Store_

__all__ = ["register"]


def serve(
    programs: Annotated[
        list[str], typer.Argument(metavar="[NAME=]MODULE:ATTRIBUTE", help="Programs, or what makes them.")
    ],
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", "-p", metavar="PORT", min=0, max=65535, help="0 takes a free one.")
    ] = 8000,
    model: Annotated[str | None, typer.Option("--model", metavar="PROVIDER/MODEL", help="The language model.")] = None,
    api_base: Annotated[
        str | None, typer.Option("--api-base", metavar="URL", help="An OpenAI-compatible endpoint.")
    ] = None,
    load: Annotated[
        Path | None, typer.Option("--load", metavar="FILE", help="Saved state, for a single program.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", metavar="SECONDS", min=0.01, help="How long a call may take.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", "-n", metavar="NAME", help="What `dspex ps` calls the system.")
    ] = None,
    log_level: Annotated[
        str, typer.Option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")
    ] = "info",
    store: Store_ = None,
) -> None:
    """Serve programs over HTTP.

    Until Ctrl-C or SIGTERM.  POST /NAME takes the fields of the signature as JSON.

    With `Accept: text/event-stream` the answer streams.  /livez, /readyz and /openapi.json are there too.  A program's
    name is NAME, else the attribute's in small letters.

    Example: dspex serve rag:RAG --model openai/gpt-4o-mini --port 8000
    """
    import dspex
    from dspex.cli._load import load_program
    from dspex.serve import serve as run

    if load is not None and len(programs) != 1:
        raise typer.BadParameter("--load is for a single program: load the others where they are made")
    found: dict[str, Any] = {}
    for each in programs:
        given, separator, reference = each.partition("=")
        reference = reference if separator else each
        key = given if separator else reference.rpartition(":")[2].rpartition(".")[2].lower()
        if key in found:
            raise typer.BadParameter(f"two programs are named {key!r}: write NAME={reference}")
        found[key] = load_program(reference, load)
    options: dict[str, Any] = {"name": name, "store": store}
    if model is not None:
        options["lm"] = dspex.LM(model, api_base=api_base) if api_base else dspex.LM(model)
    run(found, host=host, port=port, timeout=timeout, log_level=log_level, **options)


def register(app: typer.Typer) -> None:
    """Add this command."""
    add(app, serve)
