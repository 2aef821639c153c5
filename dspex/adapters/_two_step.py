"""`TwoStepAdapter`: one model answers freely, another one takes the fields out of the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dspex._settings import settings
from dspex.adapters._base import Adapter
from dspex.adapters._chat import ChatAdapter
from dspex.adapters._describe import label_of
from dspex.adapters._plan import InputSlot, input_slot
from dspex.adapters._render import render_reply
from dspex.signatures import InputField, Signature, make_signature

TEXT = "text"


class TwoStepAdapter(Adapter):
    """For models that think well and keep to forms badly (or forbid forms, as reasoning models do).

    The first prompt asks for the outputs in plain words; `extraction_model` then reads them from the reply, through a
    `ChatAdapter`. Both calls count.
    """

    def __init__(self, extraction_model: Any, **options: Any) -> None:
        if not hasattr(extraction_model, "arespond"):
            raise ValueError("extraction_model must be an LM (something with `arespond`).")
        super().__init__(**options)
        self.extraction_model = extraction_model
        self._extractor = ChatAdapter()

    async def acall(
        self,
        lm: Any,
        lm_kwargs: Mapping[str, Any],
        signature: type[Signature],
        demos: Sequence[Any],
        inputs: Mapping[str, Any],
    ) -> list[dict[str, Any]]:
        params = dict(lm_kwargs)
        rollout_id = params.pop("rollout_id", None)
        messages = self.format(signature, demos, inputs)
        request = self._request(lm, messages, params, rollout_id, signature)
        stream, answered = settings.send_stream, None
        if stream is None:
            response = await lm.arespond(request)
        else:
            response, answered = await stream.ask(self, lm, request, signature)
        values = []
        for output in response.outputs:
            value = await self._extract(signature, output.text)
            if output.logprobs is not None:
                value["logprobs"] = output.logprobs
            values.append(value)
        if answered is not None:
            answered(values)
        return values

    async def _extract(self, signature: type[Signature], text: str) -> dict[str, Any]:
        extraction = self.extraction_signature(signature)
        (value,) = await self._extractor.acall(self.extraction_model, {}, extraction, [], {TEXT: text})
        return value

    def extraction_signature(self, signature: type[Signature]) -> type[Signature]:
        """``text -> outputs``: how the second model is asked."""
        key = (TwoStepAdapter, "extraction")
        made: type[Signature] | None = signature.__dspex_plans__.get(key)
        if made is None:
            fields: dict[str, Any] = {TEXT: (str, InputField(desc="what was answered"))}
            fields.update({n: (f.annotation, f) for n, f in signature.output_fields.items() if n != TEXT})
            names = ", ".join(f"`{name}`" for name in fields if name != TEXT)
            made = make_signature(
                fields,
                f"The text answers this task:\n{signature.instructions}\n\n"
                f"Take the fields {names} out of the text, as they are said there.",
                signature_name=f"{signature.__name__}Extraction",
            )
            signature.__dspex_plans__[key] = made
        return made

    def format_task_description(self, signature: type[Signature]) -> str:
        return f"Your task:\n{signature.instructions}\n\nAnswer in plain words, and say each output clearly."

    def _input_slot(self, name: str, field: Any) -> InputSlot:
        return input_slot(name, field, f"{label_of(name, field)} ", "")

    def format_assistant_message_content(
        self, signature: type[Signature], outputs: Mapping[str, Any], missing_field_message: str | None = None
    ) -> str:
        lines = []
        for name, field in signature.__dspex_outputs__.items():
            if name in outputs:
                lines.append(f"{label_of(name, field)} {render_reply(outputs[name])}")
            elif missing_field_message is not None:
                lines.append(f"{label_of(name, field)} {missing_field_message}")
        return "\n".join(lines)

    def parse(self, signature: type[Signature], completion: str) -> dict[str, Any]:
        """Asks the extraction model, so it waits: a fiber parks, a thread blocks."""
        from actors import wait

        return wait(self._extract(signature, completion))
