"""From a request of ours to the HTTP request that a pool sends."""

from __future__ import annotations

from collections.abc import Mapping

from dspex._errors import LMConfigurationError

from ._pool import Call
from ._providers import Endpoint, require_key
from ._retry import RetryPolicy
from ._types import LMRequest
from .wire import dumps

_NOT_SENT = frozenset({"allow_tool_async_sync_conversion", "use_developer_role"})
_OURS = frozenset({"extra_headers", "timeout", "cache"}) | _NOT_SENT


def request_headers(endpoint: Endpoint, own: Mapping[str, str]) -> dict[str, str]:
    """What goes with every request to an endpoint, the key among it; `own` headers come last."""
    headers = {"content-type": "application/json", "accept": "*/*", "user-agent": "dspex"}
    headers |= endpoint.format.headers(require_key(endpoint))
    headers |= {name.lower(): value for name, value in own.items()}
    return headers


def outgoing(
    endpoint: Endpoint,
    headers: Mapping[str, str],
    request: LMRequest,
    timeout: float | None,
    retry: RetryPolicy,
    developer_role: bool,
    stream: bool,
) -> Call:
    """The call without its deadline. LMConfigurationError when the request has no JSON form."""
    params = request.params
    extra = params.get("extra_headers")
    if extra:
        headers = {**headers, **{name.lower(): value for name, value in extra.items()}}
    if "timeout" in params:
        timeout = params["timeout"]
    if extra or "timeout" in params or "cache" in params or not _NOT_SENT.isdisjoint(params):
        params = {k: v for k, v in params.items() if k not in _OURS}
    messages = request.messages
    if developer_role and messages:
        messages = [{**m, "role": "developer"} if m["role"] == "system" else m for m in messages]
    wire = endpoint.format.build(LMRequest(endpoint.model, messages, request.prompt, params), stream=stream)
    try:
        body = dumps(wire.body)
    except (TypeError, ValueError) as error:
        raise LMConfigurationError(f"the request has no JSON form: {error}", model=endpoint.model) from error
    if wire.headers:
        headers = {**headers, **wire.headers}
    longest = float(params.get("max_tokens") or 0)
    return Call(endpoint.base_url + wire.path, headers, body, timeout, None, retry, len(body) / 4 + longest)
