"""What one call has reserved in its budget, over all its tries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._outcome import ambiguous
from ._reserve import reserve

if TYPE_CHECKING:
    from ._budget import Budget, Reservation


class Deposit:
    """`make` before each try, `failed` after one that failed, and at the end `settle` or `release`.

    A try that ends without a verdict may have been billed: it is booked in full, and the next one reserves anew.
    So the ceiling holds however often a call is sent.
    """

    __slots__ = ("_budget", "_completion", "_model", "_open", "_prompt")

    def __init__(self, budget: Budget, model: str, prompt_bytes: int, completion: int) -> None:
        self._budget = budget
        self._model = model
        self._prompt = prompt_bytes
        self._completion = completion
        self._open: Reservation | None = None

    async def make(self) -> None:
        """Room for one try; what an earlier one left is used. Raises as `reserve` does."""
        if self._open is None:
            self._open = await reserve(self._budget, self._model, self._prompt, self._completion)

    def failed(self, error: BaseException) -> None:
        """The try was sent and brought no answer."""
        if ambiguous(error):
            self.forfeit()

    def forfeit(self) -> None:
        """How much was billed is not known: all of it is booked."""
        if self._open is not None:
            self._open.settle(None, self._open.tokens)
            self._open = None

    def settle(self, usd: float | None, tokens: float) -> None:
        """The answer is there, and took this much; `usd` None is not known, and books what was reserved."""
        if self._open is not None:
            self._open.settle(usd, tokens)
            self._open = None

    def release(self) -> None:
        """No answer, and nothing that could be billed any more."""
        if self._open is not None:
            self._open.release()
            self._open = None
