"""Three packages, one direction, and a light import."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project.source import PACKAGES, ROOT, module_name, modules

MAY_IMPORT = {
    "actors": {"actors", "pykka", "greenlet", "structlog"},
    "supervision": {"supervision", "actors", "pykka", "greenlet", "structlog"},
}

HEAVY = {
    *("aiohttp", "fastapi", "httpx", "numpy", "optuna", "orjson", "pandas", "psycopg", "rich", "sqlalchemy"),
    *("starlette", "structlog.dev", "typer", "uvicorn", "uvloop", "xllamacpp"),
}


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """The absolute name and the line of everything that a file imports, in functions too."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            yield ".".join([*base, *([node.module] if node.module else [])]), node.lineno


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_a_lower_package_imports_only_what_is_below_it(package: str) -> None:
    allowed = MAY_IMPORT[package] | set(sys.stdlib_module_names)
    strays = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules(package)
        if path.name != "testing.py" and "testing" not in path.parts
        for name, line in imported(path)
        if name.split(".")[0] not in allowed
    ]
    assert strays == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_package_imports_another_ones_private_modules_from_above(package: str) -> None:
    below = {"actors": set(), "supervision": {"actors"}, "dspex": {"actors", "supervision"}}[package]
    strays = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules(package)
        for name, line in imported(path)
        if name.split(".")[0] in below and any(part.startswith("_") for part in name.split("."))
    ]
    assert strays == []


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_in_a_package_imports_the_tests_or_the_examples(package: str) -> None:
    strays = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in modules(package)
        for name, line in imported(path)
        if name.split(".")[0] in {"tests", "examples"}
    ]
    assert strays == []


def test_importing_dspex_loads_nothing_heavy_and_starts_nothing() -> None:
    program = (
        "import sys, threading, json, dspex\n"
        "print(json.dumps([sorted(sys.modules), threading.active_count(), dspex.__name__]))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded, threads, _ = json.loads(done.stdout)
    assert HEAVY & set(loaded) == set()
    assert threads == 1
    assert done.stderr == ""
