"""What has happened lately: the last events, and the crashes by where they happened.  Kept in memory, bounded."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from actors import Crash, Event, Events, ExitReason, Subscription
from dspex.system._redact import Redactor

if TYPE_CHECKING:
    from supervision import Report

__all__ = ["CrashSeen", "Recorder", "event_json"]

TOPICS: Final = (
    "actor.crashed",
    "actor.dead_letter",
    "budget",
    "cache.write_failed",
    "evaluation.finished",
    "evaluation.progress",
    "evaluation.started",
    "evaluation.stopped",
    "lm.breaker",
    "lm.fallback",
    "lm.limiter",
    "lm.retry",
    "quarantine",
    "run",
    "scheduler",
    "store",
    "supervisor",
)
"""The facts worth remembering.  One event a request would push everything else out."""

_EVENTS: Final = 1000
_CRASHES: Final = 500


@dataclass(slots=True)
class CrashSeen:
    """Crashes with one fingerprint."""

    fingerprint: str
    type: str
    message: str
    traceback: str
    count: int
    paths: dict[str, int]
    last_seen: float

    def to_json(self) -> dict[str, Any]:
        """As `dspex crashes` lists it."""
        return {
            "fingerprint": self.fingerprint,
            "type": self.type,
            "message": self.message,
            "traceback": self.traceback,
            "count": self.count,
            "paths": list(self.paths),
            "last_seen": self.last_seen,
        }


class Recorder:
    """Listens to the events of one system.  Any thread may read."""

    def __init__(
        self,
        events: Events,
        on_crash: Callable[[str, Crash], None] | None = None,
        redactor: Redactor | None = None,
    ) -> None:
        self._redactor = redactor or Redactor()
        self._events: deque[dict[str, Any]] = deque(maxlen=_EVENTS)
        self._crashes: OrderedDict[str, CrashSeen] = OrderedDict()
        self._by_path: dict[str, Crash] = {}
        self._lock = threading.Lock()
        self._on_crash = on_crash
        self._subscriptions: list[Subscription] = [events.subscribe(topic, self._heard) for topic in TOPICS]

    def close(self) -> None:
        """Listen no more."""
        for subscription in self._subscriptions:
            subscription.close()

    def _heard(self, event: Event) -> None:
        """One event. Whoever emits may put anything into it: what cannot be recorded costs this event only."""
        try:
            self._record(event)
        except Exception as error:  # noqa: BLE001  a subscriber that raises is unsubscribed for good
            why = f"this event could not be recorded: {type(error).__name__}"
            self._events.append(event_json(replace(event, measurements={}, metadata={"note": why}), self._redactor))

    def _record(self, event: Event) -> None:
        self._events.append(event_json(event, self._redactor))
        if event.name == "supervisor.child_terminated":
            report: Report = event.metadata["report"]
            self._crashed(f"{event.metadata['path']}/{report.child}", report.reason)
        elif event.name == "actor.crashed" and event.metadata.get("parent") is None:
            self._crashed(event.metadata["actor"], event.metadata["reason"])

    def _crashed(self, path: str, reason: ExitReason | str) -> None:
        if not isinstance(reason, Crash):
            return
        kept = self._redactor.crash(reason)
        with self._lock:
            if len(self._by_path) < 10_000 or path in self._by_path:
                self._by_path[path] = kept
            seen = self._crashes.pop(reason.fingerprint, None)
            if seen is None:
                seen = CrashSeen(reason.fingerprint, reason.type, "", "", 0, {}, 0.0)
            seen.message, seen.traceback = kept.message, kept.traceback
            seen.count += 1
            seen.last_seen = time.time()
            if len(seen.paths) < 20 or path in seen.paths:
                seen.paths[path] = seen.paths.get(path, 0) + 1
            self._crashes[reason.fingerprint] = seen
            while len(self._crashes) > _CRASHES:
                self._crashes.popitem(last=False)
        if self._on_crash is not None:
            self._on_crash(path, kept)

    def crashes(self) -> list[dict[str, Any]]:
        """By fingerprint, the latest first."""
        with self._lock:
            return [seen.to_json() for seen in reversed(self._crashes.values())]

    def last_crash(self, path: str) -> Crash | None:
        """The last crash at a path of the tree."""
        with self._lock:
            return self._by_path.get(path)

    def recent(self, topics: Sequence[str] = (), limit: int = 50) -> list[dict[str, Any]]:
        """The last events of these topics (of all, if none is given), the oldest first."""
        chosen = [event for event in list(self._events) if not topics or _below(event["topic"], topics)]
        return chosen[-limit:]


def _below(topic: str, topics: Sequence[str]) -> bool:
    return any(topic == each or topic.startswith(f"{each}.") for each in topics)


def event_json(event: Event, redactor: Redactor | None = None) -> dict[str, Any]:
    """An event as data that can be written down, without secrets: values that are not JSON become text."""
    redactor = redactor or Redactor()
    return {
        "topic": event.name,
        "time": event.time,
        "wall_time": time.time(),
        "measurements": dict(event.measurements),
        "metadata": redactor.metadata(event.metadata),
    }
