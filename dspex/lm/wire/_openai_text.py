"""Text completions, as vLLM, llama.cpp and other servers of base models speak them: a prompt in, its continuation
out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._types import LMOutput, LMRequest, LMResponse, StreamChunk
from ._openai_chat import STOP, ChoicesAssembler, add_params, choices_of, usage
from ._reading import read_reply, string
from ._wire import Source, WireRequest, text_of


class OpenAIText:
    """`POST /completions`. Chat messages become their contents, one paragraph each: give a prompt where wording
    matters.
    """

    name = "text"
    takes_n = True

    def headers(self, api_key: str | None) -> dict[str, str]:
        return {"authorization": f"Bearer {api_key}"} if api_key else {}

    def build(self, request: LMRequest, *, stream: bool = False) -> WireRequest:
        prompt = request.prompt
        if prompt is None:
            prompt = "\n\n".join(text_of(message.get("content")) for message in request.messages or ())
        body: dict[str, Any] = {"model": request.model, "prompt": prompt}
        add_params(body, request.params)
        if stream:
            body["stream"] = True
            body.setdefault("stream_options", {"include_usage": True})
        return WireRequest("/completions", body)

    def parse(self, source: Source, status: int, headers: Mapping[str, str], body: bytes) -> LMResponse:
        return read_reply(source, status, headers, body, _response)

    def assembler(self, source: Source) -> OpenAITextStream:
        return OpenAITextStream(source)


def _response(source: Source, headers: Mapping[str, str], data: dict[str, Any]) -> LMResponse:
    return LMResponse(
        outputs=[_output(choice) for choice in choices_of(source, headers, data)],
        usage=usage(data.get("usage")),
        model=string(data.get("model")) or source.model,
        id=string(data.get("id")),
        provider=source.provider,
    )


def _output(choice: Mapping[str, Any]) -> LMOutput:
    text = string(choice["text"])
    if text is None:
        raise TypeError("a choice without text")
    reason = string(choice.get("finish_reason")) or "stop"
    return LMOutput(text=text, stop_reason=STOP.get(reason, reason), logprobs=choice.get("logprobs"))


class OpenAITextStream(ChoicesAssembler):
    """Assembles text_completion events."""

    def _delta(self, choice: Mapping[str, Any]) -> StreamChunk | None:
        index, draft = self._draft(choice)
        text, reason = string(choice.get("text")) or "", string(choice.get("finish_reason"))
        draft.text.append(text)
        if reason:
            draft.stop_reason = STOP.get(reason, reason)
        if not (text or reason):
            return None
        return StreamChunk(text=text, index=index, stop_reason=draft.stop_reason)
