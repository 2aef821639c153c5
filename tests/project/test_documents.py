"""Every code block in README.md and docs/ is executed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dspex.testing import FaultServer
from tests.project.documents import DOCUMENTS, blocks, program
from tests.project.source import ROOT

WITH_CODE = [
    pytest.param(path, marks=pytest.mark.realmodel if "dspex.local" in program(path) else (), id=path.name)
    for path in DOCUMENTS
    if program(path).strip()
]

LANGUAGES = {"python", "console", "text", "json", "toml"}


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", DOCUMENTS, ids=label)
def test_every_block_says_its_language(path: Path) -> None:
    strays = [f"{label(path)}:{block.line}: {block.language!r}" for block in blocks(path)]
    assert [stray for stray in strays if not any(stray.endswith(repr(known)) for known in LANGUAGES)] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=label)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in target]
    assert [target for target in targets if not (path.parent / target).exists()] == []


def test_every_page_is_linked_from_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [label(path) for path in DOCUMENTS[1:] if f"]({label(path)})" not in text] == []


def test_the_tree_in_the_design_is_that_of_a_system(tmp_path: Path) -> None:
    from dspex import System
    from supervision import tree

    text = (ROOT / "docs/design.md").read_text(encoding="utf-8").split("\n## The tree\n")[1].split("\n## ")[0]
    drawn = re.findall(r"^ {4}([| ]*)[+`]- (\w+)", text, flags=re.M)
    with System("drawn", store=f"sqlite:///{tmp_path / 'store.db'}", control_socket=tmp_path / "socket") as system:
        root = tree(system.root)
    shown = []
    for child in root["children"]:
        shown.append(("", child["id"]))
        shown += [("|  ", inner["id"]) for inner in child.get("children", ())]
    assert drawn == shown


@pytest.mark.parametrize("path", WITH_CODE)
def test_the_python_of_a_document_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    """What calls itself OpenAI is a server on this machine that answers in the form asked for."""
    source = tmp_path / "document.py"
    source.write_text(program(path), encoding="utf-8")
    with FaultServer() as server:
        hosted = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "not-a-secret"}
        done = subprocess.run(
            [sys.executable, "-W", "error", source],
            cwd=tmp_path,
            env={**os.environ, **hosted, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0, f"{label(path)} (same line numbers):\n{done.stdout}\n{done.stderr}"
