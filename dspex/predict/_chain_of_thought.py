"""`ChainOfThought`: reasoning before the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dspex.predict._module import NativeModule, given_by_name
from dspex.predict._predict import Predict
from dspex.signatures import OutputField, Signature, ensure_signature

if TYPE_CHECKING:
    from dspex.callbacks import BaseCallback

__all__ = ["ChainOfThought"]


class ChainOfThought(NativeModule):
    """`Predict` with an output field `reasoning` before the others.

    `rationale_field` replaces that field, `rationale_field_type` is its type.
    """

    predict: Predict

    def __init__(
        self,
        signature: str | type[Signature],
        rationale_field: Any = None,
        rationale_field_type: Any = str,
        callbacks: list[BaseCallback] | None = None,
        **config: Any,
    ) -> None:
        super().__init__(callbacks)
        base = ensure_signature(signature)
        field = rationale_field
        if field is None:
            outputs = ", ".join(f"`{name}`" for name in base.output_fields)
            field = OutputField(desc=f"the considerations that lead to {outputs}")
        self.predict = Predict(base.prepend("reasoning", field, type_=rationale_field_type), **config)

    async def aforward(self, *args: Any, **inputs: Any) -> Any:
        """Ask the model."""
        if args:
            raise given_by_name(self.predict.signature.input_fields)
        return await self.predict.acall(**inputs)

    def takes_timeout(self) -> bool:
        return self.predict.takes_timeout()
