"""`dspex doctor` and `dspex demo`: is everything here that is needed, and what does it look like when it runs?"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

import dspex
from dspex._errors import DspexError
from dspex._extras import how_to_install
from dspex._packages import PACKAGES, explain_foreign
from dspex.cli._console import console, emit_json
from dspex.cli._help import add
from dspex.cli._options import AsJson

__all__ = ["Finding", "register"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: Literal["ok", "note", "bad"]
    detail: str


_EXTRAS = {
    "uvloop": ("fast", "a faster event loop"),
    "orjson": ("fast", "faster JSON"),
    "psycopg": ("postgres", "stores on PostgreSQL"),
    "optuna": ("optuna", "optuna's search for MIPROv2"),
    "starlette": ("serve", "dspex serve"),
    "uvicorn": ("serve", "dspex serve"),
    "xllamacpp": ("local", "a local model server"),
}
_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY")


def _python() -> Iterator[Finding]:
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _packages() -> Iterator[Finding]:
    claims = importlib.metadata.packages_distributions()
    for name in PACKAGES:
        wrong = _not_ours(name, sorted({*claims.get(name, ())} - {"dspex"}))
        spec = importlib.util.find_spec(name)
        yield Finding(name, "bad" if wrong else "ok", wrong or str(spec.origin if spec else None))
    for module, (extra, purpose) in _EXTRAS.items():
        there = importlib.util.find_spec(module) is not None
        words = "installed" if there else f"not installed: {how_to_install(extra)} gives {purpose}"
        yield Finding(module, "ok" if there else "note", words)


def _not_ours(name: str, others: list[str]) -> str | None:
    """What is wrong with a package that dspex comes with: it is missing, another one, or of another installation."""
    if foreign := explain_foreign(name):
        return foreign
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        return "not found: install dspex again"
    place, beside = Path(spec.origin).resolve().parents[1], Path(dspex.__file__).resolve().parents[1]
    if place != beside:
        return f"{spec.origin} is of another installation than dspex, which is in {beside}"
    if others:
        return (
            f"the distribution {' and '.join(others)} has a package of this name too, and whichever is installed last "
            "writes over the other one: use an environment for dspex without it"
        )
    return None


def _settings() -> Iterator[Finding]:
    from dspex.system import SystemConfig

    config = SystemConfig.load()
    for key, value, source in config.describe():
        if source != "default":
            yield Finding(f"setting {key}", "ok", f"{value} (from {source})")


def _keys() -> Iterator[Finding]:
    present = [key for key in _KEYS if os.environ.get(key)]
    detail = ", ".join(present) if present else f"none of {', '.join(_KEYS)} is set: only local models will answer"
    yield Finding("API keys", "ok" if present else "note", detail)


def _store() -> Iterator[Finding]:
    from dspex.cli._data import find_store

    store = find_store(None)
    try:
        if store.path is not None and not store.path.exists():
            yield Finding("store", "ok", f"{store.url}: not there yet, the first run makes it")
            return
        store.check()
        yield Finding("store", "ok", store.url)
    finally:
        store.close()


def _sockets() -> Iterator[Finding]:
    from dspex.control import running, runtime_directory

    systems = running()
    names = ", ".join(f"{system.name} ({system.pid})" for system in systems) or "no system is running"
    yield Finding("control sockets", "ok", f"{runtime_directory()}: {names}")


_LOOKS: tuple[Callable[[], Iterator[Finding]], ...] = (_python, _packages, _settings, _keys, _store, _sockets)


def doctor(as_json: AsJson = False) -> None:
    """Look whether all is in order here.

    Python, packages, settings, keys, store and sockets.  Changes nothing.  Exits with 1 if something is not in order.

    Example: dspex doctor
    """
    findings: list[Finding] = []
    for look in _LOOKS:
        try:
            findings.extend(look())
        except (DspexError, OSError, ImportError) as error:
            findings.append(Finding(look.__name__.strip("_"), "bad", str(error)))
    if as_json:
        emit_json([{"what": each.what, "state": each.state, "detail": each.detail} for each in findings])
    else:
        _show(findings)
    if any(each.state == "bad" for each in findings):
        raise typer.Exit(1)


def _show(findings: list[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    out = console()
    if not out.is_terminal:
        for each in findings:
            out.print(
                f"{each.state.upper() if each.state == 'bad' else each.state:4}  {each.what:24} {each.detail}",
                markup=False,
            )
        return
    marks = {"ok": ("ok", "green"), "note": ("note", "yellow"), "bad": ("BAD", "bold red")}
    drawn = Table.grid(padding=(0, 2, 0, 0))
    drawn.add_column(no_wrap=True)
    drawn.add_column(no_wrap=True)
    drawn.add_column(overflow="fold")
    for each in findings:
        drawn.add_row(Text(*marks[each.state]), Text(each.what), Text(each.detail))
    out.print(drawn)


def demo(
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="SECONDS", min=1.0, help="How long it is to run.")
    ] = 60.0,
    crashes: Annotated[bool, typer.Option("--crashes/--no-crashes", help="Crash something every few seconds.")] = True,
    as_json: AsJson = False,
) -> None:
    """Run a small system to look at.

    From another terminal: programs under load, and a crash now and then.  No model is needed.

    Example: dspex demo & dspex tree --watch
    """
    from dspex.cli._demo import run_demo

    if not as_json:
        console().print(f"A system named 'demo' runs for {seconds:.0f} s. In another terminal:")
        for line in ("ps", "tree --watch", "top", "events --follow", "crashes", "quarantine"):
            console().print(f"  dspex {line}")
        sys.stdout.flush()
    report = run_demo(seconds, crashes)
    if as_json:
        emit_json(report)
    else:
        console().print(", ".join(f"{value:,} {key}" for key, value in report.items()))


def register(app: typer.Typer) -> None:
    """Add these commands."""
    add(app, doctor, demo)
