"""The recorder hears every event, whatever is in it."""

from __future__ import annotations

from typing import Any

from actors import Crash, Event
from dspex.evaluate import _messages
from dspex.evaluate._ledger import Lease
from dspex.system._recorder import Recorder
from dspex.system._redact import Redactor
from supervision import Report


class Events:
    """Hands out what is said to those who subscribed."""

    def __init__(self) -> None:
        self.handlers: dict[str, Any] = {}

    def subscribe(self, topic: str, handler: Any) -> Any:
        self.handlers[topic] = handler

    def say(self, topic: str, **metadata: Any) -> None:
        self.handlers[topic](Event(tuple(topic.split(".")), 0.0, {}, metadata))


def test_a_report_is_known_by_its_type_not_by_its_name() -> None:
    foreign = _messages.Report(None, Lease(0, 1), 0.1)  # type: ignore[arg-type]
    ours = Report("child_terminated", "one", None, Crash("Boom", "sk-abcdefghijklmnop1234567890"))  # type: ignore[arg-type]
    assert Redactor().plain(foreign) == "Report"
    assert "Boom" in Redactor().plain(ours)
    assert "sk-abcdef" not in Redactor().plain(ours)


def test_an_event_that_cannot_be_recorded_costs_itself_only() -> None:
    class Hostile(dict[str, Any]):
        def items(self) -> Any:
            raise RuntimeError("no")

    events = Events()
    recorder = Recorder(events)  # type: ignore[arg-type]
    events.say("actor.dead_letter", message=Hostile())
    events.say("actor.dead_letter", message="after it")
    first, second = recorder.recent()
    assert first["metadata"] == {"note": "this event could not be recorded: RuntimeError"}
    assert second["metadata"] == {"message": "after it"}
