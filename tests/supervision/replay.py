"""Replay recordings of the real OTP supervisor: `python -m tests.supervision.replay FILE...`.

One line per disagreement, then a count; exit status 1 if there is any.  Level 1 compares results and children, 2 the
events in their order too, 3 (the default) the reports as well.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator
from typing import Any

import structlog

from actors import Scheduler

from .agree import differences
from .dynamic import PLAYERS
from .dynamic import disagreements as dynamic_disagreements
from .live import Live, stage
from .scenario import load
from .world import World


def disagreements(scenario: dict[str, Any], level: int, kind: str, scheduler: Scheduler | None = None) -> Iterator[str]:
    """What differs when this scenario is played: on the actors of that kind, or in the simulated world."""
    try:
        if kind == "pure":
            yield from _compare(scenario, World(scenario["tree"]), level)
        else:
            with Live(scenario["tree"], "thread" if kind == "thread" else "async", scheduler) as live:
                yield from _compare(scenario, live, level)
    except Exception as error:  # noqa: BLE001  a replay that breaks is a disagreement, the others go on
        yield f"{scenario['name']}: replay failed: {error!r}"


def _compare(scenario: dict[str, Any], runner: Any, level: int) -> Iterator[str]:
    for number, recorded in enumerate(scenario["steps"]):
        seen = runner.play(recorded["action"])
        for line in differences(recorded, seen, level):
            yield f"{scenario['name']} step {number} {recorded['action']['op']}: {line}"


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.supervision.replay", description=__doc__)
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--level", type=int, choices=(1, 2, 3), default=3)
    parser.add_argument("--actors", choices=("async", "thread", "both", "pure"), default="both")
    parser.add_argument("--only", metavar="NAME", help="the scenarios whose name contains this")
    options = parser.parse_args(arguments)
    kinds: list[Any] = ["async", "thread"] if options.actors == "both" else [options.actors]
    played = wrong = skipped = 0
    with stage() as scheduler:
        for scenario in (each for file in options.files for each in load(file)):
            dynamic = "observed" in scenario
            if dynamic and scenario["name"] not in PLAYERS:
                skipped += 1
                continue
            if options.only and options.only not in scenario["name"]:
                continue
            for kind in kinds[:1] if dynamic else kinds:
                played += 1
                lines = (
                    dynamic_disagreements(scenario)
                    if dynamic
                    else disagreements(scenario, options.level, kind, scheduler)
                )
                for line in lines:
                    wrong += 1
                    print(f"[{kind}] {line}")
    if skipped:
        print(f"{skipped} recordings are not about supervision and were left out")
    print(f"{played} scenarios played, {wrong} disagreements")
    return 1 if wrong else 0


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    sys.exit(main())
