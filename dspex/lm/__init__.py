"""Language models: what a program calls, and everything between it and the endpoint."""

from ._base import BaseLM
from ._breaker import Breaker, BreakerPolicy
from ._budget import Budget, budget
from ._direct import DirectTransport
from ._embedder import Embedder
from ._history import inspect_history, pretty_print_history
from ._limiter import Limiter
from ._lm import LM
from ._part import LmPart
from ._pool import Pool, PoolOptions
from ._prices import Price, prices, register_price
from ._providers import PROVIDERS, Provider
from ._retry import RetryPolicy
from ._service import LmService
from ._transport import Transport
from ._types import LMOutput, LMRequest, LMResponse, StreamChunk, ToolCallPart, Usage

__all__ = [
    "BaseLM",
    "Breaker",
    "BreakerPolicy",
    "Budget",
    "DirectTransport",
    "Embedder",
    "LM",
    "LMOutput",
    "LMRequest",
    "LMResponse",
    "Limiter",
    "LmPart",
    "LmService",
    "PROVIDERS",
    "Pool",
    "PoolOptions",
    "Price",
    "Provider",
    "RetryPolicy",
    "StreamChunk",
    "ToolCallPart",
    "Transport",
    "Usage",
    "budget",
    "inspect_history",
    "pretty_print_history",
    "prices",
    "register_price",
]
