"""What an evaluation costs and what it survives, beside DSPy's in the same run.

    python -m tests.benchmarks.evaluate [--peer PYTHON] [--line NAME]... [--reps 1]

`bare`      CPU per example of `Evaluate` without any HTTP: the spawned program asks a `DummyLM`
`growth`    the same with 2,000 and 20,000 examples: CPU per example, and memory per example but for the results
`faults10`  1,000 examples, 64 at a time, 100 ms each, 5 % of the requests a 500 and 5 % a 429 with Retry-After 1
`faults30`  three times as many of both
`worse10`   `faults10` with 1 % hangs, 0.5 % resets and 2 % malformed bodies as well, 5 seconds for each example
`metric20`  500 examples, 16 at a time, a metric that takes 20 ms of CPU, computed in processes

How many calls a second `Evaluate` makes against a quiet endpoint is in `calls.py`. `--peer` is an interpreter that has
DSPy; without it its rows are left out. Every side runs in a process of its own, and every answer is checked.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RETRY_AFTER = 1.0

FAULTS: dict[str, dict[str, float]] = {
    "faults10": {"error_500": 0.05, "rate_limit": 0.05},
    "faults30": {"error_500": 0.15, "rate_limit": 0.15},
    "worse10": {"error_500": 0.05, "rate_limit": 0.05, "hang": 0.01, "reset": 0.005, "truncated_json": 0.02},
}


def expected(number: int) -> str:
    """The answer to the question about this item: what a `FaultServer` gives."""
    from dspex.testing import value_of

    return value_of(number)


def exact(example: Any, prediction: Any, trace: Any = None) -> bool:
    """The metric."""
    return bool(example.answer == prediction.answer)


def slow(example: Any, prediction: Any, trace: Any = None) -> bool:
    """The metric, after 20 ms of CPU."""
    end = time.thread_time() + 0.02
    while time.thread_time() < end:
        pass
    return exact(example, prediction)


def cpu() -> float:
    """Seconds of CPU so far, with those of children that have ended."""
    found = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in found)


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


# -- the sides: each is called in a process of its own, and returns figures


def dspex_bare(task: dict[str, Any]) -> dict[str, Any]:
    import dspex
    from dspex.testing import DummyLM

    def examples(count: int) -> list[Any]:
        return [dspex.Example(question=f"item-{n}", answer="x").with_inputs("question") for n in range(count)]

    with dspex.System(
        "benchmark", lm=DummyLM(itertools.repeat({"answer": "x"})), store=False, control_socket=False
    ) as s:
        program = s.spawn(dspex.Predict("question -> answer"), name="answer")
        evaluate = dspex.Evaluate(devset=examples(200), metric=exact, num_workers=task["width"])
        evaluate(program)
        devset = examples(task["n"])
        before, used = resident(), cpu()
        result = evaluate(program, devset=devset)
        used, after = cpu() - used, resident()
    return {
        "cpu_ms": 1000 * used / task["n"],
        "bytes": (after - before) / task["n"],
        "right": len(result.scored) == task["n"] and result.score == 100.0,
    }


def dspex_http(task: dict[str, Any]) -> dict[str, Any]:
    import dspex

    lm = dspex.LM("openai/fake-model", base_url=task["url"], api_key="x", cache=False)
    devset = [
        dspex.Example(question=f"What is the code of item-{n}?", answer=expected(n)).with_inputs("question")
        for n in range(task["n"])
    ]
    own = {"metric_executor": "process"} if task["slow"] else {}
    with dspex.System("benchmark", lm=lm, store=False, control_socket=False) as system:
        program = system.spawn(dspex.Predict("question -> answer"), name="answer")
        evaluate = dspex.Evaluate(
            devset=devset, metric=slow if task["slow"] else exact, num_workers=task["width"], timeout=task["timeout"],
            **own,
        )  # fmt: skip
        begin = time.perf_counter()
        result = evaluate(program)
        wall = time.perf_counter() - begin
    return {
        "wall": wall,
        "answered": len(result.scored),
        "failures": {str(kind): count for kind, count in result.counts.items()},
        "right": len(result.outcomes) == task["n"] and all(o.score == 1.0 for o in result.scored),
    }


PEER = """
import json, logging, resource, sys, time
import dspy
logging.getLogger("dspy").setLevel(logging.CRITICAL)
task = json.loads(sys.argv[1])

def exact(example, prediction, trace=None):
    return float(example.answer == prediction.answer)

def slow(example, prediction, trace=None):
    end = time.thread_time() + 0.02
    while time.thread_time() < end:
        pass
    return exact(example, prediction)

def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime

if task["url"]:
    lm = dspy.LM("openai/fake-model", api_base=task["url"], api_key="x", cache=False)
    rows = [(f"What is the code of item-{n}?", answer) for n, answer in enumerate(task["answers"])]
else:
    lm = dspy.utils.DummyLM([{"answer": "x"}] * task["n"])
    rows = [(f"item-{n}", "x") for n in range(task["n"])]
dspy.configure(lm=lm, adapter=dspy.ChatAdapter())
devset = [dspy.Example(question=q, answer=a).with_inputs("question") for q, a in rows]
evaluate = dspy.Evaluate(devset=devset, metric=slow if task["slow"] else exact, num_threads=task["width"],
                         display_progress=False, max_errors=10**9)
program = dspy.Predict("question -> answer")
used, begin = cpu(), time.perf_counter()
result = evaluate(program)
wall, used = time.perf_counter() - begin, cpu() - used
answered = sum(score == 1.0 for _, _, score in result.results)
print(json.dumps({"wall": wall, "cpu_ms": 1000 * used / task["n"], "answered": answered, "failures": {},
                  "right": answered == task["n"], "bytes": 0}))
"""


def on_peer(python: str, task: dict[str, Any]) -> dict[str, Any]:
    """The same task by DSPy."""
    task = {**task, "answers": [expected(n) for n in range(task["n"])] if task["url"] else []}
    return last_line([python, "-c", PEER, json.dumps(task)])


def on_own(side: str, task: dict[str, Any]) -> dict[str, Any]:
    """A task in a fresh process of this Python."""
    return last_line([sys.executable, "-m", "tests.benchmarks.evaluate", "--side", side, "--task", json.dumps(task)])


def last_line(command: list[str]) -> dict[str, Any]:
    """What a command prints at its end, as JSON."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


# -- the lines


def task_of(n: int, width: int, url: str = "", slow: bool = False, timeout: float | None = None) -> dict[str, Any]:
    return {"n": n, "width": width, "url": url, "slow": slow, "timeout": timeout}


def bare(peer: str | None, reps: int) -> None:
    """Framework CPU per example."""
    task = task_of(2000, 64)
    own = [on_own("bare", task)["cpu_ms"] for _ in range(reps)]
    print(f"bare       dspex {statistics.median(own):.3f} ms of CPU per example")
    if peer:
        theirs = [on_peer(peer, {**task, "width": 1})["cpu_ms"] for _ in range(reps)]
        ratio = statistics.median(own) / statistics.median(theirs)
        print(f"           DSPy  {statistics.median(theirs):.3f} ms on one thread; dspex is {ratio:.2f} of it")


def growth(peer: str | None, reps: int) -> None:
    """Is the cost of an example the same in a large evaluation?"""
    for n in (2000, 20_000):
        runs = [on_own("bare", task_of(n, 64)) for _ in range(reps)]
        used, kept = (statistics.median(run[key] for run in runs) for key in ("cpu_ms", "bytes"))
        print(f"growth     {n:6} examples: {used:.3f} ms of CPU and {kept:.0f} bytes per example, results and all")


def http(name: str, peer: str | None, reps: int) -> None:
    """A line against an endpoint."""
    from dspex.testing import Fault, FaultServer, at_random

    rates = FAULTS.get(name, {})
    n, width = (500, 16) if name == "metric20" else (1000, 64)
    details = [Fault("rate_limit", seconds=RETRY_AFTER), Fault("hang", seconds=120.0)]
    for number in range(reps):
        for side in ("dspex", "DSPy") if number % 2 == 0 else ("DSPy", "dspex"):
            if side == "DSPy" and (not peer or name == "worse10"):
                continue  # a hang holds DSPy for its read timeout of ten minutes
            with FaultServer(latency=0.1, faults=at_random(rates, 7, details)) as server:  # type: ignore[arg-type]
                timeout = 5.0 if name == "worse10" else None
                task = task_of(n, width, server.url, name == "metric20", timeout)
                run = on_own("http", task) if side == "dspex" else on_peer(str(peer), task)
            what = f"{run['wall']:6.2f} s, {run['answered']} of {n} answered, {n / run['wall']:.0f}/s {run['failures']}"
            print(f"{name:10} {side:5} {what}{'' if run['right'] else ' WRONG OR LOST'}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="an interpreter that has DSPy")
    parser.add_argument("--line", action="append", choices=["bare", "growth", *FAULTS, "metric20"])
    parser.add_argument("--reps", type=int, default=1)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        side = {"bare": dspex_bare, "http": dspex_http}[args.side]
        print(json.dumps(side(json.loads(args.task))), flush=True)
        os._exit(0)
    for line in args.line or ["bare", "growth", *FAULTS, "metric20"]:
        match line:
            case "bare":
                bare(args.peer, args.reps)
            case "growth":
                growth(args.peer, args.reps)
            case _:
                http(line, args.peer, args.reps)


if __name__ == "__main__":
    main()
