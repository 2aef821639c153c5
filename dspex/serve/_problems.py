"""Errors as HTTP answers: a status, and a body that says what was wrong without saying what is inside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from actors import ActorCrashed, ActorError, MailboxFull
from dspex._errors import (
    AdapterParseError,
    BreakerOpenError,
    BudgetExceededError,
    ContextWindowExceededError,
    DspexError,
    LMConfigurationError,
    LMError,
    LMRateLimitError,
    LMTimeoutError,
)
from dspex.programs import DeadlineExceededError, ProgramStoppedError, SystemClosedError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["Problem", "error_handler", "problem_of"]


@dataclass(frozen=True, slots=True)
class Problem:
    """What the client is told.  `fields` has what is wrong with each field of its request."""

    status: int
    code: str
    message: str
    fields: dict[str, str] = field(default_factory=dict)
    retry_after: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The body: `{"error": {...}}`."""
        told: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.fields:
            told["fields"] = self.fields
        if self.retry_after is not None:
            told["retry_after"] = self.retry_after
        return {"error": told}

    def headers(self) -> dict[str, str]:
        """Retry-After, if it is known."""
        return {} if self.retry_after is None else {"retry-after": str(max(1, round(self.retry_after)))}


def problem_of(error: BaseException) -> Problem:
    """The answer for an error of a program.

    What the model has said, prompts, and the words of exceptions that are not dspex's stay inside: a client is told
    their kind.
    """
    retry_after = getattr(error, "retry_after", None)
    match error:
        case DeadlineExceededError():
            return Problem(504, "deadline", str(error))
        case ProgramStoppedError() | SystemClosedError():
            return Problem(503, "unavailable", "The program is not running at the moment.")
        case MailboxFull():
            return Problem(503, "overloaded", "Too many requests wait for the program.", retry_after=1.0)
        case ActorCrashed() | ActorError():
            return Problem(500, "crashed", "The program crashed and is being restarted: try again.")
        case BudgetExceededError():
            return Problem(503, "budget_exceeded", "The budget for calls of language models is spent.")
        case BreakerOpenError() | LMRateLimitError():
            code = str(error.code)
            return Problem(503, code, "The language model takes no requests now.", retry_after=retry_after)
        case LMTimeoutError():
            return Problem(504, "lm_timeout", "The language model did not answer in time.")
        case ContextWindowExceededError():
            return Problem(413, "context_window_exceeded", "The inputs are too long for the language model.")
        case LMConfigurationError():
            return Problem(500, "configuration", "The service's language model is not set up.")
        case AdapterParseError():
            return Problem(502, "unreadable", "The language model's answer did not have the expected fields.")
        case LMError():
            return Problem(502, str(error.code or "lm_error"), "The call of the language model failed.")
        case DspexError():
            return Problem(500, str(error.code or "error"), "The program could not do it.")
    return Problem(500, "program_error", f"The program failed with {type(error).__name__}.")


async def error_handler(request: Request, error: Exception) -> Response:
    """For your own application: `app.add_exception_handler(dspex.DspexError, dspex.serve.error_handler)`."""
    from starlette.responses import JSONResponse

    problem = problem_of(error)
    return JSONResponse(problem.to_json(), problem.status, problem.headers())
