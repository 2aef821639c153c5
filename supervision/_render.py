"""A tree as text, JSON, Graphviz dot or Mermaid: pure functions on what `tree` returns."""

from __future__ import annotations

import json
from collections.abc import Iterator

from supervision._tree import Node, walk

__all__ = ["render_dot", "render_json", "render_mermaid", "render_text"]

_COLOURS = {
    "running": "#2e7d32",
    "starting": "#1565c0",
    "stopping": "#6d4c41",
    "suspended": "#6a1b9a",
    "crash-looping": "#c62828",
    "restarting": "#ef6c00",
    "terminated": "#757575",
    "fenced": "#000000",
}


def render_text(tree: Node) -> str:
    """One line a node, as people draw trees."""
    return "\n".join(_text_lines(tree, tree["path"], "", ""))


def _text_lines(node: Node, label: str, first: str, rest: str) -> Iterator[str]:
    yield first + _summary(node, label)
    children = node["children"]
    for number, child in enumerate(children):
        last = number == len(children) - 1
        name = child["path"].removeprefix(node["path"] + "/")
        yield from _text_lines(child, name, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))


def _summary(node: Node, label: str) -> str:
    words = [label, _kind(node), node["state"]]
    if node["restarts"]:
        words.append(f"restarted {node['restarts']}x")
    if node["mailbox"]:
        words.append(f"{node['mailbox']} waiting")
    if (busy := node["busy"]) is not None:
        seconds = "" if busy["seconds"] is None else f" for {_duration(busy['seconds'])}"
        words.append(f"handling {busy['message']}{seconds}")
    if node["uptime"] is not None:
        words.append(f"up {_duration(node['uptime'])}")
    if node["last_exit"] is not None:
        words.append(f"last exit: {_one_line(node['last_exit'])}")
    return "  ".join(words)


def _kind(node: Node) -> str:
    if node["kind"] != "supervisor":
        return f"({node['class']})"
    strategy = "dynamic" if node.get("dynamic") else node.get("strategy", "supervisor")
    return f"[{strategy}]"


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _one_line(text: str, limit: int = 100) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def render_json(tree: Node, *, indent: int | None = 2) -> str:
    """The tree itself."""
    return json.dumps(tree, indent=indent, ensure_ascii=False)


def render_dot(tree: Node) -> str:
    """For Graphviz: `dot -Tsvg`."""
    names = {node["path"]: f"n{number}" for number, node in enumerate(walk(tree))}
    lines = ["digraph supervision {", "  rankdir=LR;", '  node [fontname="sans-serif"];']
    for node in walk(tree):
        shape = "box" if node["kind"] == "supervisor" else "ellipse"
        label = _dot_text(f"{node['id']}\n{_kind(node)}\n{node['state']}")
        lines.append(f'  {names[node["path"]]} [shape={shape}, color="{_colour(node)}", label="{label}"];')
    for node in walk(tree):
        for child in node["children"]:
            lines.append(f"  {names[node['path']]} -> {names[child['path']]};")
    return "\n".join([*lines, "}"])


def _dot_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def render_mermaid(tree: Node) -> str:
    """For Mermaid, as Markdown viewers show it."""
    names = {node["path"]: f"n{number}" for number, node in enumerate(walk(tree))}
    lines = ["graph TD"]
    for node in walk(tree):
        label = _mermaid_text(f"{node['id']}\n{_kind(node)}\n{node['state']}")
        begin, end = ("[", "]") if node["kind"] == "supervisor" else ("(", ")")
        lines.append(f'  {names[node["path"]]}{begin}"{label}"{end}')
        lines.append(f"  style {names[node['path']]} stroke:{_colour(node)}")
    for node in walk(tree):
        for child in node["children"]:
            lines.append(f"  {names[node['path']]} --> {names[child['path']]}")
    return "\n".join(lines)


def _mermaid_text(text: str) -> str:
    escaped = text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace("\n", "<br>")


def _colour(node: Node) -> str:
    return _COLOURS.get(node["state"].split(" ")[0], "#757575")
