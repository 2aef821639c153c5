"""`PlainAdapter`: ``Label: value`` lines and nothing else, for small models; the endpoint enforces the labels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dspex._errors import AdapterParseError
from dspex.adapters._base import Adapter
from dspex.adapters._describe import description_of, label_of, schema_text
from dspex.adapters._grammar import gbnf
from dspex.adapters._json import object_text, parse_object, schema_for
from dspex.adapters._partial import FieldReader, ObjectField, SpanField, before_line
from dspex.adapters._plan import InputSlot, Plan, input_slot
from dspex.adapters._read import labels_of, split_annotated, without_none
from dspex.adapters._render import Content, content, render_reply
from dspex.lm._types import LMRequest, Message
from dspex.signatures import Signature
from dspex.signatures._field import constraint_text


@dataclass(slots=True)
class _Labels:
    """The labels of the outputs, how to find them in a reply, and the grammars for both kinds of prompt."""

    of: dict[str, str]
    line: re.Pattern[str]
    names: dict[str, str]
    first_input: str | None
    plain: bool
    grammars: dict[bool, str | None]


class PlainAdapter(Adapter):
    """A terse prompt without markers, as a conversation or as one text that ends where the answer begins.

    One line of instruction names the values that an output may have; every field is a line ``Label: value``. A
    lone output is the bare value; several have a line each. Where the LM takes a grammar, or else a JSON schema,
    the form is enforced by the endpoint. In a text completion the reply ends before the next example would begin.
    """

    _joint = "\n"

    # -- what the endpoint enforces

    async def acall(
        self,
        lm: Any,
        lm_kwargs: Mapping[str, Any],
        signature: type[Signature],
        demos: Sequence[Any],
        inputs: Mapping[str, Any],
    ) -> list[dict[str, Any]]:
        form = self._schema(lm, lm_kwargs, signature)
        if form is None:
            return await super().acall(lm, lm_kwargs, signature, demos, inputs)
        objects = _PlainJSON(
            self.callbacks,
            self.use_native_function_calling,
            self.native_response_types,
            self.parallel_tool_calls,
        )
        return await objects.acall(lm, lm_kwargs, signature, demos, inputs)

    def _schema(self, lm: Any, lm_kwargs: Mapping[str, Any], signature: type[Signature]) -> dict[str, Any] | None:
        """The `response_format`, when replies to this call are best enforced to be JSON objects."""
        labels: _Labels = self.plan(signature).extra
        if labels.plain or "response_format" in lm_kwargs or "grammar" in lm_kwargs:
            return None
        if getattr(lm, "model_type", "chat") == "text" or not getattr(lm, "supports_response_schema", False):
            return None
        if getattr(lm, "supports_grammar", False) and self._grammar(signature, text=False) is not None:
            return None
        return schema_for(self.plan(signature))

    def _grammar(self, signature: type[Signature], text: bool) -> str | None:
        labels: _Labels = self.plan(signature).extra
        if text not in labels.grammars:
            labels.grammars[text] = gbnf(signature.__dspex_outputs__, labels.of, opened=text)
        return labels.grammars[text]

    def _enforce(self, lm: Any, params: dict[str, Any], signature: type[Signature]) -> None:
        if "response_format" in params or "grammar" in params:
            return
        labels: _Labels = self.plan(signature).extra
        text = getattr(lm, "model_type", "chat") == "text"
        if text and labels.first_input and "stop" not in params and "stop" not in getattr(lm, "kwargs", {}):
            params["stop"] = [f"\n{labels.first_input}"]
        if getattr(lm, "supports_grammar", False) and not labels.plain:
            grammar = self._grammar(signature, text)
            if grammar is not None:
                params["grammar"] = grammar

    # -- formatting

    def _request(
        self,
        lm: Any,
        messages: list[Message],
        params: dict[str, Any],
        rollout_id: Any,
        signature: type[Signature],
    ) -> LMRequest:
        if getattr(lm, "model_type", "chat") != "text":
            return super()._request(lm, messages, params, rollout_id, signature)
        return LMRequest(lm.model, None, self._prompt(signature, messages), params, rollout_id)

    def format_prompt(self, signature: type[Signature], demos: Sequence[Any], inputs: Mapping[str, Any]) -> str:
        """The prompt for a text completion: it ends with the label of the first output."""
        return self._prompt(signature, self.format(signature, demos, inputs))

    def _prompt(self, signature: type[Signature], messages: list[Message]) -> str:
        labels: _Labels = self.plan(signature).extra
        opening = next(iter(labels.of.values()), "")
        single = len(labels.of) == 1
        blocks: list[str] = []
        for message in messages:
            said = message["content"]
            if not isinstance(said, str):
                raise ValueError("A text-completion endpoint takes no images, sound or files.")
            if message["role"] == "system":
                blocks.append(said)
            elif message["role"] == "user":
                blocks.append(said if single else f"{said}\n{opening}".lstrip("\n"))
            else:
                blocks[-1] += f" {said if single else said.removeprefix(opening).lstrip()}"
        return "\n\n".join(blocks)

    def _input_slot(self, name: str, field: Any) -> InputSlot:
        return input_slot(name, field, f"{label_of(name, field)} ", "")

    def _compile(self, signature: type[Signature]) -> Plan:
        plan = super()._compile(signature)
        labels = {name: label_of(name, field) for name, field in signature.__dspex_outputs__.items()}
        bare = {label.rstrip(": ").casefold(): name for name, label in labels.items()}
        if len(bare) < len(labels):
            raise ValueError(f"Two outputs have the same label: {', '.join(labels.values())}.")
        either = "|".join(re.escape(label.rstrip(": ")) for label in labels.values()) or r"(?!)"
        kinds = [
            without_none(split_annotated(field.annotation)[0])[0] for field in signature.__dspex_outputs__.values()
        ]
        first = next((slot.before.rstrip() for slot in plan.inputs), None)
        plan.extra = _Labels(
            of=labels,
            line=re.compile(rf"^[ \t*_]*({either})[ \t*_]*:[*_]*[ \t]*", re.MULTILINE | re.IGNORECASE),
            names=bare,
            first_input=first,
            plain=all(kind is str for kind in kinds),
            grammars={},
        )
        return plan

    def format_system_message(self, signature: type[Signature]) -> str:
        lines = []
        if signature.instructions and not signature.__dspex_default__:
            lines.append(signature.instructions)
        outputs = signature.__dspex_outputs__
        for name, field in signature.__dspex_inputs__.items():
            said = description_of(name, field)
            if said:
                lines.append(f"{label_of(name, field)} {said}")
        for name, field in outputs.items():
            said = description_of(name, field)
            form = _form(field)
            words = ". ".join(part.rstrip(".") for part in (said, form) if part)
            if words or len(outputs) > 1:
                lines.append(f"{label_of(name, field)} {words}".rstrip() + ("." if words else ""))
        return "\n".join(lines)

    def format_user_message_content(
        self,
        signature: type[Signature],
        inputs: Mapping[str, Any],
        prefix: str = "",
        suffix: str = "",
        main_request: bool = False,
    ) -> Content:
        # The same for demonstrations and for the question: a lone output's label ends both.
        said = super().format_user_message_content(signature, inputs, prefix, suffix, main_request=False)
        labels: _Labels = self.plan(signature).extra
        if len(labels.of) != 1:
            return said
        (label,) = labels.of.values()
        if isinstance(said, str):
            return f"{said}\n{label}" if said else label
        return content([*said, f"\n{label}"])

    def format_demos(self, signature: type[Signature], demos: Sequence[Any]) -> list[Message]:
        # Nothing is said of fields that a demonstration leaves out: their lines are missing.
        messages: list[Message] = []
        plan = self.plan(signature)
        visible = [name for name in signature.__dspex_inputs__ if name != plan.history]
        for demo in demos:
            given, answers = plan.given(demo, visible), plan.given(demo, signature.__dspex_outputs__)
            if not answers or (visible and not given):
                continue
            question = self.format_user_message_content(signature, given)
            reply = self.format_assistant_message_content(signature, answers)
            messages += [{"role": "user", "content": question}, {"role": "assistant", "content": reply}]
        return messages

    def format_assistant_message_content(
        self, signature: type[Signature], outputs: Mapping[str, Any], missing_field_message: str | None = None
    ) -> str:
        labels: _Labels = self.plan(signature).extra
        if len(labels.of) == 1:
            (name,) = labels.of
            return render_reply(outputs[name])
        return "\n".join(
            f"{label} {render_reply(outputs[name])}" for name, label in labels.of.items() if name in outputs
        )

    def format_correction(self, signature: type[Signature], error: AdapterParseError) -> str:
        labels: _Labels = self.plan(signature).extra
        words = f"That cannot be used: {error.reason}. Answer again."
        if len(labels.of) == 1:
            return f"{words}\n{next(iter(labels.of.values()))}"
        return f"{words} One line each: {', '.join(f'`{label}`' for label in labels.of.values())}"

    # -- reading

    def field_reader(self, signature: type[Signature], name: str) -> FieldReader | None:
        labels: _Labels = self.plan(signature).extra
        label = rf"[*_]*{re.escape(labels.of[name].rstrip(': '))}[ \t*_]*:[*_]*"
        longest = max(map(len, labels.of.values())) + 4
        if next(iter(labels.of)) == name:  # the prompt may have ended with its label, and the reply begin without
            start = re.compile(rf"\A\s*(?:{label}|(?=[^\n]{{{longest},}})|(?=[^\n]+\n))", re.IGNORECASE)
        else:
            start = re.compile(rf"^[ \t]*{label}", re.MULTILINE | re.IGNORECASE)
        end = labels.line if len(labels.of) > 1 else re.compile(r"(?!)")
        return SpanField(start, end, before_line(lambda line: len(line) <= longest))

    def parse(self, signature: type[Signature], completion: str) -> dict[str, Any]:
        text = completion.strip()
        try:
            return self._parse_lines(self.plan(signature), completion, text)
        except AdapterParseError as error:
            if not (text.startswith(("{", "```")) and text.endswith(("}", "```"))):
                raise
            try:
                # Some models answer in JSON whatever they are shown.
                return parse_object(self, signature, completion)
            except AdapterParseError:
                raise error from error.__cause__

    def _parse_lines(self, plan: Plan, completion: str, text: str) -> dict[str, Any]:
        labels: _Labels = plan.extra
        if len(labels.of) == 1:
            return self._parse_one(plan, completion, text)
        pieces = labels.line.split(text)
        found: dict[str, str] = {}
        first = next(iter(labels.of), "")
        for index in range(1, len(pieces), 2):
            found.setdefault(labels.names[pieces[index].casefold()], pieces[index + 1].strip())
        if first and first not in found and pieces[0].strip():
            found[first] = pieces[0].strip()  # the prompt ended with its label
        return self._collect(plan.signature, completion, found)

    def _parse_one(self, plan: Plan, completion: str, text: str) -> dict[str, Any]:
        labels: _Labels = plan.extra
        ((name, read),) = plan.outputs.items()
        match = labels.line.match(text)
        if match:
            text = text[match.end() :].strip()
        if read is None:
            if not text:
                raise self._missing(plan.signature, completion, {}, {})
            return {name: text}
        try:
            return {name: read(text)}
        except ValueError as error:
            for candidate in _closer(labels, text):
                try:
                    return {name: read(candidate)}
                except ValueError:
                    continue
            raise self._unreadable(plan.signature, completion, name, error, {}) from error


def _closer(labels: _Labels, text: str) -> list[str]:
    """Where in a wordy reply the value may be: after its label, or on the first line."""
    candidates = []
    match = labels.line.search(text)
    if match:
        rest = text[match.end() :].strip()
        candidates += [rest, rest.partition("\n")[0].strip()]
    candidates.append(text.partition("\n")[0].strip())
    return candidates


def _form(field: Any) -> str:
    """What values the output may have, in few words."""
    kind, optional = without_none(split_annotated(field.annotation)[0])
    limits = constraint_text(field)
    labels = labels_of(kind)
    if labels is not None:
        words = ", ".join(labels) + (", None" if optional else "")
        return f"one of: {words}"
    if kind is int or kind is float:
        number = "a whole number" if kind is int else "a number"
        words = f"{number}, {limits}" if limits else number
    elif kind is str:
        words = limits
    else:
        schema = schema_text(field)
        words = "JSON that fits this JSON schema: " + schema if schema else "JSON"
    return f"{words}, or None" if optional and words else words


class _PlainJSON(PlainAdapter):
    """The same prompt for an endpoint that enforces a JSON schema: replies, and demonstrated ones, are objects."""

    async def acall(
        self,
        lm: Any,
        lm_kwargs: Mapping[str, Any],
        signature: type[Signature],
        demos: Sequence[Any],
        inputs: Mapping[str, Any],
    ) -> list[dict[str, Any]]:
        return await Adapter.acall(self, lm, lm_kwargs, signature, demos, inputs)

    def _enforce(self, lm: Any, params: dict[str, Any], signature: type[Signature]) -> None:
        form = schema_for(self.plan(signature))
        if form is not None and signature.__dspex_outputs__:
            params["response_format"] = form

    def format_user_message_content(
        self,
        signature: type[Signature],
        inputs: Mapping[str, Any],
        prefix: str = "",
        suffix: str = "",
        main_request: bool = False,
    ) -> Content:
        return Adapter.format_user_message_content(self, signature, inputs, prefix, suffix, main_request)

    def user_message_output_requirements(self, signature: type[Signature]) -> str:
        names = ", ".join(f"`{name}`" for name in signature.__dspex_outputs__)
        return f"Answer with a JSON object with the keys {names}."

    def format_assistant_message_content(
        self, signature: type[Signature], outputs: Mapping[str, Any], missing_field_message: str | None = None
    ) -> str:
        return object_text(signature, outputs)

    def format_correction(self, signature: type[Signature], error: AdapterParseError) -> str:
        return Adapter.format_correction(self, signature, error)

    def field_reader(self, signature: type[Signature], name: str) -> FieldReader | None:
        return ObjectField(name)

    def parse(self, signature: type[Signature], completion: str) -> dict[str, Any]:
        return parse_object(self, signature, completion)
