"""`Predict`: one call of a language model, for one signature."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from dspex._errors import LMNotConfiguredError
from dspex._settings import settings
from dspex.predict._module import NativeModule, given_by_name
from dspex.predict._state import copied, plain
from dspex.primitives import Example, Prediction
from dspex.programs._parameters import Parameters
from dspex.programs._running import running_program
from dspex.signatures import Signature, ensure_signature

if TYPE_CHECKING:
    from dspex.callbacks import BaseCallback

__all__ = ["Predict"]

_log = logging.getLogger("dspex")
_OPTIONS = frozenset({"signature", "demos", "config", "lm"})
_WARM = 0.7  # several completions at temperature 0 would all be the same


class Predict(NativeModule):
    """Asks a language model for the outputs of a signature, given its inputs.

    `config` are parameters of the call (`temperature`, `n`, ...).  A call may bring its own `lm`, `config`, `demos`
    and `signature`, for that call only; an input field of one of these names takes precedence.  The language model is
    the call's, else the predictor's, else the configured one, else the system's.

    What an optimizer changes: `signature`, `demos`, `config` and `lm`.  In a spawned program these are read from the
    program's parameters (see `ProgramRef.update`), not from the attributes.
    """

    is_parameter: ClassVar[bool] = True

    signature: type[Signature]
    demos: list[Any]
    config: dict[str, Any]
    lm: Any
    traces: list[Any]
    train: list[Any]

    def __init__(
        self,
        signature: str | type[Signature],
        callbacks: list[BaseCallback] | None = None,
        **config: Any,
    ) -> None:
        super().__init__(callbacks)
        _chat_adapter()  # loaded here, by whoever makes a predictor: importing it in a call would hold up the loop
        self.signature = ensure_signature(signature)
        self.config = config
        self.reset()

    def reset(self) -> None:
        """Forget demos, traces and the predictor's own language model."""
        self.lm = None
        self.traces = []
        self.train = []
        self.demos = []

    def get_config(self) -> dict[str, Any]:
        """The parameters of the call."""
        return self.config

    def update_config(self, **changes: Any) -> None:
        """Change parameters of the call."""
        self.config = {**self.config, **changes}

    # -- calling

    def __call__(self, *args: Any, **inputs: Any) -> Prediction:
        """The prediction for these inputs, which are given by name."""
        if args:
            raise given_by_name(self.signature.input_fields)
        return super().__call__(**inputs)  # type: ignore[no-any-return]

    async def acall(self, *args: Any, **inputs: Any) -> Prediction:
        """The prediction for these inputs, awaited."""
        if args:
            raise given_by_name(self.signature.input_fields)
        return await super().acall(**inputs)  # type: ignore[no-any-return]

    def takes_timeout(self) -> bool:
        return "timeout" not in self.signature.__dspex_inputs__

    async def aforward(self, *args: Any, **inputs: Any) -> Prediction:
        """Ask the model."""
        if args:  # of a call to the actor of a spawned one
            raise given_by_name(self.signature.input_fields)
        running = running_program.get()
        own = running.parameters.get(id(self)) if running is not None else None
        parameters = own if own is not None else self
        signature, demos, config = parameters.signature, parameters.demos, parameters.config
        lm = parameters.lm
        if not inputs.keys() <= signature.__dspex_inputs__.keys():
            signature, demos, config, lm, inputs = self._overridden(signature, demos, config, lm, inputs)
        if lm is None:
            lm = settings.lm
        if not hasattr(lm, "arespond"):
            raise _no_model(lm)
        if "n" in config or lm.kwargs.get("n"):
            config = _for_several(config, lm)
        if len(inputs) < len(signature.__dspex_inputs__):
            inputs = _completed(signature, inputs)
        adapter = settings.adapter
        if adapter is None:
            adapter = _chat_adapter()
        completions = await adapter.acall(lm, config, signature, demos, inputs)
        prediction = Prediction.from_completions(completions, signature)
        trace = settings.trace
        if trace is not None:
            self._note(trace, inputs, prediction)
        return prediction

    def _overridden(
        self, signature: Any, demos: Any, config: dict[str, Any], lm: Any, inputs: dict[str, Any]
    ) -> tuple[Any, Any, dict[str, Any], Any, dict[str, Any]]:
        """The call's own options taken out of its inputs."""
        fields = signature.__dspex_inputs__
        options = {name: inputs[name] for name in _OPTIONS & inputs.keys() if name not in fields}
        inputs = {name: value for name, value in inputs.items() if name not in options}
        if options.get("signature") is not None:
            signature = ensure_signature(options["signature"])
        if options.get("demos") is not None:
            demos = options["demos"]
        if options.get("config"):
            config = {**config, **options["config"]}
        if options.get("lm") is not None:
            lm = options["lm"]
        unknown = [name for name in inputs if name not in signature.__dspex_inputs__]
        if unknown:
            _log.warning(
                "%s: the signature %s has no input %s", type(self).__name__, signature.signature, ", ".join(unknown)
            )
        return signature, demos, config, lm, inputs

    def _note(self, trace: list[Any], inputs: dict[str, Any], prediction: Prediction) -> None:
        limit = settings.max_trace_size
        if limit > 0:
            if len(trace) >= limit:
                del trace[0]
            trace.append((self, {**inputs}, prediction))

    # -- state

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:
        """Demos, traces, signature and language model, under DSPy's names."""
        kept = plain if json_mode else lambda value: copied(value, {})
        demos = [plain(demo) if json_mode else dict(demo.items()) for demo in self.demos]
        return {
            "traces": kept(self.traces),
            "train": kept(self.train),
            "demos": demos,
            "signature": self.signature.dump_state(),
            "lm": self.lm.dump_state() if self.lm is not None else None,
        }

    def load_state(self, state: Mapping[str, Any], *, allow_unsafe_lm_state: bool = False) -> None:
        """Take over what `dump_state`, or DSPy's, gave."""
        signature = self.signature
        if state.get("signature") is not None:
            signature = signature.load_state(state["signature"])
        lm = _loaded_lm(state.get("lm"), allow_unsafe_lm_state)
        demos = [_as_example(demo, signature) for demo in state.get("demos") or ()]
        self.signature, self.lm, self.demos = signature, lm, demos
        self.traces = list(state.get("traces") or ())
        self.train = list(state.get("train") or ())

    def parameters_now(self) -> Parameters:
        """What an optimizer changes, as one immutable value."""
        return Parameters.of(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.signature.signature!r})"


@cache
def _chat_adapter() -> Any:
    from dspex.adapters import ChatAdapter

    return ChatAdapter()


def _no_model(lm: Any) -> Exception:
    if lm is None:
        return LMNotConfiguredError(
            "No language model is configured: call dspex.configure(lm=dspex.LM('provider/model')), or give the "
            "predictor, its call, or the system an `lm`."
        )
    if isinstance(lm, str):
        return LMNotConfiguredError(f"`lm` is the text {lm!r}, not a language model: write dspex.LM({lm!r}).")
    return LMNotConfiguredError(f"`lm` must be a dspex.LM or another dspex.BaseLM, not {type(lm).__name__}.")


def _for_several(config: dict[str, Any], lm: Any) -> dict[str, Any]:
    """The parameters for `n` completions: warm enough to differ, unless the caller said how warm."""
    count = config.get("n") or lm.kwargs.get("n") or 1
    if count <= 1:
        return config
    temperature = config.get("temperature")
    if temperature is None:
        temperature = lm.kwargs.get("temperature")
    if temperature is None or temperature <= 0.15:
        return {**config, "temperature": _WARM}
    return config


def _completed(signature: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """The inputs with the defaults of fields that were not given; a warning for those that have none."""
    whole = dict(inputs)
    missing = []
    for name, field in signature.__dspex_inputs__.items():
        if name in whole:
            continue
        if field.is_required():
            missing.append(name)
        else:
            whole[name] = field.get_default(call_default_factory=True)
    if missing:
        _log.warning("not all inputs of %s were given: %s missing", signature.signature, ", ".join(missing))
    return whole


def _as_example(demo: Any, signature: Any) -> Example:
    if isinstance(demo, Example):
        return demo
    inputs = [name for name in signature.__dspex_inputs__ if name in demo]
    return Example(**demo).with_inputs(*inputs)


def _loaded_lm(state: Mapping[str, Any] | None, allow_unsafe: bool) -> Any:
    if state is None:
        return None
    from dspex.lm import LM

    return LM.load_state(state, allow_unsafe=allow_unsafe)
