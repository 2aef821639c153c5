"""`Formatter`: how a signature, its demonstrations and its inputs become messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from dspex._errors import AdapterParseError
from dspex.adapters._describe import field_line
from dspex.adapters._plan import InputSlot, Plan, history_field, input_slot, nullable_fields, output_readers
from dspex.adapters._render import Content, Piece, content, render
from dspex.adapters._wording import INCOMPLETE, NOT_GIVEN
from dspex.lm._types import Message
from dspex.signatures import Signature
from dspex.types import History


class Formatter:
    """The hooks that write a prompt. The parts that depend on the signature alone are made once per signature."""

    _library: ClassVar[bool] = False
    _joint: ClassVar[str] = "\n\n"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._library = cls.__module__.startswith("dspex.adapters.")

    def format(self, signature: type[Signature], demos: Sequence[Any], inputs: Mapping[str, Any]) -> list[Message]:
        """The messages: the task, the demonstrations as turns, the conversation so far, the inputs."""
        plan = self.plan(signature)
        messages: list[Message] = []
        if plan.system:
            messages.append({"role": "system", "content": plan.system})
        if demos:
            messages += self.format_demos(signature, demos)
        if plan.history is not None and inputs.get(plan.history) is not None:
            messages += self.format_conversation_history(signature, plan.history, inputs)
        messages.append(
            {
                "role": "user",
                "content": self.format_user_message_content(signature, inputs, main_request=True),
            }
        )
        return messages

    def plan(self, signature: type[Signature]) -> Plan:
        """What was worked out for the signature, at the first use and kept with it."""
        key = type(self) if self._library else self
        plan: Plan | None = signature.__dspex_plans__.get(key)
        if plan is None:
            plan = signature.__dspex_plans__[key] = self._compile(signature)
        return plan

    def _compile(self, signature: type[Signature]) -> Plan:
        history = history_field(signature)
        visible = signature.delete(history) if history is not None else signature
        return Plan(
            signature=signature,
            system=self.format_system_message(visible),
            inputs=tuple(self._input_slot(name, field) for name, field in visible.__dspex_inputs__.items()),
            tail=self.user_message_output_requirements(visible),
            outputs=output_readers(signature),
            history=history,
            nullable=nullable_fields(signature),
        )

    def _input_slot(self, name: str, field: Any) -> InputSlot:
        return input_slot(name, field, f"[[ ## {name} ## ]]\n", "")

    def format_system_message(self, signature: type[Signature]) -> str:
        """The first message: the fields, the form of an exchange, the task."""
        parts = (
            self.format_field_description(signature),
            self.format_field_structure(signature),
            self.format_task_description(signature),
        )
        return "\n\n".join(part for part in parts if part)

    def format_field_description(self, signature: type[Signature]) -> str:
        """The fields, with their types, descriptions and constraints."""
        parts = []
        for title, fields in (
            ("You are given these input fields:", signature.__dspex_inputs__),
            ("You produce these output fields:", signature.__dspex_outputs__),
        ):
            if fields:
                lines = [field_line(number, name, own) for number, (name, own) in enumerate(fields.items(), 1)]
                parts.append("\n".join([title, *lines]))
        return "\n\n".join(parts)

    def format_field_structure(self, signature: type[Signature]) -> str:
        """How inputs and outputs are laid out."""
        return ""

    def format_task_description(self, signature: type[Signature]) -> str:
        """The signature's instructions."""
        return f"Your task:\n{signature.instructions}" if signature.instructions else ""

    def user_message_output_requirements(self, signature: type[Signature]) -> str:
        """The last words before the reply: which fields, in which order and form."""
        return ""

    def format_user_message_content(
        self,
        signature: type[Signature],
        inputs: Mapping[str, Any],
        prefix: str = "",
        suffix: str = "",
        main_request: bool = False,
    ) -> Content:
        """The inputs that are given, and with `main_request` what is asked for. A declared default stands in."""
        plan = self.plan(signature)
        pieces: list[Piece] = [prefix, "\n\n"] if prefix else []
        simple = True
        for slot in plan.inputs:
            if slot.name not in inputs:
                continue
            value = inputs[slot.name]
            if type(value) is str and slot.coerce is None:
                pieces.append(f"{slot.before}{value}{slot.after}")
            else:
                if slot.coerce is not None:
                    value = slot.coerce(value)
                shown = render(value, slot.numbered)
                if isinstance(shown, str):
                    pieces.append(f"{slot.before}{shown}{slot.after}")
                else:
                    simple = False
                    pieces += [slot.before, *shown, slot.after]
            pieces.append(self._joint)
        if main_request and plan.tail:
            pieces.append(plan.tail)
        elif pieces:
            pieces.pop()
        if suffix:
            pieces += ["\n\n", suffix]
        return "".join(pieces) if simple else content(pieces)  # type: ignore[arg-type]

    def format_assistant_message_content(
        self, signature: type[Signature], outputs: Mapping[str, Any], missing_field_message: str | None = None
    ) -> str:
        """The outputs as the model should write them."""
        raise TypeError(f"{type(self).__name__} does not say how a reply is written.")

    def format_demos(self, signature: type[Signature], demos: Sequence[Any]) -> list[Message]:
        """The demonstrations as pairs of turns: incomplete ones first, and said to be so.

        A demonstration without any input or without any output shows nothing and is left out.
        """
        inputs, outputs = signature.__dspex_inputs__, signature.__dspex_outputs__
        plan = self.plan(signature)
        visible = [name for name in inputs if name != plan.history]
        partial: list[Message] = []
        whole: list[Message] = []
        for demo in demos:
            given, answers = plan.given(demo, visible), plan.given(demo, outputs)
            if not answers or (visible and not given):
                continue
            complete = len(answers) == len(outputs) and len(given) == len(visible)
            question = self.format_user_message_content(signature, given, prefix="" if complete else INCOMPLETE)
            reply = self.format_assistant_message_content(
                signature, answers, missing_field_message=None if complete else NOT_GIVEN
            )
            (whole if complete else partial).extend(
                ({"role": "user", "content": question}, {"role": "assistant", "content": reply})
            )
        return partial + whole

    def format_conversation_history(
        self, signature: type[Signature], history_field_name: str, inputs: Mapping[str, Any]
    ) -> list[Message]:
        """The earlier turns as messages."""
        history = inputs[history_field_name]
        if not isinstance(history, History):
            history = History.model_validate(history)
        plan = self.plan(signature)
        messages: list[Message] = []
        for turn in history.messages:
            given = plan.given(turn, signature.__dspex_inputs__)
            said = plan.given(turn, signature.__dspex_outputs__)
            if given:
                question = self.format_user_message_content(signature, given)
                messages.append({"role": "user", "content": question})
            if said:
                reply = self.format_assistant_message_content(signature, said)
                messages.append({"role": "assistant", "content": reply})
        return messages

    def format_correction(self, signature: type[Signature], error: AdapterParseError) -> str:
        """What the model is told after a reply that could not be read."""
        tail = self.plan(signature).tail
        words = f"Your reply could not be used: {error.reason}. Answer the same question again."
        return f"{words}\n\n{tail}" if tail else words

    def format_finetune_data(
        self,
        signature: type[Signature],
        demos: Sequence[Any],
        inputs: Mapping[str, Any],
        outputs: Mapping[str, Any],
    ) -> dict[str, Any]:
        """One training row in OpenAI's chat format: the prompt and the right reply."""
        reply = self.format_assistant_message_content(signature, outputs)
        messages = self.format(signature, demos, inputs)
        return {"messages": [*messages, {"role": "assistant", "content": reply}]}
