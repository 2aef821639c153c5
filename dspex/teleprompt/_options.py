"""How a run is carried out, and what is kept with what it made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ._arguments import at_least

if TYPE_CHECKING:
    from dspex.store import Store

PATIENCE = 600.0
"""Seconds for which a run waits for an endpoint that is out, before it stops and can be resumed."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run is carried out; none of it changes what the run finds, but for the limits, which end it early.

    ``max_errors`` failing examples in one evaluation of a candidate stop the run with `RunPausedError`, of a teacher
    with `BootstrapError`; None: as many as the optimizer says, else `settings.max_errors` if it was set, else no limit.
    ``timeout`` bounds each example (seconds). ``budget_usd``, ``budget_tokens``, ``max_seconds`` and
    ``stop_at_score`` (percent) end the run with the best program so far; money and tokens count over all resumptions,
    time in each of them without its pauses. ``budget_usd`` needs models whose price is known, else
    `LMConfigurationError`.
    ``patience``: how long an outage is waited out. ``store=False`` keeps no journal. ``display_progress`` shows on
    standard error how far it is while `compile` waits: a bar on a terminal, else a line a minute.
    ``command`` (JSON) is kept with the run for whoever begins it again: `dspex runs resume` does what it says.
    """

    run_id: str | None = None
    num_workers: int | None = None
    max_errors: int | None = None
    timeout: float | None = None
    max_retries: int = 2
    quarantine_after: int = 2
    patience: float = PATIENCE
    stop_at_score: float | None = None
    budget_usd: float | None = None
    budget_tokens: int | None = None
    max_seconds: float | None = None
    on_event: Callable[[Any], None] | None = None
    store: Store | bool | None = None
    command: Mapping[str, Any] | None = None
    display_progress: bool = False

    def __post_init__(self) -> None:
        if self.run_id is not None and not isinstance(self.run_id, str):
            raise TypeError(f"run_id must be a text, not {self.run_id!r}")
        if self.run_id == "":
            raise ValueError("run_id is empty: give the run a name, or None to have one made")
        if self.timeout is not None and self.timeout <= 0:
            raise ValueError("timeout must be more than 0 seconds, or None for no limit")
        at_least(1, num_workers=self.num_workers, quarantine_after=self.quarantine_after)
        at_least(0, max_retries=self.max_retries, patience=self.patience, max_errors=self.max_errors)
        at_least(0, budget_usd=self.budget_usd, budget_tokens=self.budget_tokens, max_seconds=self.max_seconds)


@dataclass(frozen=True, slots=True)
class OptimizationSummary:
    """What is kept with an optimized program, as ``program.optimization``. ``stopped``: why it ended early, or None."""

    run_id: str
    kind: str
    score: float | None
    candidates: int
    stopped: str | None
    failures: Mapping[str, int] = field(default_factory=dict)
    tokens: int = 0
    cost: float | None = None
