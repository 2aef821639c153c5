"""`Tool`: a function that a model may call. `ToolCalls`: its wish to. `ToolCallResults`: what came of it."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr, model_validator

from dspex._errors import ToolError
from dspex.callbacks import with_callbacks
from dspex.lm._types import ToolCallPart
from dspex.types._arguments import Arguments, of_function
from dspex.types._base import Type


class Tool(Type):
    """A function with the name, description and argument schemas that a model needs to call it.

    What is not given is read off the function: its name, its docstring, its type hints. Arguments are checked and
    cast before the function sees them (`ToolError` when they do not fit); what the function raises comes through.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    func: Callable[..., Any]
    name: str
    desc: str = ""
    args: dict[str, Any]
    arg_types: dict[str, Any]
    arg_desc: dict[str, str]
    _arguments: Arguments = PrivateAttr()

    def __init__(
        self,
        func: Callable[..., Any],
        name: str | None = None,
        desc: str | None = None,
        args: dict[str, Any] | None = None,
        arg_types: dict[str, Any] | None = None,
        arg_desc: dict[str, str] | None = None,
    ) -> None:
        found = name or getattr(func, "__name__", None) or type(func).__name__
        arguments = of_function(func, found, args, arg_types, arg_desc)
        if desc is None:
            own = func if inspect.isroutine(func) else type(func).__call__
            desc = inspect.getdoc(own) or inspect.getdoc(func) or ""
        BaseModel.__init__(
            self,
            func=func,
            name=found,
            desc=desc,
            args=arguments.schemas,
            arg_types=arguments.types,
            arg_desc=dict(arg_desc or {}),
        )
        self._arguments = arguments

    @property
    def has_kwargs(self) -> bool:
        return self._arguments.open

    @property
    def is_async(self) -> bool:
        """Whether the function is a coroutine function."""
        function = self.func
        return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004
        )

    # -- calling

    @with_callbacks("tool")
    def __call__(self, **kwargs: Any) -> Any:
        """Call it here and now. The coroutine of an async function is waited for: a fiber parks, a thread blocks."""
        result = self.func(**self._arguments.check(self.name, kwargs))
        if inspect.isawaitable(result):
            from actors import wait

            return wait(result)
        return result

    @with_callbacks("tool")
    async def acall(self, **kwargs: Any) -> Any:
        """Call it without blocking the loop: a plain function runs on a thread, with the caller's context."""
        arguments = self._arguments.check(self.name, kwargs)
        if self.is_async:
            return await self.func(**arguments)
        from actors import current_actor, default_scheduler

        actor = current_actor()
        scheduler = actor.scheduler if actor is not None else default_scheduler()
        result = await scheduler.run_blocking(lambda: self.func(**arguments))
        return await result if inspect.isawaitable(result) else result

    # -- showing

    def parameters(self) -> dict[str, Any]:
        """The JSON schema of all arguments together."""
        schema: dict[str, Any] = {"type": "object", "properties": self.args}
        required = [name for name in self._arguments.required if name in self.args]
        if required:
            schema["required"] = required
        return schema

    def to_openai(self) -> dict[str, Any]:
        """The tool as an entry of an OpenAI request's `tools`."""
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.desc, "parameters": self.parameters()},
        }

    format_as_litellm_function_call = to_openai

    def format(self) -> str:
        what = f": {' '.join(self.desc.split())}" if self.desc else ""
        return f"{self.name}{what}. Arguments: {json.dumps(self.args, ensure_ascii=False, default=str)}."

    def __repr__(self) -> str:
        return f"Tool(name={self.name!r}, args={list(self.args)})"

    __str__ = format

    # -- from elsewhere

    @classmethod
    def from_mcp_tool(cls, session: Any, tool: Any) -> Tool:
        """A tool of an MCP server, called through the client `session`."""
        schema = tool.inputSchema or {}
        properties = dict(schema.get("properties", {}))
        required = set(schema.get("required", ()))

        async def call(**kwargs: Any) -> Any:
            reply = await session.call_tool(tool.name, arguments=kwargs)
            texts = [part.text for part in reply.content if getattr(part, "type", None) == "text"]
            others = [part for part in reply.content if getattr(part, "type", None) != "text"]
            value: Any = texts[0] if len(texts) == 1 else texts
            if reply.isError:
                raise ToolError(f"The MCP tool `{tool.name}` answered with an error: {value}", tool=tool.name)
            return value if texts or not others else others

        made = cls(call, name=tool.name, desc=tool.description or "", args=properties)
        made._arguments = _requiring(made, required)
        return made

    @classmethod
    def from_langchain(cls, tool: Any) -> Tool:
        """A LangChain tool."""

        async def call(**kwargs: Any) -> Any:
            return await tool.ainvoke(kwargs)

        schema = tool.args_schema
        if isinstance(schema, type) and issubclass(schema, BaseModel):
            types = {name: field.annotation for name, field in schema.model_fields.items()}
            required = {name for name, field in schema.model_fields.items() if field.is_required()}
            made = cls(call, name=tool.name, desc=tool.description or "", arg_types=types)
        else:
            required = set()
            made = cls(call, name=tool.name, desc=tool.description or "", args=dict(tool.args))
        made._arguments = _requiring(made, required)
        return made


def _requiring(tool: Tool, required: set[str]) -> Arguments:
    """The tool's arguments, closed, with exactly these required."""
    from dspex.types._arguments import _checker

    old = tool._arguments
    names = [name for name in old.types if name in required]
    check = _checker(tool.name, old.types, names, not old.types)
    return Arguments(old.schemas, old.types, tuple(names), not old.types, check)


def _named(functions: Mapping[str, Any] | Iterable[Any]) -> dict[str, Tool]:
    named: dict[str, Tool] = {}
    if isinstance(functions, Mapping):
        for name, function in functions.items():
            named[name] = function if isinstance(function, Tool) else Tool(function, name=name)
    else:
        others: Iterable[Any] = functions
        for function in others:
            tool = function if isinstance(function, Tool) else Tool(function)
            named[tool.name] = tool
    return named


class ToolCall(BaseModel):
    """One call that a model asks for."""

    name: str
    args: dict[str, Any] = {}
    id: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _other_shapes(cls, value: Any) -> Any:
        if isinstance(value, ToolCallPart):
            if value.raw is not None:
                raise ValueError(f"the arguments of `{value.name}` are no JSON object: {value.raw}")
            return {"name": value.name, "args": value.arguments, "id": value.id}
        if isinstance(value, dict) and isinstance(value.get("function"), dict):
            function = value["function"]
            value = {"id": value.get("id"), "name": function.get("name"), "args": function.get("arguments")}
        elif isinstance(value, dict) and "args" not in value and "arguments" in value:
            value = {**{k: v for k, v in value.items() if k != "arguments"}, "args": value["arguments"]}
        if isinstance(value, dict) and isinstance(value.get("args"), str):
            try:
                value = {**value, "args": json.loads(value["args"] or "{}")}
            except json.JSONDecodeError as error:
                raise ValueError(f"the arguments are no JSON: {value['args']}") from error
        return value

    def to_openai(self) -> dict[str, Any]:
        """The call as an entry of an OpenAI assistant message's `tool_calls`."""
        return {
            "id": self.id or f"call_{self.name}",
            "type": "function",
            "function": {"name": self.name, "arguments": json.dumps(self.args, ensure_ascii=False)},
        }

    format = to_openai

    def _tool(self, functions: Mapping[str, Any] | Iterable[Any]) -> Tool:
        tools = _named(functions)
        if self.name not in tools:
            names = ", ".join(tools) or "none"
            raise ToolError(f"There is no tool `{self.name}`. There are: {names}.", tool=self.name)
        return tools[self.name]

    def execute(self, functions: Mapping[str, Any] | Iterable[Any]) -> Any:
        """Call the function of that name and return its result. `functions`: tools, or functions by name."""
        return self._tool(functions)(**self.args)

    async def aexecute(self, functions: Mapping[str, Any] | Iterable[Any]) -> Any:
        return await self._tool(functions).acall(**self.args)


class ToolCallResult(BaseModel):
    """What came of one call: its value, or the error's text with `is_error`."""

    name: str
    id: str | None = None
    value: Any = None
    is_error: bool = False


class ToolCallResults(Type):
    """What came of the calls, in their order: an input of the next turn."""

    results: list[ToolCallResult]

    def __iter__(self) -> Iterator[ToolCallResult]:  # type: ignore[override]
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def format(self) -> str:
        lines = []
        for result in self.results:
            what = "failed" if result.is_error else "returned"
            value = result.value
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            lines.append(f"{result.name} {what}: {text}")
        return "\n".join(lines)


_Call = ToolCall


class ToolCalls(Type):
    """The calls that a model asks for. As an output field it maps to native function calling where that exists."""

    ToolCall: ClassVar[type[_Call]] = _Call

    tool_calls: list[_Call]

    @model_validator(mode="before")
    @classmethod
    def _other_shapes(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return {"tool_calls": list(value)}
        if isinstance(value, dict) and "tool_calls" not in value and ("name" in value or "function" in value):
            return {"tool_calls": [value]}
        return value

    @classmethod
    def from_dict_list(cls, calls: list[dict[str, Any]]) -> Self:
        return cls.model_validate(calls)

    @classmethod
    def description(cls) -> str:
        return 'tool calls, as {"tool_calls": [{"name": "the tool", "args": {"argument": "value"}}]}'

    def format_reply(self) -> str:
        calls = [{"name": call.name, "args": call.args} for call in self.tool_calls]
        return json.dumps({"tool_calls": calls}, ensure_ascii=False)

    format = format_reply

    def __len__(self) -> int:
        return len(self.tool_calls)

    def __iter__(self) -> Iterator[_Call]:  # type: ignore[override]
        return iter(self.tool_calls)

    def execute(self, functions: Mapping[str, Any] | Iterable[Any]) -> ToolCallResults:
        """Make the calls, one after the other. A tool that raises gives an error result, not an exception."""
        tools = _named(functions)
        return ToolCallResults(results=[_attempt(call, tools) for call in self.tool_calls])

    async def aexecute(self, functions: Mapping[str, Any] | Iterable[Any]) -> ToolCallResults:
        """Make the calls at the same time; results in the order of the calls."""
        tools = _named(functions)
        results = await asyncio.gather(*(_aattempt(call, tools) for call in self.tool_calls))
        return ToolCallResults(results=list(results))


def _failed(call: ToolCall, error: Exception) -> ToolCallResult:
    return ToolCallResult(name=call.name, id=call.id, value=f"{type(error).__name__}: {error}", is_error=True)


def _attempt(call: ToolCall, tools: Mapping[str, Tool]) -> ToolCallResult:
    try:
        return ToolCallResult(name=call.name, id=call.id, value=call.execute(tools))
    except Exception as error:  # noqa: BLE001
        # A tool's failure is an answer to the model, which may try otherwise.
        return _failed(call, error)


async def _aattempt(call: ToolCall, tools: Mapping[str, Tool]) -> ToolCallResult:
    try:
        return ToolCallResult(name=call.name, id=call.id, value=await call.aexecute(tools))
    except Exception as error:  # noqa: BLE001
        return _failed(call, error)
