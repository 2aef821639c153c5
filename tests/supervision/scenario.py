"""The recordings of the real OTP supervisor: their format, and the values in them.

A file is a list of `{"name", "about", "timing"?, "tree": SUP, "steps": [STEP]}`.

SUP: id, type "supervisor", strategy, intensity, period (s), auto_shutdown, restart, shutdown, children, significant?,
start_plan?.  WORKER: id, type "worker", restart, shutdown (ms, "infinity", "brutal_kill"), behavior, significant?,
start_plan?.  The n-th entry of a start_plan is what the n-th call of that id's start function does in the whole
scenario: ok, error, ignore, raise, gate_error (blocks until what is queued is in the supervisor's mailbox, then fails).

A worker's behavior on an exit signal: plain dies of it (unless it is normal), trap ends with the very reason,
trap_normal with normal, trap_crash with cleanup_failed, stubborn ignores all but kill.

STEP: action, result, events ["start", id, n, outcome] and ["exit", id, n, reason] in their exact order (`unordered`:
as multisets), reports [supervisor, context, child, reason], after {supervisor: {children: [[id, state]], count}} for
each supervisor that lives.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actors import Crash, ExitReason, Killed, NoProcess, Normal, Shutdown
from supervision import (
    BadCombinationError,
    ChildNotFoundError,
    ChildPresentError,
    ChildRestartingError,
    ChildRunningError,
    ChildStartedError,
    ChildStartError,
    DuplicateChildError,
    FailedToStartChild,
    SpecError,
    TemplateError,
)

DATA = Path(__file__).parent / "data"


def load(name: str | Path) -> list[dict[str, Any]]:
    """The scenarios of a file; a bare name is one of those in the repository."""
    path = DATA / f"{name}.json" if "/" not in str(name) and not str(name).endswith(".json") else Path(name)
    scenarios: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return scenarios


@dataclass
class Step:
    """What a runner saw of one action."""

    result: Any = None
    events: list[Any] = field(default_factory=list)
    reports: list[Any] = field(default_factory=list)
    after: dict[str, Any] = field(default_factory=dict)


def reason_of(value: Any) -> ExitReason:
    """A recorded reason as ours."""
    match value:
        case "normal":
            return Normal()
        case "shutdown":
            return Shutdown()
        case "killed":
            return Killed()
        case "noproc":
            return NoProcess()
        case {"shutdown": detail}:
            return Shutdown(detail)
        case str():
            return Crash(value)
    raise ValueError(f"no such reason: {value!r}")


def told(reason: Any) -> Any:
    """Our reason as it is recorded."""
    match reason:
        case Normal():
            return "normal"
        case Killed():
            return "killed"
        case NoProcess():
            return "noproc"
        case Shutdown(FailedToStartChild(child, inner)):
            return {"shutdown": {"failed_to_start_child": [child, told(inner)]}}
        case Shutdown(None):
            return "shutdown"
        case Shutdown(detail):
            return {"shutdown": detail}
        case Crash(exception=SpecError() as error):
            return {"start_spec": told_spec_error(error)}
        case Crash("RaisedError", message):
            return {"raised": message}
        case Crash(kind):
            return kind
    return reason


def told_spec_error(error: SpecError) -> Any:
    """A refused spec as it is recorded."""
    match error:
        case DuplicateChildError():
            return {"duplicate_child_name": error.value}
        case BadCombinationError():
            return {"bad_combination": {error.field: error.value, error.other: error.other_value}}
    return str(error)


def told_error(error: BaseException) -> Any:
    """What a call raised, as it is recorded."""
    names: dict[type[BaseException], str] = {
        ChildNotFoundError: "not_found",
        ChildRunningError: "running",
        ChildRestartingError: "restarting",
        ChildPresentError: "already_present",
        ChildStartedError: "already_started",
        TemplateError: "simple_one_for_one",
    }
    if isinstance(error, ChildStartError):
        return {"error": told(error.reason)}
    if isinstance(error, SpecError):
        return {"error": told_spec_error(error)}
    for kind, name in names.items():
        if isinstance(error, kind):
            return {"error": name}
    raise error


def seconds(shutdown: Any) -> Any:
    """A recorded shutdown value as ours."""
    return shutdown if isinstance(shutdown, str) else shutdown / 1000


def milliseconds(shutdown: Any) -> Any:
    """Our shutdown value as it is recorded."""
    return shutdown if isinstance(shutdown, str) else int(shutdown * 1000)


def told_spec(spec: Any) -> dict[str, Any]:
    """A ChildSpec as `get_childspec` is recorded."""
    return {
        "id": spec.id,
        "restart": spec.restart,
        "shutdown": milliseconds(spec.shutdown),
        "significant": spec.significant,
        "type": spec.type,
    }


def flags_of(node: dict[str, Any]) -> dict[str, Any]:
    """The flags of a recorded supervisor, for SupervisorFlags."""
    return {key: node[key] for key in ("strategy", "intensity", "period", "auto_shutdown")}
