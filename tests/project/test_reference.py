"""The reference can be written at any time, and has every public name with words about it."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

from tests.project.source import PACKAGES, ROOT, module_name, modules

GENERATOR = ROOT / "docs/reference.py"


def generator() -> object:
    spec = importlib.util.spec_from_file_location("reference", GENERATOR)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_public_name_has_a_section(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, GENERATOR, tmp_path], cwd=ROOT, env=None, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    pages = {path.stem: path.read_text(encoding="utf-8") for path in tmp_path.glob("*.md")}
    missing = [
        f"{package}.{name}"
        for package, text in pages.items()
        if package != "README"
        for name in importlib.import_module(package).__all__
        if f"\n## {name}\n" not in text
    ]
    assert missing == []


def test_a_package_that_needs_what_is_not_installed_is_named_and_the_others_are_written(tmp_path: Path) -> None:
    without = "import runpy, sys; sys.modules['pytest'] = None; del sys.argv[0]; "
    without += "runpy.run_path(sys.argv[0], None, '__main__')"
    done = subprocess.run(
        [sys.executable, "-c", without, GENERATOR, tmp_path], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "no page for actors.testing: it needs pytest" in done.stdout
    assert (tmp_path / "dspex.md").exists()
    assert not (tmp_path / "actors.testing.md").exists()


def test_every_package_with_public_names_has_a_page() -> None:
    """But for those that come with an extra, the CLI, and what is public only within its package's parent."""
    inner = {"dspex.cli", "dspex.lm.wire", "dspex.serve", "dspex.streaming", "dspex.teleprompt.proposer"}
    packages = {module_name(path) for package in PACKAGES for path in modules(package) if path.name == "__init__.py"}
    assert packages - inner <= set(generator().PACKAGES)  # type: ignore[attr-defined]
