"""`MultiChainComparison`: several attempts at an answer, weighed against each other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dspex.predict._module import NativeModule
from dspex.predict._predict import Predict
from dspex.primitives import Completions, Prediction
from dspex.signatures import InputField, OutputField, Signature, ensure_signature

if TYPE_CHECKING:
    from dspex.callbacks import BaseCallback

__all__ = ["MultiChainComparison"]


class MultiChainComparison(NativeModule):
    """Called with `M` completions of the same question (predictions, dicts, or `Completions`) and the inputs, it asks
    for one answer in the light of all of them, with a `rationale`.
    """

    def __init__(
        self,
        signature: str | type[Signature],
        M: int = 3,
        temperature: float = 0.7,
        callbacks: list[BaseCallback] | None = None,
        **config: Any,
    ) -> None:
        super().__init__(callbacks)
        if M < 1:
            raise ValueError(f"There must be at least one attempt to compare, not {M}.")
        base = ensure_signature(signature)
        self.M = M
        self.last_key = next(reversed(base.output_fields))
        for number in range(1, M + 1):
            field = InputField(prefix=f"Attempt {number}:", desc="somebody's reasoning and answer; it may be wrong")
            base = base.append(f"reasoning_attempt_{number}", field, str)
        rationale = OutputField(prefix="Comparison:", desc="what the attempts get right and wrong, and what follows")
        self.predict = Predict(base.prepend("rationale", rationale, str), temperature=temperature, **config)

    async def aforward(self, completions: Iterable[Any], **inputs: Any) -> Prediction:
        """Compare, and answer."""
        attempts = list(completions)
        if len(attempts) != self.M:
            raise ValueError(f"{len(attempts)} attempts were given where {self.M} are to be compared (M={self.M}).")
        texts = {f"reasoning_attempt_{n}": self._text(attempt) for n, attempt in enumerate(attempts, 1)}
        return await self.predict.acall(**inputs, **texts)

    def _text(self, attempt: Any) -> str:
        values = attempt if isinstance(attempt, dict) else dict(attempt.items())
        if isinstance(attempt, Completions):
            raise TypeError("An attempt is one completion; give the Completions themselves, not a list of them.")
        reasoning = str(values.get("reasoning") or values.get("rationale") or "").strip()
        answer = str(values[self.last_key]).strip()
        return f"{reasoning}\nSo my answer is: {answer}" if reasoning else f"My answer is: {answer}"

    def takes_timeout(self) -> bool:
        return self.predict.takes_timeout()
