"""Is the system well?  Pure: a snapshot of the tree and a few facts in, a verdict out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from supervision import walk

__all__ = ["Health", "PartHealth", "judge"]


@dataclass(frozen=True, slots=True)
class PartHealth:
    """One part of the system: `ok`, and if not, `why`."""

    ok: bool
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """`live`: restarting the process would not help.  `ready`: it can do its work now; `why` says what is missing."""

    live: bool
    ready: bool
    why: tuple[str, ...] = ()
    parts: Mapping[str, PartHealth] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As /readyz and the CLI show it."""
        return {
            "live": self.live,
            "ready": self.ready,
            "why": list(self.why),
            "parts": {name: {"ok": part.ok, "why": part.why} for name, part in self.parts.items()},
        }


def judge(
    tree: Mapping[str, Any] | None,
    stalled_for: float | None,
    problems: Mapping[str, str],
    pools: Sequence[Mapping[str, Any]] = (),
) -> Health:
    """The verdict.

    `tree` is None when the system does not run; `stalled_for`, how long the loop has been held, if it is; `problems`
    are those that parts report themselves, by part; `pools` are the snapshots of the language models' pools.
    """
    if tree is None:
        return Health(False, False, ("the system is not running",))
    parts = {child["id"]: _part(child) for child in tree["children"]}
    broken = [_broken(pool) for pool in pools if pool["breaker"] != "closed"]
    if broken:
        parts["lm"] = PartHealth(False, "; ".join(broken))
    for name, problem in problems.items():
        parts[name] = PartHealth(False, problem)
    if stalled_for is not None:
        parts["loop"] = PartHealth(False, f"one handler has held the event loop for {stalled_for:.1f} s")
    why = tuple(f"{name}: {part.why}" for name, part in parts.items() if not part.ok)
    live = stalled_for is None or stalled_for < 30.0
    return Health(live, live and not why, why, parts)


def _broken(pool: Mapping[str, Any]) -> str:
    wait = pool["breaker_retry_after"]
    trial = f", the next trial is in {wait:.1f} s" if wait else ""
    return f"the breaker of {pool['name']} is {pool['breaker'].replace('_', '-')} ({pool['breaker_failure']}{trial})"


def _part(node: Mapping[str, Any]) -> PartHealth:
    for each in walk(dict(node)):
        state = str(each["state"])
        if state == "crash-looping" or state.startswith("restarting"):
            return PartHealth(False, f"{each['path']} is {state}")
    if node["state"] not in ("running", "suspended"):
        return PartHealth(False, f"it is {node['state']}")
    if node["state"] == "suspended":
        return PartHealth(False, "it is suspended")
    return PartHealth(True)
