"""What can go wrong at an endpoint, and when: plain data, chosen by a seed or by a script."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

FaultName = Literal[
    "error_500",
    "unavailable_503",
    "rate_limit",
    "rate_limit_bare",
    "auth_401",
    "invalid_400",
    "context_window",
    "slow_head",
    "slow_body",
    "reset",
    "reset_mid_body",
    "stream_cut",
    "truncated_json",
    "invalid_json",
    "wrong_content_type",
    "empty_choices",
    "no_markers",
    "huge",
    "hang",
]
FAULTS: tuple[str, ...] = get_args(FaultName)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `seconds` is how long the slow ones take, or what Retry-After says; `size` is that of a huge reply.

    `stream_cut` breaks a streamed reply off after some pieces, in good order as far as HTTP goes; a reply that is not
    streamed is `reset_mid_body`.
    """

    name: FaultName
    seconds: float = 1.0
    size: int = 8 * 1024 * 1024
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as the server saw it. `number` counts from 0; `attempt` counts the requests with the same body."""

    number: int
    attempt: int
    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]


Chooser = Callable[[Seen], Fault | FaultName | None]
"""Which fault a request meets, None for none. Called on the server's thread, in the order of arrival."""


def none() -> Chooser:
    """A well server."""
    return lambda seen: None


def script(*faults: Fault | FaultName | None) -> Chooser:
    """These, one for each request in order of arrival; after them none."""
    return lambda seen: faults[seen.number] if seen.number < len(faults) else None


def first_attempts(*faults: Fault | FaultName | None) -> Chooser:
    """These, one for each attempt of *every* request (by its body): what a retry meets next."""
    return lambda seen: faults[seen.attempt] if seen.attempt < len(faults) else None


def always(fault: Fault | FaultName) -> Chooser:
    """This one, every time."""
    return lambda seen: fault


def at_random(rates: Mapping[FaultName, float], seed: int = 0, faults: Sequence[Fault] = ()) -> Chooser:
    """Each fault with its share of the requests. The same seed gives the same sequence; `faults` give the details."""
    unknown = set(rates) - set(FAULTS)
    if unknown or sum(rates.values()) > 1:
        raise ValueError(f"rates must name known faults and sum to at most 1: {rates!r}")
    rng = random.Random(seed)
    details = {fault.name: fault for fault in faults}

    def choose(seen: Seen) -> Fault | FaultName | None:
        draw = rng.random()
        for name, rate in rates.items():
            if draw < rate:
                return details.get(name, name)
            draw -= rate
        return None

    return choose
