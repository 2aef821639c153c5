"""What a package says it exports is there, once, and in order."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

from tests.project.source import PACKAGES, ROOT, module_name, modules

INITS = [path for package in PACKAGES for path in modules(package) if path.name == "__init__.py"]


@pytest.mark.parametrize("path", INITS, ids=module_name)
def test_every_name_in_all_resolves_and_the_list_is_sorted(path: Path) -> None:
    module = importlib.import_module(module_name(path))
    names = list(getattr(module, "__all__", []))
    assert names == sorted(set(names))
    missing = [name for name in names if getattr(module, name, None) is None and not hasattr(module, name)]
    assert missing == []


@pytest.mark.parametrize("path", INITS, ids=module_name)
def test_a_package_init_holds_no_classes_and_no_logic(path: Path) -> None:
    """Only the lazy table of a package may define functions: `__getattr__` and `__dir__`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    defined = [
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    assert set(defined) <= {"__getattr__", "__dir__"}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_imports(package: str) -> None:
    skipped = {ROOT / "dspex/local/_child.py"}  # a program, not a module
    for path in modules(package):
        if path.name != "__main__.py" and path not in skipped:
            importlib.import_module(module_name(path))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_marked_as_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()
