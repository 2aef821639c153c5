"""Programs made of programs, declared as data: `Program({...})`, `Pipeline`, and `inputs | a | b`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dspex.predict._module import Module, NativeModule
from dspex.primitives import Example, Prediction
from dspex.programs._program_ref import ProgramRef
from dspex.programs._running import call_function

__all__ = ["Pipeline", "Program", "piped"]


class Program(NativeModule):
    """Named steps, run one after the other; each is given what is known so far, and adds what it finds out.

        rag = Program({
            "retrieve": search,                                     # a function: question -> {"context": [...]}
            "answer": ChainOfThought("context, question -> answer"),
            "check": Predict("context, answer -> faithful: bool"),
        })

    A step is a module, a spawned program, a signature string (a `Predict` of it), or a function.  Of what is known (the
    inputs, and the outputs of all steps before it) it is given those that it asks for: the inputs of a predictor's
    signature, or the parameters of `forward` or of the function.  The prediction has the outputs of all steps; a later
    one replaces an earlier one of the same name.  Spawned, each step that is a module has an actor of its own.
    """

    def __init__(self, steps: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        super().__init__()
        named = dict(steps)
        if not named:
            raise ValueError("A program needs at least one step.")
        self.steps: dict[str, Any] = {name: _step(value) for name, value in named.items()}

    async def aforward(self, **inputs: Any) -> Prediction:
        """Run the steps."""
        known = dict(inputs)
        found: dict[str, Any] = {}
        for name, step in self.steps.items():
            outputs = _outputs(name, await _run(step, _wanted(step, known)))
            known.update(outputs)
            found.update(outputs)
        return Prediction(**found)

    def __or__(self, other: Any) -> Pipeline:
        return Pipeline(self, other)


class Pipeline(Program):
    """Steps without names of one's own: `Pipeline(a, b, c)`, or `a | b | c`.

    `inputs | pipeline`, with a dict or an Example on the left, runs it.
    """

    def __init__(self, *steps: Any) -> None:
        flat = [one for step in steps for one in (step.steps.values() if type(step) is Pipeline else (step,))]
        super().__init__({f"step_{number}": step for number, step in enumerate(flat, 1)})

    def __or__(self, other: Any) -> Pipeline:
        return Pipeline(*self.steps.values(), other)


def piped(left: Any, step: Any) -> Any:
    """`left | step`: the result of the step for what is known on the left, which is a dict, an Example (its inputs),
    or what a step before it has answered: then that step's own inputs are known too.
    """
    known = _known(left)
    result = step(**_wanted(step, known))
    if isinstance(result, Prediction):
        result._piped = known
    return result


def _known(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Prediction):
        return {**value.__dict__.get("_piped", {}), **dict(value.items())}
    if isinstance(value, Example):
        marked = value._input_keys is not None
        return dict((value.inputs() if marked else value).items())
    raise TypeError(f"The inputs of a program are a dict, an Example or a Prediction, not {type(value).__name__}.")


def _step(value: Any) -> Any:
    if isinstance(value, str):
        from dspex.predict._predict import Predict

        return Predict(value)
    if isinstance(value, (Module, ProgramRef)) or callable(value):
        return value
    raise TypeError(f"A step is a module, a spawned program, a signature or a function, not {value!r}.")


async def _run(step: Any, inputs: dict[str, Any]) -> Any:
    if isinstance(step, (Module, ProgramRef)):
        return await step.acall(**inputs)
    return await call_function(step, **inputs)


def _wanted(step: Any, known: dict[str, Any]) -> dict[str, Any]:
    names = asked_for(step)
    return dict(known) if names is None else {name: known[name] for name in names if name in known}


def asked_for(step: Any) -> list[str] | None:
    """The names of the inputs that a step takes; None if it takes whatever it is given."""
    import inspect

    module = step.program if isinstance(step, ProgramRef) else step
    signature: Any = getattr(module, "signature", None)
    if hasattr(signature, "__dspex_inputs__"):
        return list(signature.__dspex_inputs__)
    if isinstance(module, Program):
        return None
    if isinstance(module, Module):
        inner: Any = getattr(getattr(module, "predict", None), "signature", None)
        if isinstance(module, NativeModule) and hasattr(inner, "__dspex_inputs__"):
            return list(inner.__dspex_inputs__)
    function: Callable[..., Any] = module
    if isinstance(module, Module):
        from dspex.programs._style import Style, style_of

        function = getattr(module, "aforward" if style_of(module) is Style.ASYNC else "forward")
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_POSITIONAL]


def _outputs(name: str, result: Any) -> dict[str, Any]:
    if isinstance(result, (Example, Mapping)):
        return dict(result.items())
    return {name: result}
