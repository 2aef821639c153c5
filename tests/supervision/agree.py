"""Where a replay and a recording differ."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from .scenario import Step


def _bag(items: list[Any]) -> Counter[str]:
    return Counter(json.dumps(item, sort_keys=True) for item in items)


def differences(recorded: dict[str, Any], seen: Step, level: int) -> Iterator[str]:
    """One line per disagreement.  Level 1: result and children; 2: and events; 3: and reports."""
    loose = recorded.get("unordered", False)
    pairs: list[tuple[str, Any, Any]] = [
        ("result", recorded["result"], seen.result),
        ("after", recorded["after"], seen.after),
    ]
    if level >= 2:
        pairs.append(("events", recorded["events"], seen.events))
    if level >= 3:
        pairs.append(("reports", recorded["reports"], seen.reports))
    for what, ours_should, ours in pairs:
        bags = loose and what in ("events", "reports")
        same = _bag(ours_should) == _bag(ours) if bags else ours_should == ours
        if not same:
            yield f"{what}: recorded {json.dumps(ours_should)}, ours {json.dumps(ours, default=str)}"
