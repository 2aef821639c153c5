"""What users hold: LM objects, their settings, copies and saved states, history, secrets."""

from __future__ import annotations

import asyncio
import io
import json
import pickle
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from actors import Scheduler
from dspex import context, track_usage
from dspex._errors import LMConfigurationError, LMError, LMUnexpectedError
from dspex.callbacks import BaseCallback
from dspex.lm import LM, BaseLM, LMOutput, LMRequest, LMResponse, Usage, inspect_history
from dspex.testing import FaultServer, always, value_of

SECRET = "sk-very-secret-0123456789"


def local(server: FaultServer, **options: Any) -> LM:
    return LM("openai/m", base_url=server.url, **{"api_key": SECRET, "cache": False, **options})


def canned(reply: dict[str, Any], seen: list[httpx.Request] | None = None) -> httpx.MockTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(request)
        return httpx.Response(200, json=reply)

    return httpx.MockTransport(answer)


@pytest.mark.parametrize(
    ("model", "options", "provider", "rest", "url", "form"),
    [
        ("openai/gpt-4o-mini", {}, "openai", "gpt-4o-mini", "https://api.openai.com/v1", "chat"),
        ("openai/gpt-5", {"model_type": "responses"}, "openai", "gpt-5", "https://api.openai.com/v1", "responses"),
        ("anthropic/claude-sonnet-4-5", {}, "anthropic", "claude-sonnet-4-5", "https://api.anthropic.com", "anthropic"),
        (
            "gemini/gemini-2.5-pro",
            {},
            "gemini",
            "gemini-2.5-pro",
            "https://generativelanguage.googleapis.com/v1beta",
            "gemini",
        ),
        ("ollama_chat/llama3", {}, "ollama_chat", "llama3", "http://localhost:11434/v1", "chat"),
        ("openrouter/a/b", {}, "openrouter", "a/b", "https://openrouter.ai/api/v1", "chat"),
        ("openai/org/model", {"base_url": "http://x/v1/"}, "openai", "org/model", "http://x/v1", "chat"),
        ("org/model", {"api_base": "http://x/v1"}, "openai", "org/model", "http://x/v1", "chat"),
        ("gpt-4o", {}, "openai", "gpt-4o", "https://api.openai.com/v1", "chat"),
        ("claude-3-5-haiku", {}, "anthropic", "claude-3-5-haiku", "https://api.anthropic.com", "anthropic"),
    ],
)
def test_a_name_says_provider_place_and_dialect(
    model: str, options: Any, provider: str, rest: str, url: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    endpoint = LM(model, **options).endpoint
    assert (endpoint.provider, endpoint.model, endpoint.base_url, endpoint.format.name) == (provider, rest, url, form)


@pytest.mark.parametrize(
    ("model", "options"),
    [("nobody/x", {}), ("mystery", {}), ("anthropic/x", {"model_type": "text"}), ("vllm/x", {"model_type": "x"})],
)
def test_a_name_that_means_nothing_is_refused_at_once(model: str, options: Any) -> None:
    with pytest.raises(LMConfigurationError):
        LM(model, **options)


def test_a_missing_key_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, scheduler: Scheduler) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(LMConfigurationError, match="OPENAI_API_KEY") as caught:
        LM("openai/gpt-4o", cache=False)("x")
    assert caught.value.code == "missing_api_key"


def test_the_key_comes_from_the_environment_and_goes_into_the_header(
    monkeypatch: pytest.MonkeyPatch, scheduler: Scheduler
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    seen: list[httpx.Request] = []
    reply = {"content": [{"type": "text", "text": "hi"}], "usage": {"input_tokens": 1, "output_tokens": 1}}
    model = LM("anthropic/claude-sonnet-4-5", cache=False, transport=canned(reply, seen), headers={"X-Own": "1"})
    assert model("x") == ["hi"]
    assert seen[0].headers["x-api-key"] == SECRET
    assert seen[0].headers["x-own"] == "1"
    assert str(seen[0].url) == "https://api.anthropic.com/v1/messages"
    assert model.history[-1]["cost"] == pytest.approx((3 + 15) / 1e6)


def test_n_completions_are_so_many_requests_where_one_cannot_bring_them(scheduler: Scheduler) -> None:
    seen: list[httpx.Request] = []
    reply = {"content": [{"type": "text", "text": "hi"}], "usage": {"input_tokens": 1, "output_tokens": 2}}
    model = LM("anthropic/m", api_key="k", cache=False, transport=canned(reply, seen))
    with track_usage() as tracker:
        assert model("x", n=3) == ["hi"] * 3
    assert len(seen) == 3
    assert tracker.total == Usage(3, 6, 9, 0, 0, 3)


def test_the_secret_is_nowhere_to_be_seen(scheduler: Scheduler) -> None:
    with FaultServer() as server:
        model = local(server)
        model("item-1")
        out = io.StringIO()
        model.inspect_history(1, file=out)
        inspect_history(1, file=out)
        server.faults = always("auth_401")  # quotes the key that it rejects
        with pytest.raises(LMError) as caught:
            model("item-2")
        shown = [
            repr(model),
            str(model.dump_state()),
            str(model.history),
            out.getvalue(),
            str(caught.value),
            repr(caught.value),
            str(caught.value.__dict__),
            repr(model.endpoint),
            repr(vars(model)["_route"].key),
        ]
        assert server.requests[0].headers["authorization"] == f"Bearer {SECRET}"
    assert not [text for text in shown if SECRET in text]


def test_parameters_of_the_call_come_before_those_of_the_lm(scheduler: Scheduler) -> None:
    with FaultServer() as server:
        model = local(server, temperature=0.5, max_tokens=10, top_p=0.9)
        model("x", temperature=0.0, max_tokens=None)
        body = server.requests[0].body
    assert body == {"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": 0.0, "top_p": 0.9}


def test_a_text_model_gets_a_prompt(scheduler: Scheduler) -> None:
    with FaultServer() as server:
        model = local(server, model_type="text")
        assert model("Review: item-3\nSentiment:") == [value_of(3)]
        assert server.requests[0].path == "/v1/completions"
        assert server.requests[0].body == {"model": "m", "prompt": "Review: item-3\nSentiment:"}


def test_outputs_with_more_than_text_are_dicts(scheduler: Scheduler) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {}}}}}
    with FaultServer() as server:
        (output,) = local(server)("item-1", tools=[tool], tool_choice="required")
    assert isinstance(output, dict)
    assert output["text"] == ""
    assert output["tool_calls"][0]["function"]["name"] == "f"
    assert list(json.loads(output["tool_calls"][0]["function"]["arguments"])) == ["a"]


def test_a_call_without_a_prompt_is_refused(scheduler: Scheduler) -> None:
    with pytest.raises(LMConfigurationError):
        LM("openai/m", base_url="http://x/v1")()


def test_what_has_no_json_form_is_a_configuration_error(scheduler: Scheduler) -> None:
    with FaultServer() as server, pytest.raises(LMConfigurationError, match="JSON"):
        local(server)("x", metadata=object())


# --- copies and files


def test_a_copy_changes_what_it_is_told_and_shares_nothing_that_changes(scheduler: Scheduler) -> None:
    with FaultServer() as server:
        model = local(server, temperature=0.5)
        model("item-1")
        twin = model.copy(temperature=1.0, rollout_id=3)
        assert twin.kwargs["temperature"] == 1.0
        assert model.kwargs["temperature"] == 0.5
        assert twin.history == []
        assert twin("item-2") == [value_of(2)]
        assert len(model.history) == 1
        moved = model.copy(model="openai/other")
        moved("item-3")
        assert server.requests[-1].body["model"] == "other"


def test_a_deep_copy_and_a_pickle_still_work_but_carry_no_connections(scheduler: Scheduler) -> None:
    with FaultServer() as server:
        model = local(server)
        model("item-1")
        assert deepcopy(model)("item-2") == [value_of(2)]
        assert pickle.loads(pickle.dumps(model))("item-3") == [value_of(3)]


def test_a_saved_state_has_no_secret_and_its_endpoint_is_not_believed() -> None:
    model = LM(
        "openai/m", api_key=SECRET, base_url="http://evil/v1", temperature=0.5, headers={"authorization": SECRET}
    )
    state = json.loads(json.dumps(model.dump_state()))
    assert SECRET not in str(state)
    assert LM.load_state(state).endpoint.base_url != "http://evil/v1"
    again = LM.load_state(state, allow_unsafe=True)
    assert again.endpoint.base_url == "http://evil/v1"
    assert again.kwargs["temperature"] == 0.5


def test_a_state_that_dspy_saved_loads() -> None:
    state = {
        "model": "openai/gpt-4o-mini",
        "model_type": "chat",
        "cache": True,
        "num_retries": 3,
        "finetuning_model": None,
        "launch_kwargs": {},
        "train_kwargs": {},
        "temperature": None,
        "max_tokens": 500,
    }
    assert LM.load_state(state).kwargs["max_tokens"] == 500


def test_dspys_notes_in_a_state_are_not_taken_for_parameters() -> None:
    state = {"model": "openai/m", "_dspy_lm_class": "somebody.module.LM", "max_tokens": 5}
    for kind in (LM, Theirs):
        loaded = kind.load_state(state)
        assert type(loaded) is kind
        assert {name: value for name, value in loaded.kwargs.items() if value is not None} == {"max_tokens": 5}


class Theirs(BaseLM):
    """A user's, which takes what `BaseLM` takes."""


# --- BaseLM


def test_a_users_own_forward_may_return_what_openai_returns(scheduler: Scheduler) -> None:
    reply = {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 2}}

    class Own(BaseLM):
        def forward(self, prompt: Any = None, messages: Any = None, **kwargs: Any) -> Any:
            self.seen = (prompt, messages, kwargs)
            return kwargs.get("shape", reply)

    own = Own("mine", temperature=0.5)
    assert own("x") == ["hi"]
    assert own.seen == ("x", None, {"temperature": 0.5})
    as_object = SimpleNamespace(
        choices=[SimpleNamespace(message=SimpleNamespace(content="o"), finish_reason="stop")], usage=None
    )
    for shape, expected in [
        (as_object, ["o"]),
        (LMResponse([LMOutput("r")]), ["r"]),
        ("s", ["s"]),
        (["a", "b"], ["a", "b"]),
    ]:
        assert own("x", shape=shape) == expected
    with pytest.raises(LMUnexpectedError):
        own("x", shape=7)


def test_a_users_own_aforward_is_awaited_on_any_loop(scheduler: Scheduler) -> None:
    class Own(BaseLM):
        async def aforward(self, prompt: Any = None, messages: Any = None, **kwargs: Any) -> Any:
            await asyncio.sleep(0)
            return str(messages)

    own = Own("mine")
    assert asyncio.run(own.acall(messages=[1])) == ["[1]"]  # type: ignore[list-item]
    assert own(messages=[2]) == ["[2]"]  # type: ignore[list-item]

    async def stream() -> list[str]:
        return [chunk.text async for chunk in own.astream(LMRequest("mine", [], None))]

    assert asyncio.run(stream()) == ["[]"]


def test_an_lm_that_overrides_nothing_says_so(scheduler: Scheduler) -> None:
    with pytest.raises(LMConfigurationError, match="overrides"):
        BaseLM("x")("hi")


def test_callbacks_see_start_and_end(scheduler: Scheduler) -> None:
    seen: list[Any] = []

    class Watcher(BaseCallback):
        def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
            seen.append(("start", inputs["prompt"]))

        def on_lm_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
            seen.append(("end", outputs, type(exception)))

    with FaultServer() as server:
        model = local(server, callbacks=[Watcher()])
        model("item-1")
        server.faults = always("auth_401")
        with pytest.raises(LMError):
            model("item-2")
    assert seen[:2] == [("start", "item-1"), ("end", [value_of(1)], type(None))]
    assert [entry[0] for entry in seen] == ["start", "end", "start", "end"]


# --- history


def test_history_is_bounded_and_can_be_turned_off(scheduler: Scheduler) -> None:
    class Own(BaseLM):
        async def aforward(self, prompt: Any = None, messages: Any = None, **kwargs: Any) -> Any:
            return prompt

    own = Own("mine")
    with context(max_history_size=8):
        for i in range(50):
            own(str(i))
    assert len(own.history) <= 9
    assert own.history[-1]["prompt"] == "49"
    with context(disable_history=True):
        own("unseen")
    assert own.history[-1]["prompt"] == "49"


def test_history_reads_like_a_conversation(scheduler: Scheduler) -> None:
    with FaultServer() as server:
        model = local(server)
        content = [{"type": "text", "text": "Look: item-1"}, {"type": "image_url", "image_url": {"url": "data:x" * 99}}]
        model(messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}])
    out = io.StringIO()
    model.inspect_history(file=out)
    for text in ("System:", "Be brief.", "Look: item-1", "[image ", value_of(1)):
        assert text in out.getvalue()
    assert len(out.getvalue()) < 500
