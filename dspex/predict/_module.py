"""`Module`: what programs are made of."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from dspex.predict import _state, _walk
from dspex.programs._running import call_async, call_sync
from dspex.programs._style import Style, style_of_class

if TYPE_CHECKING:
    from dspex.callbacks import BaseCallback

__all__ = ["Module", "NativeModule", "given_by_name"]


def _names_timeout(cls: type) -> bool:
    for name in ("forward", "aforward"):
        method = getattr(cls, name, None)
        if method is None:
            continue
        try:
            if "timeout" in inspect.signature(method).parameters:
                return True
        except (TypeError, ValueError):  # a method without a signature names nothing
            continue
    return False


class Module:
    """A program, or a part of one.  Subclass it, put predictors and other modules into attributes, and write
    `forward(self, **inputs)`, or `async def aforward(self, **inputs)`, or both.

    `module(**inputs)` and `await module.acall(**inputs)` run it: as a request of the current system, or, when it was
    spawned, in its own actor.  Both take `timeout=seconds`, which ends the call and everything it has begun.
    Either way works with either method; where a class has both, the caller's kind decides, and where one of them is
    inherited, the more derived one is meant.

    `blocking = True` on a class or instance says that its `forward` blocks the thread that it runs in (other code is
    found out by itself).
    """

    callbacks: list[BaseCallback]
    history: list[dict[str, Any]]
    _compiled: bool
    blocking: bool = False
    is_parameter: ClassVar[bool] = False
    """True for what an optimizer changes as a whole: the predictors."""

    __dspex_style__: ClassVar[Style] = Style.NONE
    __dspex_timeout__: ClassVar[bool] = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__dspex_style__ = style_of_class(cls)
        cls.__dspex_timeout__ = not _names_timeout(cls)

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        # Not in __init__: a subclass that forgets super().__init__() is a module all the same.
        self = super().__new__(cls)
        self.callbacks = []
        self.history = []
        self._compiled = False
        return self

    def __init__(self, callbacks: Iterable[BaseCallback] | None = None) -> None:
        self.callbacks = list(callbacks or ())

    # -- calling

    def __call__(self, *args: Any, **inputs: Any) -> Any:
        """Run it and wait for the result: a thread blocks, a fiber parks."""
        return call_sync(self, args, inputs)

    async def acall(self, *args: Any, **inputs: Any) -> Any:
        """Run it and await the result, on any event loop."""
        return await call_async(self, args, inputs)

    def __or__(self, other: Any) -> Any:
        """`a | b`: a `Pipeline` of the two."""
        from dspex.programs._pipeline import Pipeline

        return Pipeline(self, other)

    def __ror__(self, inputs: Any) -> Any:
        """`inputs | program`: its result for these inputs, a dict or an `Example`."""
        from dspex.programs._pipeline import piped

        return piped(inputs, self)

    def takes_timeout(self) -> bool:
        """True if `timeout` is the call's deadline, and not an input of this module's own."""
        return self.__dspex_timeout__

    def batch(
        self,
        examples: Iterable[Any],
        num_threads: int | None = None,
        max_errors: int | None = None,
        return_failed_examples: bool = False,
        provide_traceback: bool | None = None,
        disable_progress_bar: bool = False,
        timeout: float | None = None,
        straggler_limit: int | None = None,
    ) -> Any:
        """Run it on many examples, `num_threads` at a time; results in the order of the examples.

        See `Parallel`, which this is, for what happens to failures.  `straggler_limit` is accepted and has no use: a
        call is never made twice, `timeout` ends one that is late.
        """
        from dspex.predict._parallel import Parallel

        parallel = Parallel(
            num_threads=num_threads,
            max_errors=max_errors,
            return_failed_examples=return_failed_examples,
            provide_traceback=provide_traceback,
            disable_progress_bar=disable_progress_bar,
            timeout=timeout,
        )
        return parallel([(self, example) for example in examples])

    # -- parts

    def named_parameters(self) -> list[tuple[str, Any]]:
        """The predictors in it, by name; those of compiled submodules are left out."""
        return _walk.named_parameters(self)

    def parameters(self) -> list[Any]:
        """The predictors in it."""
        return [parameter for _, parameter in self.named_parameters()]

    def named_sub_modules(self, type_: type | None = None, skip_compiled: bool = False) -> Iterator[tuple[str, Module]]:
        """Itself ("self") and every module in it, the outer ones first."""
        return _walk.named_sub_modules(self, type_, skip_compiled)

    def named_predictors(self) -> list[tuple[str, Any]]:
        """The predictors in it, by name."""
        return self.named_parameters()

    def predictors(self) -> list[Any]:
        """The predictors in it."""
        return self.parameters()

    def map_named_predictors(self, function: Callable[[Any], Any]) -> Self:
        """Put `function(predictor)` in the place of every predictor, and return this module.

        A predictor that is in several places is asked about once, and replaced in all of them.
        """
        made = {id(old): function(old) for name, old in self.named_predictors() if name != "self"}
        for path, old in _walk.places(self):
            if id(old) in made:
                _put(self, path, made[id(old)])
        return self

    def set_lm(self, lm: Any) -> None:
        """Let all predictors use this language model."""
        for predictor in self.predictors():
            predictor.lm = lm

    def get_lm(self) -> Any:
        """The language model that all predictors share.

        Raises:
            ValueError: they have several, or there is no predictor.
        """
        models = {id(predictor.lm): predictor.lm for predictor in self.predictors()}
        if len(models) != 1:
            raise ValueError(f"The predictors of {type(self).__name__} use {len(models)} language models, not one.")
        return next(iter(models.values()))

    # -- copies

    def deepcopy(self) -> Self:
        """A copy that shares no state with this one.  Language models, and what cannot be copied, are shared."""
        return copy.deepcopy(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        state = vars(twin)
        for name, value in vars(self).items():
            if name != "history":
                state[name] = _state.copied(value, memo)
        return twin

    def reset_copy(self) -> Self:
        """A copy whose predictors have forgotten demos, traces and language models."""
        twin = self.deepcopy()
        for parameter in twin.parameters():
            parameter.reset()
        return twin

    # -- state

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:
        """The state of every predictor, by name.  `json_mode` makes plain JSON values of everything."""
        return {name: parameter.dump_state(json_mode=json_mode) for name, parameter in self.named_parameters()}

    def load_state(self, state: dict[str, Any], *, allow_unsafe_lm_state: bool = False) -> None:
        """Take over what `dump_state` gave, of a program with predictors of the same names."""
        _state.load_named(self, state, allow_unsafe_lm_state)

    def save(
        self,
        path: str | Path,
        save_program: bool = False,
        modules_to_serialize: list[Any] | None = None,
        *,
        allow_pickle: bool = False,
    ) -> None:
        """Write the state to a `.json` file, in DSPy's format.

        A `.pkl` file, and `save_program=True` (a directory with the whole program, code included), are pickles:
        they need `allow_pickle=True`, because whoever loads one runs what is in it.
        """
        _state.save(self, Path(path), save_program, modules_to_serialize, allow_pickle)

    def load(self, path: str | Path, allow_pickle: bool = False, allow_unsafe_lm_state: bool = False) -> None:
        """Read the state from a file that `save`, or DSPy, wrote.

        Nothing is unpickled unless `allow_pickle`.  The endpoint that a saved language model names is not used
        unless `allow_unsafe_lm_state`: a file must not be able to send prompts and keys elsewhere.
        """
        _state.load(self, Path(path), allow_pickle, allow_unsafe_lm_state)

    # -- looking

    def inspect_history(self, n: int = 1, file: Any = None) -> None:
        """Print the last `n` language-model calls made by this module, by those in it, or for it."""
        from dspex.lm import pretty_print_history

        pretty_print_history(self.history, n, file=file)

    def __repr__(self) -> str:
        parts = [f"{name} = {predictor!r}" for name, predictor in self.named_predictors() if predictor is not self]
        return "\n".join(parts) or f"{type(self).__name__}()"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("history", "callbacks")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)


class NativeModule(Module):
    """A module whose one implementation is `aforward`; `forward` waits for it, in a fiber or a thread."""

    def forward(self, *args: Any, **inputs: Any) -> Any:
        """What `aforward` returns."""
        from actors import wait

        return wait(self.aforward(*args, **inputs))

    async def aforward(self, *args: Any, **inputs: Any) -> Any:
        """The implementation."""
        raise TypeError(f"{type(self).__name__} cannot be called: define `async def aforward(self, ...)` in it.")


def given_by_name(fields: Iterable[str] = ()) -> ValueError:
    """What a predictor says to inputs without names; `fields` are its inputs, where they are known."""
    example = ", ".join(f"{name}=..." for name in fields) or "name=..."
    return ValueError(f"The inputs of a predictor are given by name: predict({example}).")


def _put(owner: Any, path: str, value: Any) -> None:
    """Put a part where `_walk` found it: attributes, "[2]" and "['key']"."""
    steps: list[str | int] = []
    name = ""
    rest = path
    while rest:
        if rest.startswith("['"):
            key, rest = rest[2:].split("']", 1)
            steps.append("['" + key)
        elif rest.startswith("["):
            index, rest = rest[1:].split("]", 1)
            steps.append(int(index))
        else:
            rest = rest.removeprefix(".")
            cut = min((rest.index(mark) for mark in ".[" if mark in rest), default=len(rest))
            name, rest = rest[:cut], rest[cut:]
            steps.append(name)
    _assign(owner, steps, value)


def _assign(owner: Any, steps: list[str | int], value: Any) -> Any:
    """`owner` with the part at `steps` replaced; a tuple is made anew."""
    step, *rest = steps
    if isinstance(owner, (list, tuple)):
        assert isinstance(step, int)
        new = _assign(owner[step], rest, value) if rest else value
        if isinstance(owner, tuple):
            return (*owner[:step], new, *owner[step + 1 :])
        owner[step] = new
    elif isinstance(owner, dict):
        assert isinstance(step, str)
        key = next(key for key in owner if str(key) == step[2:])
        owner[key] = _assign(owner[key], rest, value) if rest else value
    else:
        assert isinstance(step, str)
        setattr(owner, step, _assign(getattr(owner, step), rest, value) if rest else value)
    return owner
