"""What the answers of a system look like.  Pure: JSON values in, rich texts out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from dspex.cli._console import duration, money, plural, table

__all__ = [
    "event_row",
    "event_text",
    "inspect_text",
    "is_well",
    "stall_text",
    "top_text",
    "tree_text",
    "what_if_text",
]

Node = Mapping[str, Any]

_TOPIC = 32  # characters, of all but the longest topics
_WIDE = 100  # columns from which topics have one of their own
_GAP = 2  # between two columns of a table

_STYLES = {
    "running": "",
    "idle": "",
    "starting": "cyan",
    "suspended": "yellow",
    "restarting": "yellow",
    "stopping": "cyan",
    "terminated": "dim",
    "undefined": "dim",
    "fenced": "red",
    "crash-looping": "bold red",
    "dead": "red",
}
_ILL = ("restarting", "crash-looping", "fenced", "dead")


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, in the order of the tree."""
    yield node
    for child in node.get("children") or ():
        yield from walk(child)


def is_well(node: Node) -> bool:
    """True if nothing in the tree is restarting, crash-looping, fenced or dead."""
    return not any(str(each.get("state", "")).startswith(_ILL) for each in walk(node))


def tree_text(node: Node) -> Text:
    """The tree with its lines, one actor a line: cut where there is no more room, since wrapped lines would break the
    drawing."""
    text = Text(no_wrap=True, overflow="ellipsis")
    _branch(text, node, "", "")
    text.rstrip()
    return text


def _branch(text: Text, node: Node, first: str, rest: str) -> None:
    text.append(first, style="dim")
    _node_line(text, node)
    text.append("\n")
    children = list(node.get("children") or ())
    for index, child in enumerate(children):
        last = index == len(children) - 1
        _branch(text, child, rest + ("`- " if last else "+- "), rest + ("   " if last else "|  "))
    hidden = node.get("hidden")
    if hidden:
        text.append(f"{rest}`- ... {hidden} more below\n", style="dim")


def _node_line(text: Text, node: Node) -> None:
    state = str(node.get("state", "running"))
    name = str(node.get("id"))
    supervisor = node.get("kind") == "supervisor"
    text.append(name, style="bold" if supervisor else "")
    times = node.get("times")
    if times:
        text.append(f" x{times}")
    strategy = "dynamic" if node.get("dynamic") else node.get("strategy")
    detail = strategy if supervisor else node.get("class")
    if detail:
        text.append(f"  {detail}", style="dim")
    style = _STYLES.get(state.split(" ")[0], "")
    if state not in ("running", "idle"):
        text.append(f"  {state}", style=style)
    busy = node.get("busy")
    if busy:
        since = busy.get("seconds")
        text.append(
            f"  handling {busy.get('message')}" + (f" for {duration(since)}" if since is not None else ""), "cyan"
        )
    if node.get("mailbox"):
        text.append(f"  {node['mailbox']} waiting", style="yellow")
    if node.get("restarts"):
        text.append(f"  restarted {node['restarts']}x", style="yellow")
    for part in _metric_parts(node.get("metrics") or {}):
        text.append(f"  {part}", style="green")
    if node.get("last_exit") and node.get("last_exit") not in ("normal", "shutdown"):
        text.append(f"  last exit: {' '.join(str(node['last_exit']).split())}", style="dim")  # long: the last


def _metric_parts(metrics: Mapping[str, Any]) -> Iterator[str]:
    if metrics.get("progress"):
        yield str(metrics["progress"])
    if metrics.get("calls"):
        yield plural(metrics["calls"], "call")
    if metrics.get("errors"):
        yield plural(metrics["errors"], "error")
    if metrics.get("p50") is not None:
        yield f"p50 {metrics['p50'] * 1000:.0f} ms"
    if metrics.get("total_tokens"):
        yield plural(metrics["total_tokens"], "token")
    if metrics.get("cost"):
        yield money(metrics["cost"])
    if metrics.get("breaker") not in (None, "closed"):
        yield f"breaker {metrics['breaker']}"


def stall_text(stall: Mapping[str, Any]) -> str:
    """One line on what holds the loop."""
    what = "waits" if stall.get("waited") else "computes"
    who = stall.get("actor") or "something that is no actor"
    return f"The event loop has been held for {duration(stall.get('seconds'))}: {who} {what} in {stall.get('message')}."


def what_if_text(outcome: Mapping[str, Any]) -> str:
    """What a crash would do."""
    lines = [f"If {outcome['path']} crashed:"]
    for key, words in (("stopped", "stopped"), ("restarted", "started again"), ("untouched", "left alone")):
        paths = outcome.get(key) or []
        if paths:
            lines.append(f"  {words}: {', '.join(paths)}")
    if outcome.get("escalates"):
        lines.append(f"  {outcome['escalates']}")
    return "\n".join(lines)


_TOP = ("actor", "state", "msg/s", "handled", "waiting", "busy", "restarts")
_LEAST = 12  # characters of a path


def top_text(reading: Mapping[str, Any], width: int | None = None) -> Group:
    """A reading as a table.  Where it would be wider than `width`, empty columns go and paths lose their middle."""
    totals = reading["totals"]
    rows = [
        (
            str(row["path"]),
            str(row["state"]),
            f"{row['rate']:.0f}",
            f"{row['handled']:,}",
            str(row["mailbox"] or ""),
            duration(row["busy"]) if row.get("busy") else "",
            str(row.get("restarts") or ""),
        )
        for row in reading["actors"]
    ]
    columns = [list(column) for column in zip(_TOP, *rows, strict=True)]
    if width is not None and _width(columns) > width:
        columns = [column for column in columns if any(column[1:])]
        left = max(_LEAST, width - _width(columns[1:]) - _GAP)
        columns[0] = [shortened(path, left) for path in columns[0]]
    names = [column[0] for column in columns]
    drawn = table(names, list(zip(*columns, strict=True))[1:], right=names[2:])
    if reading["hidden"]:
        drawn.caption = f"{reading['hidden']:,} more"
        drawn.caption_justify = "left"
    head = (
        f"{totals.get('actors', 0):,} actors, {totals.get('handled_per_second', 0):,.0f} messages/s, "
        f"{totals.get('in_flight', 0):,} LM calls at work, {totals.get('lm_calls_per_second', 0):,.1f} LM calls/s, "
        f"{totals.get('total_tokens_per_second', 0):,.0f} tokens/s, {_spent(totals)}"
    )
    return Group(Text(head), drawn)


def _width(columns: list[list[str]]) -> int:
    return sum(max(map(len, column)) + _GAP for column in columns) - _GAP


def _spent(totals: Mapping[str, Any]) -> str:
    """What is known of the cost: calls without a price are not free."""
    cost, unpriced = totals.get("cost", 0.0), totals.get("unpriced", 0)
    if not unpriced:
        return money(cost)
    return f"{money(cost)} and {unpriced:,} calls of unknown price" if cost else "price unknown"


_SECONDS = ("uptime", "p50", "p90", "p99", "mean")


def inspect_text(found: Mapping[str, Any]) -> Text:
    """Everything about one actor."""
    about = ("path", "class", "kind", "strategy", "restart", "state", "uptime", "mailbox", "handled", "overlapping")
    rows = {key: found.get(key) for key in (*about, "restarts", "crashes", "last_exit")}
    busy = found.get("busy")
    if busy:
        rows["busy"] = f"handling {busy.get('message')} for {duration(busy.get('seconds'))}"
    rows |= {key: value for key, value in (found.get("metrics") or {}).items() if value not in (0, 0.0)}
    shown = {key: _value(key, value) for key, value in rows.items() if value is not None}
    width = max(map(len, shown))
    text = Text()
    for key, value in shown.items():
        text.append(f"{key:{width}}  ", style="dim")
        text.append(f"{value}\n", style="cyan" if key == "busy" else "")
    if found.get("stack"):
        text.append("stack\n", style="dim")
        text.append(str(found["stack"]).rstrip() + "\n")
    crash = found.get("crash")
    if crash:
        text.append(f"last crash {crash.get('fingerprint')}\n", style="dim")
        text.append(str(crash.get("traceback", "")).rstrip() + "\n")
    text.rstrip()
    return text


def _value(key: str, value: Any) -> str:
    if key in _SECONDS and isinstance(value, int | float):
        return duration(value) if key == "uptime" else f"{value * 1000:,.0f} ms"
    if isinstance(value, float):
        return money(value) if key == "cost" else f"{value:.4g}"
    return f"{value:,}" if type(value) is int else str(value)


def event_text(event: Mapping[str, Any]) -> Text:
    """One event on one line."""
    when, topic, said = _event(event)
    topic.pad_right(max(0, _TOPIC - len(topic)))
    return Text(" ").join([when, topic, said])


def event_row(event: Mapping[str, Any], width: int) -> Table:
    """One event on a terminal: what does not fit into its line goes on below, to the right of the time."""
    when, topic, said = _event(event)
    row = Table.grid(padding=(0, 1, 0, 0))
    row.add_column(no_wrap=True)
    if width >= _WIDE:
        topic.pad_right(max(0, _TOPIC - len(topic)))
        row.add_column(no_wrap=True)
        row.add_column(overflow="fold")
        row.add_row(when, topic, said)
    else:
        row.add_column(overflow="fold")
        row.add_row(when, Text(" ").join([topic, said]))
    return row


def _event(event: Mapping[str, Any]) -> tuple[Text, Text, Text]:
    """When, what, and the rest."""
    when = Text(time.strftime("%H:%M:%S", time.localtime(event.get("wall_time", time.time()))), style="dim")
    name = str(event.get("topic"))
    topic = Text(name, style="red" if "crash" in name or "stalled" in name else "bold")
    text = Text()
    pairs = {**(event.get("measurements") or {}), **(event.get("metadata") or {})}
    if "report" in pairs:  # says all, the path too
        text.append(str(pairs.pop("report")))
        pairs.pop("path", None)
    text.append(" ".join(f"{key}={_short(value)}" for key, value in pairs.items() if value is not None))
    return when, topic, text


def shortened(text: str, width: int) -> str:
    """At most `width` characters: the middle of a longer text is left out, since a path is known by its ends."""
    if len(text) <= width:
        return text
    kept = width - 1
    return f"{text[: kept // 3]}…{text[len(text) - (kept - kept // 3) :]}"


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    words = str(value).replace("\n", " ")
    return words if len(words) <= 100 else words[:97] + "..."
