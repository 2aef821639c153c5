"""Health: live, ready, and why not, part by part."""

from __future__ import annotations

import threading
from typing import Any

import dspex
from dspex.system._health import judge
from dspex.testing import FaultServer
from dspex.testing._faults import always


def node(name: str, state: str = "running", *children: dict[str, Any]) -> dict[str, Any]:
    return {"id": name, "path": name, "state": state, "children": list(children)}


def test_a_well_tree_is_live_and_ready() -> None:
    health = judge(node("s", "running", node("lm"), node("programs")), None, {})
    assert (health.live, health.ready, health.why) == (True, True, ())
    assert set(health.parts) == {"lm", "programs"}


def test_no_tree_is_neither() -> None:
    assert judge(None, None, {}).to_json() == {
        "live": False,
        "ready": False,
        "why": ["the system is not running"],
        "parts": {},
    }


def test_a_part_that_restarts_or_is_suspended_makes_it_unready_and_is_named() -> None:
    for state, words in (
        ("restarting (2)", "programs: rag is restarting (2)"),
        ("crash-looping", "programs: rag is crash-looping"),
    ):
        health = judge(node("s", "running", node("lm"), node("programs", "running", node("rag", state))), None, {})
        assert (health.live, health.ready, health.why) == (True, False, (words,))
    health = judge(node("s", "running", node("lm", "suspended")), None, {})
    assert health.why == ("lm: it is suspended",)


def test_a_stall_is_unready_at_once_and_dead_after_half_a_minute() -> None:
    short = judge(node("s"), 2.0, {})
    assert (short.live, short.ready) == (True, False)
    assert short.why == ("loop: one handler has held the event loop for 2.0 s",)
    assert judge(node("s"), 31.0, {}).live is False


def test_an_open_breaker_makes_the_models_part_unready_until_it_closes(make: Any) -> None:
    with FaultServer(faults=always("error_500")) as server:
        lm = dspex.LM("openai/m", base_url=server.url, api_key="k", cache=False, num_retries=0)
        with make(lm=lm) as system:
            assert system.health().ready
            qa = dspex.Predict("question -> answer")
            for _ in range(60):
                try:
                    qa(question="?")
                except dspex.LMError:
                    pass
                if not system.health().ready:
                    break
            health = system.health()
            assert (health.live, health.ready) == (True, False)
            assert "the breaker of openai" in health.parts["lm"].why


def test_health_is_answered_while_the_loop_is_held(make: Any) -> None:
    release = threading.Event()
    with make(stall_after=0.2) as system:
        system.scheduler.call_soon(release.wait, 60)
        try:
            while system.scheduler.stall is None:
                threading.Event().wait(0.02)
            health = system.health()
            assert (health.live, health.ready) == (True, False)
            assert "has held the event loop" in health.parts["loop"].why
        finally:
            release.set()


def test_what_the_application_reports_itself_counts(make: Any) -> None:
    with make() as system:
        system.problems["index"] = "it is being built"
        assert system.health().why == ("index: it is being built",)
        del system.problems["index"]
        assert system.health().ready
