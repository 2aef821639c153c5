"""The code blocks of the documents, as programs.

A document is one program: its `python` blocks run in their order in one process, as a reader would type them, in an
empty directory. `console` blocks are commands after `$ ` and what they print; `text` blocks are not code. A block in
any other language is an error: nothing in a document goes unexecuted by accident.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.project.source import ROOT

DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])

_FENCE = re.compile(r"^( *)(```+)([^\n`]*)\n(.*?)^\1\2 *$", flags=re.M | re.S)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: its language, its text, and the line of the document on which the text starts."""

    language: str
    text: str
    line: int


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a document, in order."""
    text = path.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        indent = len(match.group(1))
        body = "".join(line[indent:] for line in match.group(4).splitlines(keepends=True))
        line = text.count("\n", 0, match.start(4)) + 1
        found.append(Block(match.group(3).strip().split(" ")[0], body, line))
    return found


def program(path: Path) -> str:
    """The document's Python as one program, with every line where it is in the document, for tracebacks."""
    lines: list[str] = []
    for block in blocks(path):
        if block.language == "python":
            lines += [""] * (block.line - 1 - len(lines)) + block.text.splitlines()
    return "\n".join(lines) + "\n"
