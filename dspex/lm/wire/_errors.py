"""A provider's error reply as the error of ours that it means."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from dspex._errors import (
    ContextWindowExceededError,
    LMAuthError,
    LMBillingError,
    LMConfigurationError,
    LMError,
    LMInvalidRequestError,
    LMRateLimitError,
    LMServerError,
    LMTimeoutError,
    LMUnexpectedError,
    LMUnsupportedModelError,
)

from ._json import loads
from ._wire import Source

_CONTEXT = re.compile(
    r"context[ _-]?(length|window|size)|maximum context|prompt is too long|too many (input )?tokens"
    r"|input token count|exceeds? the (available|maximum) (context|number of tokens)|reduce the length of the messages",
    re.IGNORECASE,
)
_QUOTA = re.compile(r"insufficient[ _]quota|credit balance|billing|payment|exceeded your current quota", re.IGNORECASE)
_REQUEST_ID = ("x-request-id", "request-id", "apim-request-id", "x-goog-request-id", "cf-ray")
_BY_STATUS: dict[int, type[LMError]] = {
    401: LMAuthError,
    402: LMBillingError,
    403: LMAuthError,
    404: LMUnsupportedModelError,
    408: LMTimeoutError,
    429: LMRateLimitError,
    504: LMTimeoutError,
}
_BY_WORD: dict[str, int] = {
    "authentication_error": 401,
    "permission_error": 403,
    "billing_error": 402,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
    "api_error": 500,
    "server_error": 500,
    "invalid_request_error": 400,
}


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds to wait that a reply's headers ask for: Retry-After in seconds or as a date, retry-after-ms. `now` is
    Unix time.
    """
    milliseconds = headers.get("retry-after-ms")
    if milliseconds is not None:
        try:
            return max(0.0, float(milliseconds) / 1000)
        except ValueError:
            pass
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            when = parsedate_to_datetime(value).timestamp()
        except (ValueError, TypeError, OverflowError):
            return None
        return max(0.0, when - (time.time() if now is None else now))
    return seconds if 0 <= seconds < float("inf") else None


def error_from(source: Source, status: int, headers: Mapping[str, str], body: bytes) -> LMError:
    """The typed error in a reply whose status is not 2xx."""
    detail = _detail(body)
    error = error_of(source, detail, status, headers)
    if error.retry_after is None:
        error.retry_after = _retry_info(detail)
    return error


def error_of(source: Source, detail: Any, status: int | None, headers: Mapping[str, str]) -> LMError:
    """The typed error in a provider's error object: of a reply, or (status None) of an event in a stream."""
    if not isinstance(detail, dict):
        detail = {"message": str(detail)} if detail else {}
    message = str(detail.get("message") or detail.get("detail") or detail.get("error") or "").strip()
    word = detail.get("code") or detail.get("status") or detail.get("type")
    provider_code = None if word is None else str(word)
    if status is None:
        status = next((_BY_WORD[w] for w in (str(detail.get("code")), str(detail.get("type"))) if w in _BY_WORD), None)
        if status is None:
            status = detail["code"] if isinstance(detail.get("code"), int) and 400 <= detail["code"] < 600 else 500
    kind = _kind(status, f"{provider_code} {detail.get('type')} {message}")
    if kind is LMConfigurationError:
        message = f"redirected to {headers.get('location', 'nowhere')}: set base_url to the final address. {message}"
    text = f"{source.provider} ({source.model}): {message or 'no explanation'} [HTTP {status}]"
    fields: dict[str, Any] = {
        "model": source.model,
        "provider": source.provider,
        "provider_code": provider_code,
        "status": status,
        "request_id": next((headers[name] for name in _REQUEST_ID if name in headers), None),
        "retry_after": retry_after(headers),
    }
    return kind(text, **fields)


def _kind(status: int, words: str) -> type[LMError]:
    if 300 <= status < 400:
        return LMConfigurationError
    if status in (400, 413, 422) and _CONTEXT.search(words):
        return ContextWindowExceededError
    if status in (400, 403, 429) and _QUOTA.search(words):
        return LMBillingError
    if status == 400 and ("API_KEY_INVALID" in words or "API key not valid" in words):
        return LMAuthError
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 400 <= status < 500:
        return LMInvalidRequestError
    if status >= 500:
        # llama.cpp reports an overlong prompt as a server error.
        return ContextWindowExceededError if status == 500 and _CONTEXT.search(words) else LMServerError
    return LMUnexpectedError


def _detail(body: bytes) -> Any:
    try:
        data = loads(body)
    except ValueError:
        return {"message": body[:300].decode("utf-8", "replace")}
    if isinstance(data, list) and data:
        data = data[0]
    if isinstance(data, dict) and "error" in data:
        return data["error"]
    return data


def _retry_info(detail: Any) -> float | None:
    """Google's RetryInfo: {"retryDelay": "37s"} among the details."""
    if not isinstance(detail, dict) or not isinstance(detail.get("details"), list):
        return None
    for entry in detail["details"]:
        delay = entry.get("retryDelay") if isinstance(entry, dict) else None
        if isinstance(delay, str) and delay.endswith("s"):
            try:
                return max(0.0, float(delay[:-1]))
            except ValueError:
                return None
    return None
