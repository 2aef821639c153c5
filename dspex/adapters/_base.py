"""`Adapter`: from a signature and its inputs to a request, and from the reply to the outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dspex._errors import AdapterParseError
from dspex._settings import settings
from dspex.adapters._formatter import Formatter
from dspex.adapters._native import Native, native_outputs
from dspex.adapters._partial import FieldReader
from dspex.adapters._wording import as_prompt
from dspex.callbacks import BaseCallback, Watch, active_callbacks
from dspex.lm._types import LMOutput, LMRequest, Message
from dspex.signatures import Signature
from dspex.types import Reasoning


class Adapter(Formatter):
    """Formats prompts and reads replies. Subclass it and override the `format_*` hooks and `parse`.

    The parts of a prompt that depend on the signature alone are made once per signature and adapter. A reply
    that cannot be read is an `AdapterParseError`; `acall` then asks again, telling the model what was wrong, at most
    `settings.parse_retries` times. There are no default values: outputs are read or the call fails.
    """

    def __init__(
        self,
        callbacks: Sequence[BaseCallback] | None = None,
        use_native_function_calling: bool = False,
        native_response_types: Sequence[type] | None = None,
        parallel_tool_calls: bool | None = None,
    ) -> None:
        self.callbacks = list(callbacks or ())
        self.use_native_function_calling = use_native_function_calling
        self.native_response_types = tuple(native_response_types if native_response_types is not None else (Reasoning,))
        self.parallel_tool_calls = parallel_tool_calls

    # -- one call

    def __call__(
        self,
        lm: Any,
        lm_kwargs: Mapping[str, Any],
        signature: type[Signature],
        demos: Sequence[Any],
        inputs: Mapping[str, Any],
    ) -> list[dict[str, Any]]:
        """`acall` for synchronous code: a fiber parks, a thread blocks."""
        from actors import wait

        return wait(self.acall(lm, lm_kwargs, signature, demos, inputs))

    async def acall(
        self,
        lm: Any,
        lm_kwargs: Mapping[str, Any],
        signature: type[Signature],
        demos: Sequence[Any],
        inputs: Mapping[str, Any],
    ) -> list[dict[str, Any]]:
        """The outputs of each completion, field to value (and `logprobs`, where the LM gives them).

        `lm_kwargs` go into the request over the LM's own; among them `n` and `rollout_id`. Raises
        `AdapterParseError`, and what the LM raises.
        """
        params = dict(lm_kwargs)
        rollout_id = params.pop("rollout_id", None)
        native = native_outputs(self, lm, params, signature)
        asked = signature if native is None else native.signature
        if native is not None:
            native.ask(params, inputs, self.parallel_tool_calls)
        self._enforce(lm, params, asked)
        callbacks = active_callbacks(self)
        messages = self._format(callbacks, asked, demos, inputs, params)
        request = self._request(lm, messages, params, rollout_id, asked)
        stream, answered = settings.send_stream, None
        if stream is None:
            response = await lm.arespond(request)
        else:  # somebody listens, and wants to know the values that were read as well
            response, answered = await stream.ask(self, lm, request, asked)
        values: list[dict[str, Any]] = []
        for output in response.outputs:
            try:
                value = self._read(callbacks, asked, output, native)
            except AdapterParseError as error:
                again = self._corrector()
                value = await again._ask_again(
                    lm, lm_kwargs, rollout_id, (asked, demos, inputs), (output, error), native
                )
            if native is not None:
                native.fill(value, output)
            if output.logprobs is not None:
                value["logprobs"] = output.logprobs
            values.append(value)
        if answered is not None:
            answered(values)
        return values

    async def _ask_again(
        self,
        lm: Any,
        lm_kwargs: Mapping[str, Any],
        rollout_id: Any,
        question: tuple[type[Signature], Sequence[Any], Mapping[str, Any]],
        failure: tuple[LMOutput, AdapterParseError],
        native: Native | None,
    ) -> dict[str, Any]:
        signature, demos, inputs = question
        output, error = failure
        callbacks = active_callbacks(self)
        for _ in range(settings.parse_retries):
            params = {key: value for key, value in lm_kwargs.items() if key not in ("n", "rollout_id")}
            if native is not None:
                native.ask(params, inputs, self.parallel_tool_calls)
            self._enforce(lm, params, signature)
            messages = self._format(callbacks, signature, demos, inputs, params)
            messages += [
                {"role": "assistant", "content": output.text or "(no text)"},
                {"role": "user", "content": self.format_correction(signature, error)},
            ]
            response = await lm.arespond(self._request(lm, messages, params, rollout_id, signature))
            output = response.outputs[0]
            try:
                return self._read(callbacks, signature, output, native)
            except AdapterParseError as next_error:
                error = next_error
        raise error

    def _corrector(self) -> Adapter:
        """The adapter that asks again after a reply that this one could not read."""
        return self

    def _enforce(self, lm: Any, params: dict[str, Any], signature: type[Signature]) -> None:
        """Put into the request what makes the endpoint itself keep to the form, where it can."""

    def _request(
        self,
        lm: Any,
        messages: list[Message],
        params: dict[str, Any],
        rollout_id: Any,
        signature: type[Signature],
    ) -> LMRequest:
        if getattr(lm, "model_type", "chat") == "text":
            return LMRequest(lm.model, None, as_prompt(messages), params, rollout_id)
        return LMRequest(lm.model, messages, None, params, rollout_id)

    def _format(
        self,
        callbacks: tuple[BaseCallback, ...],
        signature: type[Signature],
        demos: Sequence[Any],
        inputs: Mapping[str, Any],
        params: Mapping[str, Any],
    ) -> list[Message]:
        if not callbacks:
            return self._messages(signature, demos, inputs, params)
        given = {"signature": signature, "demos": demos, "inputs": inputs}
        with Watch(callbacks, "adapter_format", self, given) as watch:
            watch.outputs = messages = self._messages(signature, demos, inputs, params)
        return messages

    def _messages(
        self,
        signature: type[Signature],
        demos: Sequence[Any],
        inputs: Mapping[str, Any],
        params: Mapping[str, Any],
    ) -> list[Message]:
        """`format`, for adapters whose form depends on what the endpoint enforces."""
        return self.format(signature, demos, inputs)

    def _read(
        self,
        callbacks: tuple[BaseCallback, ...],
        signature: type[Signature],
        output: LMOutput,
        native: Native | None,
    ) -> dict[str, Any]:
        if native is not None and output.tool_calls and not output.text.strip():
            # A model that calls tools natively often says nothing else.
            return dict.fromkeys(signature.__dspex_outputs__)
        if native is not None and not signature.__dspex_outputs__:
            return {}
        try:
            if not callbacks:
                return self.parse(signature, output.text)
            given = {"signature": signature, "completion": output.text}
            with Watch(callbacks, "adapter_parse", self, given) as watch:
                watch.outputs = value = self.parse(signature, output.text)
            return value
        except AdapterParseError as error:
            if output.stop_reason == "length":
                cut = f"{error.reason} (the reply was cut off at the token limit: raise max_tokens)"
                raise AdapterParseError(error.adapter_name, signature, output.text, cut, error.parsed_result) from error
            raise

    # -- reading

    def field_reader(self, signature: type[Signature], name: str) -> FieldReader | None:
        """What reads the field `name` out of a reply while it comes. None: it can be read from whole replies only."""
        return None

    def parse(self, signature: type[Signature], completion: str) -> dict[str, Any]:
        """The outputs in a reply, in the signature's order. Raises `AdapterParseError`."""
        raise TypeError(f"{type(self).__name__} does not say how a reply is read.")

    def _collect(self, signature: type[Signature], completion: str, found: Mapping[str, str]) -> dict[str, Any]:
        """The values of the texts found for the output fields."""
        values: dict[str, Any] = {}
        for name, read in self.plan(signature).outputs.items():
            text = found.get(name)
            if text is None:
                raise self._missing(signature, completion, found, values)
            if read is None:
                values[name] = text
                continue
            try:
                values[name] = read(text)
            except ValueError as error:
                raise self._unreadable(signature, completion, name, error, values) from error
        return values

    def _missing(
        self, signature: type[Signature], completion: str, found: Mapping[str, Any], values: dict[str, Any]
    ) -> AdapterParseError:
        names = ", ".join(f"`{name}`" for name in signature.__dspex_outputs__ if name not in found)
        plural = "s" if names.count("`") > 2 else ""
        return AdapterParseError(
            type(self).__name__, signature, completion, f"it lacks the field{plural} {names}", values
        )

    def _unreadable(
        self, signature: type[Signature], completion: str, name: str, error: ValueError, values: dict[str, Any]
    ) -> AdapterParseError:
        from pydantic import ValidationError

        from dspex.adapters._read import explained

        why = explained(error) if isinstance(error, ValidationError) else str(error)
        return AdapterParseError(
            type(self).__name__, signature, completion, f"the field `{name}` does not fit: {why}", values
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"
