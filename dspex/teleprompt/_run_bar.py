"""A run on the terminal while it is waited for: one line."""

from __future__ import annotations

from dspex.evaluate._render import short

from ._run_actor import RunStatus


def run_line(status: RunStatus) -> str:
    """What it does, the best score so far, failures, units of work a second, tokens and cost."""
    parts = [status.state] if status.state != "running" else []
    if status.phase:
        parts.append(f"after {status.phase}")
    if status.best is not None:
        parts.append(f"best {status.best:.1f} of {status.candidates}")
    failed = sum(status.failures.values())
    if failed:
        worst = max(status.failures, key=lambda kind: status.failures[kind])
        parts.append(f"{failed} failed (most: {worst})")
    if status.seconds > 0:
        parts.append(f"{status.done / status.seconds:.1f}/s")
    if status.tokens:
        parts.append(f"{short(status.tokens)} tokens")
    if status.cost is not None:
        parts.append(f"${status.cost:.4f}")
    return " · ".join(parts)
