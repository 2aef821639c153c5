"""A model that says what it is told: for tests without an endpoint."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from dspex.lm import BaseLM, LMOutput, LMRequest, LMResponse, Usage

Answer = Mapping[str, Any] | str
NO_MORE = "No more responses"


class DummyLM(BaseLM):
    """Answers are dicts of output fields, written as `adapter` would have a model write them, or texts taken as they
    are.

    * a list (or any iterable): one answer for each completion, in the order in which calls are made; after the last,
      every field is "No more responses";
    * a dict: the answer whose key occurs in the last message;
    * `follow_examples`: the reply of the last demonstration in the prompt whose question is this one's, before the
      above.

    `reasoning` takes the field of that name out of an answer and gives it as a reasoning model would.
    """

    def __init__(
        self,
        answers: Iterable[Answer] | Mapping[str, Answer],
        follow_examples: bool = False,
        reasoning: bool = False,
        adapter: Any = None,
    ) -> None:
        super().__init__("dummy", "chat", cache=False)
        self.answers = answers
        self.follow_examples = follow_examples
        self.reasoning = reasoning
        self.adapter = adapter
        self._by_key = answers if isinstance(answers, Mapping) else None
        self._rest: Iterator[Answer] = iter(()) if isinstance(answers, Mapping) else iter(answers)
        self._lock = threading.Lock()
        self._fields: tuple[str, ...] = ("answer",)
        self._signatures: dict[tuple[str, ...], Any] = {}  # making one costs as much as all the rest of a call

    async def respond(self, request: LMRequest) -> LMResponse:
        messages = request.messages or [{"role": "user", "content": request.prompt or ""}]
        outputs = [self._output(messages) for _ in range(request.params.get("n") or 1)]
        return LMResponse(outputs, Usage(requests=1), self.model, provider="dummy")

    def _output(self, messages: list[dict[str, Any]]) -> LMOutput:
        answer = self._answer(messages)
        if isinstance(answer, str):
            return LMOutput(answer)
        fields, reasoning = dict(answer), None
        self._fields = tuple(fields) or self._fields
        if self.reasoning:
            reasoning = fields.pop("reasoning", None)
        return LMOutput(self._written(fields), reasoning=reasoning)

    def _answer(self, messages: list[dict[str, Any]]) -> Answer:
        last = str(messages[-1].get("content"))
        if self.follow_examples:
            for before, after in reversed(list(pairwise(messages))):
                if before["role"] == "user" and after["role"] == "assistant" and _same_question(before, last):
                    return str(after["content"])
        if self._by_key is not None:
            found = next((answer for key, answer in self._by_key.items() if key in last), None)
            return found if found is not None else dict.fromkeys(self._fields, NO_MORE)
        with self._lock:
            return next(self._rest, dict.fromkeys(self._fields, NO_MORE))

    def _written(self, fields: Mapping[str, Any]) -> str:
        from dspex.adapters import ChatAdapter
        from dspex.signatures import make_signature

        adapter = self.adapter if self.adapter is not None else ChatAdapter()
        names = tuple(fields) or ("answer",)
        signature = self._signatures.get(names)
        if signature is None:
            signature = self._signatures[names] = make_signature(f"dummy_input -> {', '.join(names)}")
        return str(adapter.format_assistant_message_content(signature, fields))

    def copy(self, **changes: Any) -> DummyLM:
        """A copy goes on with the same answers: what one says, the other does not say again."""
        return super().copy(**changes)

    def dump_state(self) -> dict[str, Any]:
        return {"model": self.model, "model_type": self.model_type}


def _same_question(demo: Mapping[str, Any], last: str) -> bool:
    """A demonstration's question lacks the instruction at the end of the real one."""
    question = str(demo.get("content")).strip()
    return bool(question) and last.strip().startswith(question)
