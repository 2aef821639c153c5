"""Mailboxes: bounds and what they do to senders, the system lane, what is counted."""

from __future__ import annotations

import threading
from collections import deque
from contextvars import Context
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actors import BlockingOnLoopError, Bounded, MailboxFull, ReceiveTimeout, Reply, Scheduler, Shutdown, fiber
from actors._mailbox import Gate


def keeper(kind: Any) -> Any:
    class Keeper(kind):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[Any] = []

        def on_receive(self, message: Any) -> Any:
            if message == "seen":
                return list(self.seen)
            if message == "continue":
                self.continue_with("continued")
            if message == "quiet":
                self.receive_timeout(0.01)
            self.seen.append(message)
            return message

    return Keeper


@pytest.mark.parametrize("limit", [0, -1])
def test_a_bound_below_one_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Bounded(limit)


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="drop_oldest"):
        Bounded(1, "shrug")  # type: ignore[arg-type]


def test_reject_raises_at_the_sender_and_fails_the_question(actor_kind: Any) -> None:
    ref = keeper(actor_kind).with_options(mailbox=Bounded(2, "reject")).start()
    ref.suspend()
    ref.inspect(lambda actor: None).get(timeout=5)
    ref.tell(1)
    answer = ref.call(2)
    with pytest.raises(MailboxFull, match="holds 2 messages"):
        ref.tell(3)
    with pytest.raises(MailboxFull):
        ref.ask(4, timeout=5)
    ref.resume()
    assert answer.get(timeout=5) == 2
    assert ref.ask("seen") == [1, 2]


def test_drop_oldest_keeps_the_newest_and_tells_the_asker_of_the_dropped(actor_kind: Any) -> None:
    ref = keeper(actor_kind).with_options(mailbox=Bounded(2, "drop_oldest")).start()
    ref.suspend()
    ref.inspect(lambda actor: None).get(timeout=5)
    dropped = ref.call(1)
    for number in (2, 3, 4):
        ref.tell(number)
    with pytest.raises(MailboxFull):
        dropped.get(timeout=5)
    assert ref._process._gate.dropped == 2
    ref.resume()
    ref.inspect(lambda actor: None).get(timeout=5)
    assert ref.ask("seen") == [3, 4]


def test_wait_holds_a_thread_back_until_there_is_room(actor_kind: Any) -> None:
    ref = keeper(actor_kind).with_options(mailbox=Bounded(1, "wait")).start()
    ref.suspend()
    ref.inspect(lambda actor: None).get(timeout=5)
    ref.tell(1)
    sent: list[int] = []

    def send() -> None:
        for number in (2, 3, 4):
            ref.tell(number)
            sent.append(number)

    thread = threading.Thread(target=send)
    thread.start()
    assert sent == []
    ref.resume()
    thread.join(5)
    assert sent == [2, 3, 4]
    assert ref.ask("seen", timeout=5) == [1, 2, 3, 4]


def test_wait_parks_a_fiber_and_is_refused_on_the_bare_loop(scheduler: Scheduler) -> None:
    from actors import AsyncActor

    ref = keeper(AsyncActor).with_options(mailbox=Bounded(1, "wait")).start()

    class Sender(AsyncActor):
        @fiber
        def patient(self) -> str:
            for number in range(10):
                ref.tell(number)
            return "sent"

        def impatient(self) -> str:
            ref.tell("a")
            try:
                ref.tell("b")
            except BlockingOnLoopError as error:
                return str(error)
            return "no error"

    assert Sender.start().proxy().patient().get(timeout=5) == "sent"
    assert ref.ask("seen", timeout=5) == list(range(10))
    ref.suspend()
    ref.inspect(lambda actor: None).get(timeout=5)
    assert "full mailbox" in Sender.start().proxy().impatient().get(timeout=5)
    ref.resume()


def test_who_waits_at_a_mailbox_learns_that_its_actor_has_ended(actor_kind: Any) -> None:
    from actors import ActorDeadError

    ref = keeper(actor_kind).with_options(mailbox=Bounded(1, "wait")).start()
    ref.suspend()
    ref.inspect(lambda actor: None).get(timeout=5)
    ref.tell(1)
    errors: list[Exception] = []

    def send() -> None:
        try:
            ref.tell(2)
        except ActorDeadError as error:
            errors.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    question = ref.call(3)
    ref.kill()
    thread.join(5)
    assert len(errors) == 1
    with pytest.raises(ActorDeadError):
        question.get(timeout=5)


def test_the_system_lane_passes_waiting_mail(actor_kind: Any) -> None:
    ref = keeper(actor_kind).start()
    ref.suspend()
    for number in range(10):
        ref.tell(number)
    assert ref.inspect(lambda actor: list(actor.seen)).get(timeout=5) == []
    ref.exit(Shutdown("now"))
    assert ref.down().get(timeout=5) is not None
    assert ref.exit_reason == Shutdown("now")


def test_suspended_mail_waits_and_is_handled_in_order_after_resume(actor_kind: Any) -> None:
    ref = keeper(actor_kind).start()
    ref.suspend()
    for number in range(5):
        ref.tell(number)
    ref.resume()
    assert ref.ask("seen", timeout=5) == [0, 1, 2, 3, 4]


def test_a_continued_message_comes_before_the_mail_that_waits(actor_kind: Any) -> None:
    ref = keeper(actor_kind).start()
    ref.suspend()
    for message in ("continue", "b", "c"):
        ref.tell(message)
    ref.resume()
    assert ref.ask("seen", timeout=5) == ["continue", "continued", "b", "c"]


def test_a_receive_timeout_comes_unless_a_message_does(actor_kind: Any) -> None:
    ref = keeper(actor_kind).start()
    ref.tell("quiet")
    ref.tell("noise")
    assert ref.ask("seen") == ["quiet", "noise"]
    ref.ask("quiet")
    deadline = threading.Event()
    for _ in range(200):
        if ref.inspect(lambda actor: list(actor.seen)).get(timeout=5)[-1] == ReceiveTimeout():
            break
        deadline.wait(0.005)
    assert ref.ask("seen") == ["quiet", "noise", "quiet", ReceiveTimeout()]


def test_a_failing_inspection_hurts_the_inspector_only(actor_kind: Any) -> None:
    ref = keeper(actor_kind).start()
    with pytest.raises(ZeroDivisionError):
        ref.inspect(lambda actor: 1 // 0).get(timeout=5)
    assert ref.ask("alive") == "alive"


def test_who_comes_when_there_is_room_again_does_not_overtake_those_who_wait() -> None:
    gate, mail = Gate(Bounded(1, "wait")), deque[Any]()
    envelopes = [(number, None, Context()) for number in range(3)]
    assert gate.admit(mail, envelopes[0]) == (True, None, None)
    _, first, _ = gate.admit(mail, envelopes[1])
    assert mail.popleft() is envelopes[0]  # taken up, but nobody let in yet: the moment at which another comes
    _, second, _ = gate.admit(mail, envelopes[2])
    assert first is not None
    assert second is not None
    gate.refill(mail)
    assert list(mail) == [envelopes[1]]
    assert (first.done(), second.done()) == (True, False)


class GateMachine(RuleBasedStateMachine):
    """The gate against the plainest model of each policy."""

    def __init__(self) -> None:
        super().__init__()
        self.mail: deque[Any] = deque()
        self.gate: Gate | None = None
        self.model: list[int] = []
        self.outside: list[int] = []
        self.next = 0
        self.turns: dict[int, Reply[None]] = {}

    @precondition(lambda self: self.gate is None)
    @rule(limit=st.integers(1, 4), policy=st.sampled_from(["wait", "reject", "drop_oldest"]))
    def open(self, limit: int, policy: Any) -> None:
        self.gate = Gate(Bounded(limit, policy))

    @precondition(lambda self: self.gate is not None)
    @rule()
    def put(self) -> None:
        assert self.gate is not None
        number, self.next = self.next, self.next + 1
        accepted, turn, thrown_out = self.gate.admit(self.mail, (number, None, Context()))
        full = len(self.model) >= self.gate.bound.limit
        match self.gate.bound.overflow:
            case "reject":
                assert accepted is (not full)
                if accepted:
                    self.model.append(number)
            case "drop_oldest":
                assert accepted
                if full:
                    assert thrown_out is not None
                    assert thrown_out[0] == self.model.pop(0)
                self.model.append(number)
            case "wait":
                assert accepted
                if full or self.outside:
                    assert turn is not None
                    self.outside.append(number)
                    self.turns[number] = turn
                else:
                    assert turn is None
                    self.model.append(number)

    @precondition(lambda self: self.gate is not None and bool(self.mail))
    @rule()
    def take(self) -> None:
        assert self.gate is not None
        assert self.mail.popleft()[0] == self.model.pop(0)
        self.gate.refill(self.mail)
        while self.outside and len(self.model) < self.gate.bound.limit:
            self.model.append(self.outside.pop(0))

    @precondition(lambda self: self.gate is not None)
    @invariant()
    def agrees(self) -> None:
        if self.gate is None:
            return
        assert [envelope[0] for envelope in self.mail] == self.model
        assert len(self.mail) <= self.gate.bound.limit
        assert self.gate.waiting == len(self.outside)
        assert all(turn.done() is (number not in self.outside) for number, turn in self.turns.items())


TestGate = GateMachine.TestCase
TestGate.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
