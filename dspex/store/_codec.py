"""Values to text and back: JSON only, nothing is ever pickled, and no secret passes."""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr

from dspex.store._errors import StoreValueError

REDACTED = "[redacted]"
IDENTIFIER_BYTES = 800  # PostgreSQL's index entries hold 2,700 bytes, and an index here has up to three columns

_SENSITIVE_NAME = re.compile(
    r"(?:^|[_-])(?:api[_-]?key|apikey|authorization|passwd|password|secret|private[_-]?key|credentials?"
    r"|(?:access|auth|bearer|refresh|id|session)[_-]?token)$|^token$",
    re.IGNORECASE,
)
_SENSITIVE_TEXT = re.compile(
    r"(?P<keep>\b(?:api[_-]?key|password|secret|authorization)\W{1,4}(?:(?:Bearer|Basic)\s+)?|\bBearer\s+)"
    r"(?!\[redacted)[^\s'\",;)}]{6,}"
    r"|\bsk-[A-Za-z0-9_-]{12,}|\bAIza[A-Za-z0-9_-]{20,}|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)",
    re.IGNORECASE,
)


class Codec:
    """Encodes what goes into text columns. `conceal` adds values that must never be written anywhere."""

    def __init__(self) -> None:
        self._secrets: tuple[str, ...] = ()

    def conceal(self, secret: str) -> None:
        """Replace `secret` by [redacted] in all that is written from now on. At least 8 characters, or ValueError:
        a shorter one would be found in innocent text."""
        if len(secret) < 8:
            raise StoreValueError("a secret to conceal has at least 8 characters")
        if secret not in self._secrets:
            # Longest first, so that a secret that contains another one goes as a whole.
            self._secrets = tuple(sorted({*self._secrets, secret}, key=len, reverse=True))

    def conceal_if_long(self, secret: str) -> None:
        """As `conceal`, but a short secret is left alone."""
        if len(secret) >= 8:
            self.conceal(secret)

    def reveals(self, payload: bytes) -> bool:
        """True when opaque bytes contain a concealed value (they cannot be edited, only refused)."""
        return any(secret.encode() in payload for secret in self._secrets)

    def encode(self, value: Any, what: str) -> str:
        """`value` as JSON text. Pydantic models are dumped, secrets become [redacted]; NaN and infinities are
        written as Python's json does. Raises StoreValueError naming `what`."""
        try:
            text = json.dumps(value, separators=(",", ":"), default=_default)
        except (TypeError, ValueError, RecursionError) as error:
            raise StoreValueError(f"{what} cannot be stored as JSON: {error}") from error
        return self._cover(text)

    def text(self, value: str) -> str:
        """Free text for a column: what a database refuses (NUL, lone surrogates) is escaped, and what looks like
        a key or a password is covered."""
        value = value.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")
        return self._cover(_SENSITIVE_TEXT.sub(_redact_match, value))

    def _cover(self, text: str) -> str:
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, REDACTED)
        return text


def decode(text: str) -> Any:
    """The value of a JSON column."""
    return json.loads(text)


def decode_optional(text: str | None) -> Any:
    """As `decode`; None for an empty column."""
    return None if text is None else json.loads(text)


def identifier(value: str, what: str) -> str:
    """`value`, checked to be usable as a key: not empty, at most 800 bytes, and text that any database takes."""
    if not isinstance(value, str):
        raise StoreValueError(f"{what} must be a str, not {type(value).__name__}")
    try:
        size = len(value.encode("utf-8"))
    except UnicodeEncodeError:
        raise StoreValueError(f"{what} {value!r} is not valid Unicode") from None
    if not value or size > IDENTIFIER_BYTES or "\0" in value:
        raise StoreValueError(
            f"{what} must be 1 to {IDENTIFIER_BYTES} bytes without NUL, got {size} bytes; hash what is longer"
        )
    return value


def redact(value: Any) -> Any:
    """A copy of a JSON value in which everything under a name such as api_key or password is [redacted]."""
    if isinstance(value, dict):
        return {
            key: REDACTED if isinstance(key, str) and _SENSITIVE_NAME.search(key) and item is not None else redact(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact(item) for item in value]
    if isinstance(value, str):
        return _SENSITIVE_TEXT.sub(_redact_match, value)
    return value


def redact_lm(value: Any) -> Any:
    """A copy of a module's saved state in which only the `lm` parts are redacted: a demo may well have a field
    that is called password."""
    if isinstance(value, dict):
        return {key: redact(item) if key == "lm" else redact_lm(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_lm(item) for item in value]
    return value


def _redact_match(match: re.Match[str]) -> str:
    return (match.group("keep") or "") + REDACTED


def _default(value: Any) -> Any:
    if isinstance(value, SecretStr | SecretBytes):
        return REDACTED
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} is no JSON value; convert it first")
