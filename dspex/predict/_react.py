"""`ReAct`: a model that thinks, uses a tool, looks at what came of it, and goes on until it knows enough."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

from dspex._errors import AdapterParseError, ContextWindowExceededError
from dspex.predict._chain_of_thought import ChainOfThought
from dspex.predict._module import NativeModule, given_by_name
from dspex.predict._predict import Predict
from dspex.primitives import Prediction
from dspex.signatures import InputField, OutputField, Signature, ensure_signature
from dspex.types import Tool

if TYPE_CHECKING:
    from dspex.callbacks import BaseCallback

__all__ = ["ReAct"]

_log = logging.getLogger("dspex")
_KEYS = ("thought", "tool_name", "tool_args", "observation")
_SHORTENINGS = 3


class ReAct(NativeModule):
    """Reaches the outputs of a signature by using tools, at most `max_iters` times.

    Tools are functions, plain or async, or `Tool`s; plain ones run on threads.  What a tool raises is shown to the
    model as its observation.  The prediction has the outputs and `trajectory`: `thought_0`, `tool_name_0`,
    `tool_args_0`, `observation_0`, and so on.  When the trajectory is too long for the model's context window, its
    oldest steps are left out.
    """

    tools: dict[str, Tool]
    react: Predict
    extract: ChainOfThought

    def __init__(
        self,
        signature: str | type[Signature],
        tools: Iterable[Callable[..., Any] | Tool],
        max_iters: int = 20,
        callbacks: list[BaseCallback] | None = None,
    ) -> None:
        super().__init__(callbacks)
        self.signature = base = ensure_signature(signature)
        self.max_iters = max_iters
        known = [tool if isinstance(tool, Tool) else Tool(tool) for tool in tools]
        self.tools = {tool.name: tool for tool in known}
        self.tools["finish"] = _finish(base)
        self.react = Predict(_step_signature(base, self.tools))
        self.extract = ChainOfThought(_with_trajectory(base, base.instructions))

    async def aforward(self, *args: Any, **inputs: Any) -> Prediction:
        """Think and act until done, then answer."""
        if args:
            raise given_by_name(self.signature.input_fields)
        limit = inputs.pop("max_iters", self.max_iters)
        trajectory: dict[str, Any] = {}
        for step in range(limit):
            try:
                chosen = await self._ask(self.react, trajectory, inputs)
            except AdapterParseError as error:
                _log.warning("ReAct ends early: the model chose no tool (%s)", error.reason)
                break
            name, arguments = chosen.next_tool_name, chosen.next_tool_args or {}
            trajectory[f"thought_{step}"] = chosen.next_thought
            trajectory[f"tool_name_{step}"] = name
            trajectory[f"tool_args_{step}"] = arguments
            trajectory[f"observation_{step}"] = await self._use(name, arguments)
            if name == "finish":
                break
        answer = await self._ask(self.extract, trajectory, inputs)
        return Prediction(trajectory=trajectory, **dict(answer.items()))

    async def _use(self, name: str, arguments: dict[str, Any]) -> Any:
        try:
            return await self.tools[name].acall(**arguments)
        except Exception as error:  # noqa: BLE001  whatever a tool raises is for the model to deal with
            return f"The tool {name} failed: {type(error).__name__}: {error}"

    async def _ask(self, module: Any, trajectory: dict[str, Any], inputs: dict[str, Any]) -> Prediction:
        for _ in range(_SHORTENINGS):
            try:
                return await module.acall(**inputs, trajectory=format_trajectory(trajectory))  # type: ignore[no-any-return]
            except ContextWindowExceededError:
                if not self.truncate_trajectory(trajectory):
                    raise
                _log.warning("ReAct: the trajectory was too long for the model, and has lost its oldest step")
        return await module.acall(**inputs, trajectory=format_trajectory(trajectory))  # type: ignore[no-any-return]

    def truncate_trajectory(self, trajectory: dict[str, Any]) -> bool:
        """Leave out the oldest step, in place; False if there is none but the last.  Override it to do better."""
        oldest = list(trajectory)[: len(_KEYS)]
        if len(trajectory) <= len(_KEYS):
            return False
        for key in oldest:
            del trajectory[key]
        return True


def format_trajectory(trajectory: dict[str, Any]) -> str:
    """A trajectory as the model reads it, a paragraph for each step."""
    if not trajectory:
        return "(nothing has been done yet)"
    steps: dict[str, list[str]] = {}
    for key, value in trajectory.items():
        what, _, number = key.rpartition("_")
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        steps.setdefault(number, []).append(f"{what.replace('_', ' ')}: {text}")
    return "\n\n".join(f"Step {int(number) + 1}\n" + "\n".join(lines) for number, lines in steps.items())


def _finish(signature: type[Signature]) -> Tool:
    outputs = ", ".join(f"`{name}`" for name in signature.output_fields)

    def finish() -> str:
        return "Done."

    return Tool(finish, name="finish", desc=f"Ends the work: everything needed for {outputs} is known.", args={})


def _names(fields: Any) -> str:
    return ", ".join(f"`{name}`" for name in fields)


def _step_signature(base: type[Signature], tools: dict[str, Tool]) -> type[Signature]:
    given, wanted = _names(base.input_fields), _names(base.output_fields)
    listing = "\n".join(f"{number}. {tool.format()}" for number, tool in enumerate(tools.values(), 1))
    parts = [base.instructions] if base.instructions else []
    parts.append(
        f"You work as an agent, step by step. You are given {given}, and in `trajectory` the steps so far. The goal is "
        f"to find out what is needed for {wanted} with the help of tools.\n"
        "In each step write down in `next_thought` what is known and what to find out next, name one tool in "
        "`next_tool_name`, and give its arguments in `next_tool_args` as a JSON object. The tool's result will be the "
        f"observation of that step.\n\nThe tools:\n{listing}"
    )
    made = _with_trajectory(base, "\n\n".join(parts))
    for name in base.output_fields:
        made = made.delete(name)
    choice: Any = Literal[tuple(tools)]
    made = made.append("next_thought", OutputField(), str)
    made = made.append("next_tool_name", OutputField(), choice)
    return made.append("next_tool_args", OutputField(), dict[str, Any])


def _with_trajectory(base: type[Signature], instructions: str) -> type[Signature]:
    return base.with_instructions(instructions).append("trajectory", InputField(desc="the steps so far"), str)
