"""Big trees made small enough to read: levels cut off, long rows of equal workers folded into one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["fold"]

_FROM = 8  # so many equal siblings in a row are one line

Node = dict[str, Any]


def fold(node: Node, depth: int | None = None, collapse: bool = False) -> Node:
    """A copy of a tree with at most `depth` levels below its root; `hidden` counts what was cut off.

    With `collapse`, siblings in a row that differ in nothing but their id become one node: its id is
    `first..last`, and `times` says how many they are.
    """
    children = node["children"]
    if depth is not None and depth <= 0:
        return {**node, "children": [], "hidden": _count(node) - 1} if children else dict(node)
    below = None if depth is None else depth - 1
    folded = [fold(child, below, collapse) for child in children]
    return {**node, "children": list(_rows(folded)) if collapse else folded}


def _count(node: Node) -> int:
    return 1 + sum(_count(child) for child in node["children"])


def _rows(children: list[Node]) -> Iterator[Node]:
    row: list[Node] = []
    for child in children:
        if row and _kind(child) != _kind(row[0]):
            yield from _row(row)
            row = []
        row.append(child)
    yield from _row(row)


def _row(row: list[Node]) -> Iterator[Node]:
    if len(row) < _FROM:
        yield from row
        return
    first, last = row[0], row[-1]
    name = first["id"] if first["id"] == last["id"] else f"{first['id']}..{last['id']}"
    yield {
        **first,
        "id": name,
        "times": len(row),
        "mailbox": sum(node["mailbox"] for node in row),
        "handled": sum(node["handled"] for node in row),
        "restarts": sum(node["restarts"] for node in row),
        "busy": None,
        "last_exit": None,
    }


def _kind(node: Node) -> Any:
    """What two siblings must share to be one line.  A node with children of its own, or in trouble, stands alone."""
    if node["children"]:
        return id(node)
    return node["class"], node["kind"], node["state"], node["restart"]
