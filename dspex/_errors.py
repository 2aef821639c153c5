"""The error tree of dspex.

Every error that dspex raises on purpose is a `DspexError`: one ``except`` clause tells "the program or
its model failed" from "this is a bug". Errors carry fields, not just words, so that a supervisor, an
evaluator or an optimizer can decide by them; they compare by identity and pickle with their fields, so that
they can cross a process boundary. Names and fields are DSPy's where DSPy has the error.
"""

from __future__ import annotations

import math
from typing import Any


def _rebuild(cls: type[DspexError], args: tuple[Any, ...], fields: dict[str, Any]) -> DspexError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(fields)
    return error


class DspexError(Exception):
    """The root. `code` is a short machine-readable word; the rest says which endpoint spoke, and how."""

    code: str | None = None

    def __init__(
        self,
        message: str = "",
        *,
        code: str | None = None,
        model: str | None = None,
        provider: str | None = None,
        provider_code: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code if code is not None else type(self).code
        self.model = model
        self.provider = provider
        self.provider_code = provider_code
        self.status = status
        self.request_id = request_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own way calls cls(*args), which loses keyword fields and fails for other signatures.
        return _rebuild, (type(self), self.args, self.__dict__.copy())


DSPyError = DspexError
"""The name that programs written for DSPy catch."""


# -- language models -----------------------------------------------------------------------------------


class LMError(DspexError):
    """A language-model call failed."""

    code = "lm_error"


class LMTransportError(LMError):
    """The request or its reply did not get through: DNS, connect, TLS, reset, truncated or garbled body."""

    code = "transport"


class BreakerOpenError(LMTransportError):
    """The endpoint's circuit breaker is open: nothing was sent.

    `retry_after` is the seconds until the next trial, `failure` names the failure class that opened it, `pool` the
    endpoint. `answered` tells whether that has ever answered a request, `down_for` the seconds for which it has not.
    """

    code = "breaker_open"

    def __init__(
        self,
        message: str = "",
        *,
        failure: str | None = None,
        pool: str = "",
        answered: bool = True,
        down_for: float = math.inf,
        **fields: Any,
    ) -> None:
        super().__init__(message, **fields)
        self.failure = failure
        self.pool = pool
        self.answered = answered
        self.down_for = down_for


class LMStreamAssemblyError(LMTransportError):
    """A stream ended or broke before its message was whole. `partial` is what had arrived."""

    code = "stream_assembly"

    def __init__(self, message: str = "", *, partial: Any = None, part_index: int | None = None, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.partial = partial
        self.part_index = part_index


class LMLockTimeoutError(LMError):
    """A file lock was not had in time. `path` is what it guards."""

    code = "lock_timeout"

    def __init__(self, message: str = "", *, path: str = "", lock_path: str = "", **fields: Any) -> None:
        super().__init__(message, **fields)
        self.path = path
        self.lock_path = lock_path


class LMCollectionLimitError(LMError):
    """A reply was larger than the limit on what is collected. `source` says which limit."""

    code = "collection_limit"

    def __init__(self, message: str = "", *, source: str | None = None, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.source = source


class LMConfigurationError(LMError):
    """The LM is set up wrongly; retrying cannot help."""

    code = "configuration"


class LMNotConfiguredError(LMConfigurationError):
    """No LM: neither given to the call, nor set on the module, nor configured."""

    code = "not_configured"


class LMUnsupportedFeatureError(LMConfigurationError):
    """The model or endpoint cannot do what the request asks. `features` lists what."""

    code = "unsupported_feature"

    def __init__(
        self,
        message: str = "",
        *,
        features: list[str] | None = None,
        feature: str | None = None,
        issues: list[str] | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(message, **fields)
        self.features = features if features is not None else ([feature] if feature else [])
        self.feature = feature if feature is not None else (self.features[0] if self.features else None)
        self.issues = issues or []


class LMProviderError(LMError):
    """The provider answered, and its answer is an error."""

    code = "provider"


class LMUnexpectedError(LMProviderError):
    """The provider answered with something that is neither a reply nor an error we know."""

    code = "unexpected"


class LMAuthError(LMProviderError):
    """401 or 403: the key is missing, wrong or not allowed this model. Never retried."""

    code = "auth"


class LMBillingError(LMProviderError):
    """402, or a quota that waiting does not refill."""

    code = "billing"


class LMRateLimitError(LMProviderError):
    """429: too many requests or tokens. `retry_after` is in seconds, when the provider said."""

    code = "rate_limit"


class LMInvalidRequestError(LMProviderError):
    """400 or 422: the request itself is wrong. Never retried."""

    code = "invalid_request"


class ContextWindowExceededError(LMInvalidRequestError):
    """The prompt is longer than the model's context window."""

    code = "context_window_exceeded"

    def __init__(self, message: str = "The prompt exceeds the model's context window.", **fields: Any) -> None:
        super().__init__(message, **fields)


class LMUnsupportedModelError(LMProviderError):
    """404 for the model: it does not exist at this endpoint, or not for this key."""

    code = "unsupported_model"


class LMTimeoutError(LMProviderError):
    """No reply in time: the provider's own timeout (408, 504) or ours."""

    code = "timeout"


class LMServerError(LMProviderError):
    """5xx: the provider failed."""

    code = "server"


_RETRYABLE = (LMRateLimitError, LMTimeoutError, LMTransportError, LMServerError)


def is_retryable_lm_error(error: BaseException) -> bool:
    """True for rate limit, timeout, transport and server errors: those that another try may not meet."""
    return isinstance(error, _RETRYABLE)


class BudgetExceededError(DspexError):
    """A call was refused, unsent, because a budget would not cover it.

    `kind` is "usd" or "tokens"; `limit`, `spent`, `reserved` and `requested` are in that unit.
    """

    code = "budget_exceeded"

    def __init__(
        self,
        message: str = "",
        *,
        kind: str = "usd",
        limit: float | None = None,
        spent: float | None = None,
        reserved: float | None = None,
        requested: float | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(message, **fields)
        self.kind = kind
        self.limit = limit
        self.spent = spent
        self.reserved = reserved
        self.requested = requested


# -- the language --------------------------------------------------------------------------------------


class SignatureError(DspexError, ValueError):
    """A signature is malformed. The message shows the text with a caret under the offending character.

    `text` and `position` locate it in the string form; `field` names the field, when one is at fault.
    """

    code = "signature"

    def __init__(
        self,
        message: str = "",
        *,
        text: str | None = None,
        position: int | None = None,
        field: str | None = None,
        **fields: Any,
    ) -> None:
        self.reason = message
        if text is not None and position is not None:
            message = f"{message}\n{caret(text, position)}"
        super().__init__(message, **fields)
        self.text = text
        self.position = position
        self.field = field


def caret(text: str, position: int) -> str:
    """The line of `text` that holds `position`, and under it a caret at that character."""
    position = max(0, min(position, len(text)))
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    line = text[start : end if end >= 0 else len(text)].replace("\t", " ")
    return f"    {line}\n    {' ' * (position - start)}^"


class AdapterParseError(DspexError):
    """A reply does not hold the output fields that its signature asks for.

    `lm_response` is the raw reply, `parsed_result` the fields that could be read, `reason` the bare cause,
    as it is told to the model when it is asked again.
    """

    code = "adapter_parse"

    def __init__(
        self,
        adapter_name: str,
        signature: Any,
        lm_response: str,
        message: str | None = None,
        parsed_result: dict[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        self.reason = message or "the reply does not hold the expected fields"
        expected = ", ".join(getattr(signature, "output_fields", ()))
        text = (
            f"{adapter_name} could not read the reply: {self.reason}\n"
            f"Expected fields: {expected}\n"
            f"Fields read: {', '.join(parsed_result or ()) or 'none'}\n"
            f"The reply was:\n{lm_response}"
        )
        super().__init__(text, **fields)
        self.adapter_name = adapter_name
        self.signature = signature
        self.lm_response = lm_response
        self.parsed_result = parsed_result


class UnknownSettingError(DspexError, AttributeError, KeyError):
    """There is no such setting. `name` is what was asked for, `nearest` the closest existing key, if any."""

    code = "unknown_setting"

    def __init__(self, message: str = "", *, name: str = "", nearest: str | None = None, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.name = name
        self.nearest = nearest


class ToolError(DspexError, ValueError):
    """A tool was declared or called wrongly: unknown tool, unknown, missing or ill-typed argument.

    What a tool's own function raises is not wrapped. `tool` is the tool's name.
    """

    code = "tool"

    def __init__(self, message: str = "", *, tool: str | None = None, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.tool = tool


class MissingExtraError(DspexError, ImportError):
    """A feature needs a package that is not installed. `extra` is the name to install dspex with."""

    code = "missing_extra"

    def __init__(self, message: str = "", *, extra: str | None = None, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.extra = extra


# -- code interpreters ---------------------------------------------------------------------------------


class CodeInterpreterError(DspexError):
    """The interpreter itself failed: it did not start, died, or broke its protocol."""

    code = "code_interpreter"


class CodeExecutionError(CodeInterpreterError):
    """The code ran and raised."""

    code = "code_execution"
