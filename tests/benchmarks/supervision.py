"""What supervision costs, with the figures of the BEAM beside ours.

    python -m tests.benchmarks.supervision

Prints one table.  BEAM's figures are of Erlang/OTP 25.2.3 on a machine of the same kind (2 shared cores), its log
handler removed, as ours is here.  Exit status 1 if a target is missed.
"""

from __future__ import annotations

import gc
import logging
import statistics
import sys
import time
from typing import Any

import psutil
import structlog

from actors import ActorRef, AsyncActor, Crash, Exit, Reply, Scheduler
from supervision import (
    ChildSpec,
    DynamicSupervisor,
    Supervisor,
    SupervisorSpec,
    start_child,
    stop_supervisor,
    which_children,
)

ROWS: list[tuple[str, str, str, str, bool]] = []


class Child(AsyncActor):
    """A child whose on_start says that it runs."""

    begun: Reply[ActorRef[Any]] | None = None
    count = 0

    def on_start(self) -> None:
        cls = Child
        cls.count += 1
        if cls.begun is not None and not cls.begun.done():
            cls.begun.set(self.actor_ref)

    def on_receive(self, message: Any) -> None:
        self.exit(Crash("boom"))


class Plain(AsyncActor):
    """A child without hooks."""


class Bench(AsyncActor):
    """Does the measuring on the loop: nothing crosses a thread."""

    def __init__(self) -> None:
        super().__init__()
        self.trap_exit = True

    async def on_receive(self, message: Any) -> Any:
        if isinstance(message, Exit):
            return None
        function, *args = message
        return await function(*args)


async def restarts(sup: ActorRef[Any], ref: ActorRef[Any], number: int) -> tuple[list[float], ActorRef[Any]]:
    """Seconds from kill to the new child being in its on_start; and the last child."""
    times = []
    for _ in range(number):
        Child.begun = Reply()
        begin = time.perf_counter()
        ref.kill()
        ref = await Child.begun
        times.append(time.perf_counter() - begin)
    Child.begun = None
    return times, ref


async def started(spec: SupervisorSpec) -> ActorRef[Any]:
    ref = await Supervisor.start_link(spec)
    assert ref is not None
    return ref


def family(number: int, kind: Any = Child, **flags: Any) -> SupervisorSpec:
    flags = {"intensity": 10**9, "period": 1.0, **flags}
    return SupervisorSpec(*[ChildSpec(n, kind) for n in range(number)], **flags)


async def latency(siblings: int, number: int) -> list[float]:
    Child.begun = Reply()
    sup = await started(family(siblings + 1))
    ref = await Child.begun
    times, _ = await restarts(sup, ref, number)
    await stop_supervisor(sup)
    return times


async def group(number: int, rounds: int) -> list[float]:
    """Seconds from the crash of the first child until the last has started again."""
    sup = await started(family(number, strategy="one_for_all"))
    times = []
    for _ in range(rounds):
        ref = (await which_children(sup))[-1].ref
        goal = Child.count + number
        begin = time.perf_counter()
        ref.kill()
        while Child.count < goal:
            Child.begun = Reply()
            await Child.begun
        times.append(time.perf_counter() - begin)
    Child.begun = None
    await stop_supervisor(sup)
    return times


async def starts(number: int, kind: Any) -> tuple[float, float]:
    spec = family(number, kind)
    begin = time.perf_counter()
    sup = await started(spec)
    between = time.perf_counter()
    await stop_supervisor(sup)
    return number / (between - begin), number / (time.perf_counter() - between)


async def dynamic_starts(number: int) -> float:
    sup = await DynamicSupervisor.start_link()
    assert sup is not None
    spec = ChildSpec("child", Plain)
    begin = time.perf_counter()
    replies = [start_child(sup, spec) for _ in range(number)]
    for reply in replies:
        await reply
    rate = number / (time.perf_counter() - begin)
    await stop_supervisor(sup)
    return rate


async def growth(number: int) -> tuple[float, float]:
    """Restarts a second, and bytes of growth for each restart of the second half of the run."""
    Child.begun = Reply()
    sup = await started(family(1, period=0.2))
    ref = await Child.begun
    process = psutil.Process()
    _, ref = await restarts(sup, ref, number // 10)
    gc.collect()
    before = process.memory_info().rss
    begin = time.perf_counter()
    await restarts(sup, ref, number)
    rate = number / (time.perf_counter() - begin)
    gc.collect()
    grown = process.memory_info().rss - before
    await stop_supervisor(sup)
    return rate, grown / number


def row(what: str, ours: str, beam: str, target: str, met: bool = True) -> None:
    ROWS.append((what, ours, beam, target, met))


def main() -> int:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with Scheduler("bench", stall_after=30.0) as scheduler:
        bench = Bench.with_options(scheduler=scheduler).start()

        def run(function: Any, *args: Any) -> Any:
            return bench.call((function, *args)).get(timeout=300)

        run(latency, 0, 500)
        alone = statistics.median(run(latency, 0, 3000))
        crowd = statistics.median(run(latency, 1000, 3000))
        row("crash to running again, one child (median)", f"{alone * 1e6:.0f} us", "17.5 us", "200 us", alone <= 200e-6)
        row(
            "the same with 1,000 siblings",
            f"{crowd * 1e6:.0f} us ({crowd / alone:.2f}x)",
            "27.8 us (1.59x)",
            "1.5x",
            crowd <= 1.5 * alone,
        )
        rate, grown = run(growth, 10_000)
        row("10,000 restarts in a row", f"{rate:,.0f} /s", "17,000 /s", "")
        row("memory growth of those", f"{grown:.1f} B each", "", "none", grown < 20)
        begun, ended = run(starts, 10_000, Plain)
        row("start of 10,000 supervised children", f"{begun:,.0f} /s", "150,000 /s", "20,000 /s", begun >= 20_000)
        row("stop of 10,000 supervised children", f"{ended:,.0f} /s", "265,000 /s", "")
        hooked, _ = run(starts, 10_000, Child)
        row("start of 10,000, each with an on_start", f"{hooked:,.0f} /s", "", "20,000 /s", hooked >= 20_000)
        row("start_child of 10,000 by call", f"{run(dynamic_starts, 10_000):,.0f} /s", "", "")
        all_ = statistics.median(run(group, 100, 50))
        row("one_for_all restart of 100 children", f"{all_ * 1e3:.2f} ms", "1.28 ms", "15 ms", all_ <= 15e-3)
    width = max(len(what) for what, *_ in ROWS)
    print(f"{'':{width}}  {'ours':>18}  {'BEAM':>16}  {'target':>10}")
    for what, ours, beam, target, met in ROWS:
        print(f"{what:{width}}  {ours:>18}  {beam:>16}  {target:>10}{'' if met else '  MISSED'}")
    return 0 if all(met for *_, met in ROWS) else 1


if __name__ == "__main__":
    sys.exit(main())
