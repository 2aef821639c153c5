"""`StreamListener`: which field is wanted."""

from __future__ import annotations

from typing import Any


class StreamListener:
    """Wants the output field `signature_field_name` while it comes.

    Of whichever predictor has that field, or only of `predict` (a predictor of the program) or the one that is called
    `predict_name`. Of a predictor that is called several times (in a loop) the first call is streamed, with
    `allow_reuse` each of them. A listener holds no state: it may be used for any number of streams at once.
    """

    def __init__(
        self,
        signature_field_name: str,
        predict: Any = None,
        predict_name: str | None = None,
        allow_reuse: bool = False,
    ) -> None:
        self.signature_field_name = signature_field_name
        self.predict = predict
        self.predict_name = predict_name
        self.allow_reuse = allow_reuse

    def hears(self, predictor: Any, name: str, outputs: Any) -> bool:
        """Whether it wants what this predictor, of these output fields, is about to say."""
        if self.signature_field_name not in outputs:
            return False
        if self.predict_name is not None and self.predict_name != name:
            return False
        return self.predict is None or self.predict is predictor

    def __repr__(self) -> str:
        return f"StreamListener({self.signature_field_name!r})"
