"""Google's Gemini: generateContent and streamGenerateContent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from .._types import LMOutput, LMRequest, LMResponse, Message, StreamChunk, ToolCallPart, Usage
from ._errors import error_of
from ._reading import Assembler, read_reply, string
from ._wire import (
    Draft,
    Source,
    WireRequest,
    arguments_dict,
    as_list,
    schema_of,
    split_data_uri,
    text_of,
    tool_call,
    unexpected,
    usage_of,
)

STOP = {"STOP": "stop", "MAX_TOKENS": "length", "FINISH_REASON_UNSPECIFIED": "stop"}
_FILTERS = ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY")
THINKING = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24_576}
_CONFIG = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "max_tokens": "maxOutputTokens",
    "max_completion_tokens": "maxOutputTokens",
    "n": "candidateCount",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}


class Gemini:
    """`POST /models/MODEL:generateContent`."""

    name = "gemini"
    takes_n = True

    def headers(self, api_key: str | None) -> dict[str, str]:
        return {"x-goog-api-key": api_key} if api_key else {}

    def build(self, request: LMRequest, *, stream: bool = False) -> WireRequest:
        messages = request.messages or [{"role": "user", "content": request.prompt or ""}]
        params = request.params
        body: dict[str, Any] = {"contents": _contents(messages)}
        system = "\n\n".join(text_of(m.get("content")) for m in messages if m["role"] in ("system", "developer"))
        if system:
            body["systemInstruction"] = {"parts": [{"text": system}]}
        config = {theirs: params[ours] for ours, theirs in _CONFIG.items() if params.get(ours) is not None}
        if params.get("stop") is not None:
            config["stopSequences"] = as_list(params["stop"])
        wanted = params.get("response_format")
        schema = schema_of(wanted)
        if schema is not None:
            config |= {"responseMimeType": "application/json", "responseJsonSchema": schema[1]}
        elif isinstance(wanted, dict) and wanted.get("type") == "json_object":
            config["responseMimeType"] = "application/json"
        if params.get("reasoning_effort") in THINKING:
            budget = THINKING[params["reasoning_effort"]]
            config["thinkingConfig"] = {"thinkingBudget": budget, "includeThoughts": budget > 0}
        if config:
            body["generationConfig"] = config
        if params.get("tools"):
            body["tools"] = [{"functionDeclarations": [_function(tool) for tool in params["tools"]]}]
            choice = _choice(params.get("tool_choice"))
            if choice:
                body["toolConfig"] = {"functionCallingConfig": choice}
        body.update(params.get("extra_body") or {})
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return WireRequest(f"/models/{quote(request.model)}:{method}", body)

    def parse(self, source: Source, status: int, headers: Mapping[str, str], body: bytes) -> LMResponse:
        return read_reply(source, status, headers, body, _response)

    def assembler(self, source: Source) -> GeminiStream:
        return GeminiStream(source)


def _contents(messages: list[Message]) -> list[dict[str, Any]]:
    contents: list[dict[str, Any]] = []
    names: dict[str, str] = {}  # a function's response goes by its name, not by the id of its call
    for message in messages:
        if message["role"] in ("system", "developer"):
            continue
        for call in message.get("tool_calls") or ():
            names[str(call.get("id"))] = call["function"]["name"]
        parts = _parts(message, names)
        role = "model" if message["role"] == "assistant" else "user"
        if contents and contents[-1]["role"] == role:
            contents[-1]["parts"] += parts
        else:
            contents.append({"role": role, "parts": parts})
    return contents or [{"role": "user", "parts": [{"text": "Go on."}]}]


def _parts(message: Message, names: Mapping[str, str]) -> list[dict[str, Any]]:
    content = message.get("content")
    if message["role"] == "tool":
        id = str(message.get("tool_call_id"))
        name = message.get("name") or names.get(id, id)
        return [{"functionResponse": {"name": name, "response": {"result": text_of(content)}}}]
    if isinstance(content, str):
        parts: list[dict[str, Any]] = [{"text": content}] if content else []
    else:
        parts = [_part(part) for part in content or ()]
    for call in message.get("tool_calls") or ():
        parts.append({"functionCall": {"name": call["function"]["name"], "args": arguments_dict(call)}})
    return parts


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    kind = part.get("type")
    if kind == "text":
        return {"text": part["text"]}
    if kind == "image_url":
        url = part["image_url"]["url"] if isinstance(part["image_url"], dict) else part["image_url"]
        return _data(url, "image/*")
    if kind == "input_audio":
        audio = part["input_audio"]
        return {"inlineData": {"mimeType": f"audio/{audio['format']}", "data": audio["data"]}}
    if kind == "file":
        return _data(part["file"].get("file_data") or part["file"].get("file_id"), "application/pdf")
    return dict(part)


def _data(url: str, mime_type: str) -> dict[str, Any]:
    data = split_data_uri(url)
    if data is None:
        return {"fileData": {"mimeType": mime_type, "fileUri": url}}
    return {"inlineData": {"mimeType": data[0], "data": data[1]}}


def _function(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = tool.get("function", tool)
    made = {"name": function["name"], "description": function.get("description") or function["name"]}
    if function.get("parameters"):
        made["parametersJsonSchema"] = function["parameters"]
    return made


def _choice(value: Any) -> dict[str, Any] | None:
    if isinstance(value, dict):
        return {"mode": "ANY", "allowedFunctionNames": [value["function"]["name"]]}
    mode = {"auto": "AUTO", "required": "ANY", "none": "NONE"}.get(value or "")
    return {"mode": mode} if mode else None


def _response(source: Source, headers: Mapping[str, str], data: dict[str, Any]) -> LMResponse:
    if data.get("error"):
        raise error_of(source, data["error"], None, headers)
    if data.get("candidates"):
        outputs = [_output(candidate) for candidate in data["candidates"]]
    elif (data.get("promptFeedback") or {}).get("blockReason"):
        outputs = [LMOutput(stop_reason="content_filter")]  # the prompt itself was refused
    else:
        raise unexpected(source, "the reply has no candidates", "empty_choices")
    return LMResponse(
        outputs=outputs,
        usage=_usage(data.get("usageMetadata")),
        model=string(data.get("modelVersion")) or source.model,
        id=string(data.get("responseId")),
        provider=source.provider,
    )


def _output(candidate: Mapping[str, Any]) -> LMOutput:
    text: list[str] = []
    reasoning: list[str] = []
    calls: list[ToolCallPart] = []
    for part in (candidate.get("content") or {}).get("parts") or ():
        if "functionCall" in part:
            call = part["functionCall"]
            calls.append(tool_call(call["name"], call.get("args") or {}, call.get("id") or f"call_{len(calls)}"))
        elif part.get("thought"):
            reasoning.append(part.get("text") or "")
        else:
            text.append(part.get("text") or "")
    reason = _stop(string(candidate.get("finishReason")))
    if calls and reason == "stop":
        reason = "tool_calls"
    return LMOutput("".join(text), calls, "".join(reasoning) or None, reason, candidate.get("logprobsResult"))


def _stop(reason: str | None) -> str:
    if reason in _FILTERS:
        return "content_filter"
    return STOP.get(reason or "STOP", reason or "stop")


def _usage(data: Mapping[str, Any] | None) -> Usage:
    if not data:
        return Usage(requests=1)
    thoughts = data.get("thoughtsTokenCount") or 0
    return usage_of(
        data.get("promptTokenCount"),
        (data.get("candidatesTokenCount") or 0) + thoughts,
        data.get("totalTokenCount"),
        data.get("cachedContentTokenCount"),
        thoughts,
    )


class GeminiStream(Assembler):
    """Assembles a stream whose every event is a partial GenerateContentResponse."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._drafts: dict[int, Draft] = {}
        self._usage: Usage | None = None

    def _take(self, event: str, body: Any) -> list[StreamChunk]:
        if body.get("error"):
            raise error_of(self._source, body["error"], None, {})
        self._id = string(body.get("responseId")) or self._id
        self._model = string(body.get("modelVersion")) or self._model
        if body.get("usageMetadata"):
            self._usage = _usage(body["usageMetadata"])
        if (body.get("promptFeedback") or {}).get("blockReason"):
            self._drafts.setdefault(0, Draft()).stop_reason = "content_filter"
        chunks = []
        for candidate in body.get("candidates") or ():
            index = int(candidate.get("index") or 0)
            draft, piece = self._drafts.setdefault(index, Draft()), _output(candidate)
            draft.text.append(piece.text)
            if piece.reasoning:
                draft.reasoning.append(piece.reasoning)
            for call in piece.tool_calls:
                draft.calls[len(draft.calls)] = [call.id, call.name, call.arguments]
            if candidate.get("finishReason"):
                draft.stop_reason = "tool_calls" if draft.calls and piece.stop_reason == "stop" else piece.stop_reason
            usage = self._usage if draft.stop_reason else None
            calls = tuple(draft.output().tool_calls) if draft.stop_reason else ()
            chunks.append(StreamChunk(piece.text, piece.reasoning, index, usage, draft.stop_reason, calls))
        return chunks

    def _partial(self) -> str:
        return "".join(self._drafts[0].text) if 0 in self._drafts else ""

    def response(self) -> LMResponse:
        if not self._drafts or not all(draft.stop_reason for draft in self._drafts.values()):
            raise self._cut_short()
        return LMResponse(
            outputs=[draft.output() for _, draft in sorted(self._drafts.items())],
            usage=self._usage or Usage(requests=1),
            model=self._model,
            id=self._id,
            provider=self._source.provider,
        )
