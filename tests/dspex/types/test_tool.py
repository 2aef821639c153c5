"""`Tool`, `ToolCalls`, `ToolCallResults`."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from dspex._errors import ToolError
from dspex._settings import context, settings
from dspex.callbacks import BaseCallback
from dspex.lm._types import ToolCallPart
from dspex.types import Tool, ToolCall, ToolCallResults, ToolCalls


class City(BaseModel):
    name: str
    twin: City | None = None


def weather(city: str, days: int = 1, unit: Literal["C", "F"] = "C") -> str:
    """The weather of a city.

    Args:
        city: where
        days (int): how many days,
            at most ten
    """
    return f"{city} {days!r} {unit}"


def test_name_description_and_schemas_are_read_off_the_function() -> None:
    tool = Tool(weather)
    assert tool.name == "weather"
    assert tool.desc.startswith("The weather of a city.")
    assert tool.args == {
        "city": {"type": "string", "description": "where"},
        "days": {"type": "integer", "default": 1, "description": "how many days, at most ten"},
        "unit": {"enum": ["C", "F"], "type": "string", "default": "C"},
    }
    assert tool.to_openai()["function"]["parameters"] == {
        "type": "object",
        "properties": tool.args,
        "required": ["city"],
    }
    assert tool.format().startswith("weather: The weather of a city.")


def test_what_is_given_explicitly_wins() -> None:
    tool = Tool(weather, name="w", desc="d", arg_desc={"city": "the town"}, arg_types={"days": float})
    assert (tool.name, tool.desc) == ("w", "d")
    assert tool.args["city"]["description"] == "the town"
    assert tool.args["days"]["type"] == "number"
    assert tool(city="x", days="1.5") == "x 1.5 C"


def test_sphinx_docstrings_describe_arguments_too() -> None:
    def f(a: int) -> int:
        """Do.

        :param a: the number
        """
        return a

    assert Tool(f).args["a"] == {"type": "integer", "description": "the number"}


def test_arguments_are_cast_and_models_are_made() -> None:
    def where(city: City, also: list[City]) -> Any:
        return city, also

    tool = Tool(where)
    assert tool.args["city"]["properties"]["name"] == {"title": "Name", "type": "string"}
    city, also = tool(city={"name": "Rome"}, also=[{"name": "Oslo"}])
    assert isinstance(city, City)
    assert also == [City(name="Oslo")]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "city: Field required"),
        ({"city": "x", "days": "many"}, "days: .*valid integer"),
        ({"city": "x", "nope": 1}, "nope: Extra inputs"),
        ({"city": "x", "unit": "K"}, "unit: "),
    ],
)
def test_arguments_that_do_not_fit_are_a_tool_error_that_says_which(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ToolError, match=says) as caught:
        Tool(weather)(**given)
    assert caught.value.tool == "weather"
    assert "It takes: city, days, unit" in str(caught.value)


def test_further_arguments_pass_to_a_function_that_takes_them() -> None:
    def f(a: int, **more: Any) -> Any:
        return a, more

    tool = Tool(f)
    assert tool.has_kwargs
    assert tool(a=1, b=2) == (1, {"b": 2})


def test_arguments_may_have_any_name() -> None:
    def f(copy: int, schema: int, model_config: int, _x: int = 0) -> int:
        return copy + schema + model_config + _x

    assert Tool(f)(copy=1, schema=2, model_config=3, _x=4) == 10


def test_a_type_that_json_cannot_express_is_refused_at_once() -> None:
    class Service:
        pass

    def f(service: Service) -> None: ...

    with pytest.raises(ToolError, match="`service` of the tool `f`"):
        Tool(f)


def test_a_hint_that_is_not_defined_is_refused_unless_the_type_is_given() -> None:
    def f(x: Unknown, y: int) -> str:  # type: ignore[name-defined]  # noqa: F821
        return f"{x!r} {y!r}"

    with pytest.raises(ToolError, match="arg_types"):
        Tool(f)
    assert Tool(f, arg_types={"x": int})(x="1", y="2") == "1 2"


def test_objects_with_call_and_methods_are_tools() -> None:
    class Adder:
        """Adds."""

        def __call__(self, a: int, b: int) -> int:
            return a + b

        def twice(self, a: int) -> int:
            """Twice."""
            return 2 * a

    assert Tool(Adder()).name == "Adder"
    assert Tool(Adder())(a=1, b="2") == 3
    assert Tool(Adder().twice)(a=2) == 4
    assert list(Tool(Adder().twice).args) == ["a"]


def test_what_the_function_raises_comes_through() -> None:
    def f() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        Tool(f)()


def test_acall_runs_a_plain_function_off_the_loop_with_the_callers_context() -> None:
    def f() -> tuple[int, Any]:
        return threading.get_ident(), settings.lm

    async def main() -> tuple[int, Any]:
        with context(lm="mine"):
            result: tuple[int, Any] = await Tool(f).acall()
            return result

    thread, lm = asyncio.run(main())
    assert thread != threading.get_ident()
    assert lm == "mine"


def test_an_async_function_works_from_both_sides() -> None:
    async def double(x: int) -> int:
        await asyncio.sleep(0)
        return 2 * x

    assert Tool(double).is_async
    assert asyncio.run(Tool(double).acall(x="2")) == 4
    assert Tool(double)(x=3) == 6


def test_callbacks_see_a_tool_start_and_end() -> None:
    seen: list[Any] = []

    class Watcher(BaseCallback):
        def on_tool_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
            seen.append(inputs)

        def on_tool_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
            seen.append(outputs)

    with context(callbacks=[Watcher()]):
        Tool(weather)(city="x")
    assert seen == [{"city": "x"}, "x 1 C"]


def test_an_mcp_tool_is_called_through_its_session() -> None:
    class Session:
        async def call_tool(self, name: str, arguments: dict[str, Any]) -> Any:
            text = SimpleNamespace(type="text", text=f"{name} {arguments}")
            return SimpleNamespace(content=[text], isError=arguments.get("x") == 0)

    described = SimpleNamespace(
        name="look",
        description="Looks.",
        inputSchema={"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]},
    )
    tool = Tool.from_mcp_tool(Session(), described)
    assert tool.to_openai()["function"]["parameters"]["required"] == ["x"]
    assert asyncio.run(tool.acall(x="3")) == "look {'x': 3}"
    with pytest.raises(ToolError, match="answered with an error"):
        asyncio.run(tool.acall(x=0))
    with pytest.raises(ToolError, match="x: Field required"):
        asyncio.run(tool.acall())


def test_a_langchain_tool_is_invoked() -> None:
    class Arguments(BaseModel):
        x: int
        y: int = 2

    class Other:
        name = "other"
        description = "Others."
        args_schema = Arguments

        async def ainvoke(self, given: dict[str, Any]) -> Any:
            return given

    tool = Tool.from_langchain(Other())
    assert tool.parameters()["required"] == ["x"]
    assert asyncio.run(tool.acall(x="1")) == {"x": 1}


@pytest.mark.parametrize(
    "shape",
    [
        {"tool_calls": [{"name": "f", "args": {"x": 1}}]},
        [{"name": "f", "args": {"x": 1}}],
        {"name": "f", "args": {"x": 1}},
        [{"name": "f", "arguments": '{"x": 1}'}],
        [{"type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}],
        [ToolCallPart("f", {"x": 1})],
        [ToolCall(name="f", args={"x": 1})],
    ],
)
def test_tool_calls_are_read_in_every_shape(shape: Any) -> None:
    calls = ToolCalls.model_validate(shape)
    assert [(call.name, call.args) for call in calls] == [("f", {"x": 1})]
    assert len(calls) == 1


def test_arguments_that_are_no_json_are_refused() -> None:
    with pytest.raises(ValueError, match="no JSON"):
        ToolCalls.model_validate([{"name": "f", "arguments": "{x"}])
    with pytest.raises(ValueError, match=r"no JSON object: \{x"):
        ToolCalls.model_validate([ToolCallPart("f", {}, None, "{x")])


def test_executing_calls_gives_results_in_order_and_errors_as_results() -> None:
    def fail() -> None:
        raise ValueError("broken")

    def one() -> dict[str, int]:
        return {"a": 1}

    calls = ToolCalls.from_dict_list([{"name": n, "args": {}} for n in ("one", "fail", "missing")])
    here = calls.execute([one, fail])
    there = asyncio.run(calls.aexecute({"one": one, "fail": Tool(fail)}))
    for results in (here, there):
        assert isinstance(results, ToolCallResults)
        assert [result.is_error for result in results] == [False, True, True]
        assert results.format().splitlines()[:2] == [
            'one returned: {"a": 1}',
            "fail failed: ValueError: broken",
        ]
        assert "There is no tool `missing`. There are: one, fail." in results.format()
    with pytest.raises(ToolError, match="no tool `missing`"):
        calls.tool_calls[2].execute([one])
    assert calls.tool_calls[0].execute([one]) == {"a": 1}
    assert calls.tool_calls[0].to_openai()["function"] == {"name": "one", "arguments": "{}"}


def test_a_reply_of_tool_calls_reads_back() -> None:
    calls = ToolCalls.from_dict_list([{"name": "f", "args": {"x": ["é"]}}])
    assert ToolCalls.parse_reply(calls.format_reply()) == calls
