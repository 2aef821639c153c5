"""Changing the number of workers of what runs: pools of language models, evaluations, optimization runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervision import find_node

if TYPE_CHECKING:
    from dspex.system._system import System

__all__ = ["scale"]


def scale(system: System, path: str, workers: int) -> None:
    """Let what is at `path` have so many workers.

    Raises:
        LookupError: there is no such path, or it has no number of workers.
        ValueError: not to that number.
    """
    if workers < 1:
        raise ValueError(f"{path} cannot have {workers} workers: one is the least")
    node = find_node(system.tree(), path.strip("/"))
    if node is None:
        raise LookupError(f"there is no {path!r} in the tree: see `dspex tree`")
    for pool in system.lm_service.pools.values():
        if pool.supervisor is not None and pool.supervisor.id == node["actor"]:
            system.scheduler.call_soon(pool.resize, workers)
            return
    for child in (node, *node["children"]):
        ref = next((ref for ref in system.scheduler.refs() if ref.id == child["actor"]), None)
        resize = None if ref is None else getattr(ref._process, "resize", None)
        if ref is not None and resize is not None:
            system.scheduler.call_soon(resize, workers)
            return
    where = ", ".join(f"{system.name}/{each}" for each in ("lm/pools", "evaluations", "teleprompters"))
    raise LookupError(f"{path} cannot be scaled: what is below {where} can")
