"""The system's events as lines of its log: the grave ones always, the others as far as `log_level` says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from actors import Event, Scheduler, Subscription
    from dspex.system._redact import Redactor

__all__ = ["EventLog", "level_of"]

_LEVELS: Final = ("debug", "info", "warning", "error", "critical")

_TOPICS: Final = {
    "actor.crashed": "error",  # of one that nobody supervises: supervisors log the others themselves
    "actor.dead_letter": "info",
    "budget": "warning",
    "cache.write_failed": "error",
    "evaluation": "info",
    "evaluation.progress": "debug",
    "evaluation.retry": "debug",
    "evaluation.failure": "info",
    "lm.breaker": "warning",
    "lm.breaker.closed": "info",
    "lm.fallback": "warning",
    "lm.limiter": "info",
    "lm.request": "debug",
    "lm.retry": "info",
    "quarantine": "info",
    "quarantine.added": "warning",
    "run": "info",
    "run.progress": "debug",
    "run.retry": "debug",
    "run.failure": "info",
}
"""What is logged, and how gravely.  A topic stands for those below it that are not named.  Of supervisors,
stalls and the store nothing is here: they log for themselves."""


def level_of(topic: str) -> str | None:
    """The level of a topic's events; None if they are not logged."""
    while topic:
        if topic in _TOPICS:
            return _TOPICS[topic]
        topic = topic.rpartition(".")[0]
    return None


class EventLog:
    """Writes events to structlog, under the logger of the system.  Any thread.

    It subscribes to what its level lets through and to nothing else: an event below it costs nothing.
    """

    def __init__(self, scheduler: Scheduler, redactor: Redactor, level: str) -> None:
        self._log = scheduler.log
        self._redactor = redactor
        self._least = _LEVELS.index(level)
        chosen = [topic for topic, each in _TOPICS.items() if _LEVELS.index(each) >= self._least]
        # A topic's subscription hears those below it as well: only the highest of them is needed.
        highest = [topic for topic in chosen if not any(topic.startswith(f"{other}.") for other in chosen)]
        self._subscriptions: list[Subscription] = [scheduler.events.subscribe(topic, self._heard) for topic in highest]

    def close(self) -> None:
        """Write no more."""
        for subscription in self._subscriptions:
            subscription.close()

    def _heard(self, event: Event) -> None:
        level = level_of(event.name)
        if level is None or _LEVELS.index(level) < self._least:
            return
        if event.name == "actor.crashed" and event.metadata.get("parent") is not None:
            return
        about: dict[str, Any] = {**event.measurements, **self._redactor.metadata(event.metadata)}
        about.pop("event", None)  # structlog's own word
        getattr(self._log, level)(event.name, **about)
