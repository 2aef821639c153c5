"""What actors cost, beside plain Pykka in the same run.

    python -m tests.benchmarks.actors

Prints one table.  The targets are the project's; the column BEAM quotes figures of Erlang/OTP 25 measured on a
machine of the same kind (2 shared cores), for orientation.  Ratios hold on a noisy machine, absolute figures roughly;
with more to do than there are cores, what goes from thread to thread says more of the machine than of either library.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from typing import Any

import pykka

from actors import AsyncActor, Reply, Scheduler, ThreadActor, sleep

IDLE = 100_000


class Echo(AsyncActor):
    def on_receive(self, message: Any) -> Any:
        return message


class PykkaEcho(pykka.ThreadingActor):
    def on_receive(self, message: Any) -> Any:
        return message


class ThreadEcho(ThreadActor):
    def on_receive(self, message: Any) -> Any:
        return message


class Faulty(AsyncActor):
    def on_receive(self, message: Any) -> Any:
        raise ValueError(message)


class Driver(AsyncActor):
    """Does the measuring on the loop."""

    async def asks(self, ref: Any, number: int) -> float:
        begin = time.perf_counter()
        for _ in range(number):
            await ref.call(1)
        return (time.perf_counter() - begin) / number

    async def many(self, refs: list[Any], rounds: int) -> float:
        begin = time.perf_counter()
        for _ in range(rounds):
            replies = [ref.call(1) for ref in refs]
            for reply in replies:
                await reply
        return (time.perf_counter() - begin) / (rounds * len(refs))

    def starts(self, number: int) -> tuple[float, list[Any]]:
        begin = time.perf_counter()
        refs = [Echo.start() for _ in range(number)]
        return (time.perf_counter() - begin) / number, refs

    async def lives(self, number: int) -> float:
        begin = time.perf_counter()
        for _ in range(number):
            ref = Echo.start()
            ref.tell(1)
            await ref.stop(block=False)
        return (time.perf_counter() - begin) / number

    async def crashes(self, number: int) -> float:
        times = []
        for _ in range(number):
            ref = Faulty.start()
            down: Reply[Any] = Reply()
            ref.monitor(down.set)
            begin = time.perf_counter()
            ref.tell("boom")
            await down
            times.append(time.perf_counter() - begin)
        return statistics.median(times)

    async def chores(self, number: int) -> tuple[float, float, float]:
        """What must not depend on how many others there are: seconds for a life, for a look-up, for a monitor."""
        begin = time.perf_counter()
        for _ in range(number):
            await Echo.start().stop(block=False)
        lives = time.perf_counter()
        for _ in range(number):
            self.scheduler.whereis("the one")
        lookups = time.perf_counter()
        for _ in range(number):
            self.demonitor(self.monitor(self.actor_ref))
        end = time.perf_counter()
        return (lives - begin) / number, (lookups - lives) / number, (end - lookups) / number


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def thread_asks(ref: Any, number: int) -> float:
    begin = time.perf_counter()
    for _ in range(number):
        ref.ask(1)
    return (time.perf_counter() - begin) / number


def fibers(scheduler: Scheduler, number: int) -> tuple[float, float]:
    def program() -> None:
        sleep(0.5)
        sleep(0.5)

    begin, cpu = time.perf_counter(), time.process_time()
    for reply in [scheduler.submit(program) for _ in range(number)]:
        reply.get()
    return time.perf_counter() - begin, (time.process_time() - cpu) / number


def pykka_lives(number: int) -> float:
    begin = time.perf_counter()
    for _ in range(number):
        ref = PykkaEcho.start()
        ref.tell(1)
        ref.stop()
    return (time.perf_counter() - begin) / number


def pykka_idle(number: int) -> tuple[float, float]:
    """Seconds for a start, and bytes for an actor that waits."""
    gc.collect()
    before, begin = resident(), time.perf_counter()
    refs = [PykkaEcho.start() for _ in range(number)]
    seconds, size = time.perf_counter() - begin, resident() - before
    for ref in refs:
        ref.stop()
    return seconds / number, size / number


def fastest(measure: Any, times: int = 3) -> list[float]:
    """The best of several runs, figure by figure."""
    return [min(run) for run in zip(*(measure() for _ in range(times)), strict=True)]


def best(measure: Any, times: int = 5) -> float:
    return min(measure() for _ in range(times))


def main() -> None:
    rows: list[tuple[str, str, str, str, str]] = []

    def row(what: str, ours: str, peer: str, target: str, beam: str) -> None:
        rows.append((what, ours, peer, target, beam))

    with Scheduler("benchmark", stall_after=60) as scheduler:
        drive = Driver.start().proxy()
        echo, thread_echo, plain = Echo.start(), ThreadEcho.start(), PykkaEcho.start()
        ours = best(lambda: thread_asks(echo, 4000))
        pykkas = best(lambda: thread_asks(plain, 4000))
        in_loop = best(lambda: drive.asks(echo, 20_000).get())
        refs = [Echo.start() for _ in range(1000)]
        across = best(lambda: drive.many(refs, 20).get())
        row(
            "ask and reply in the loop, us",
            f"{in_loop * 1e6:.1f}",
            f"{pykkas * 1e6:.1f} ({pykkas / in_loop:.1f}x)",
            ">= 5x",
            "1.09",
        )
        row("the same over 1,000 actors at once, us", f"{across * 1e6:.1f}", "", "<= 2 x the row above", "")
        row(
            "ask from another thread, us",
            f"{ours * 1e6:.1f}",
            f"{pykkas * 1e6:.1f} ({pykkas / ours:.2f}x)",
            ">= 1x",
            "",
        )
        threads = best(lambda: thread_asks(thread_echo, 4000))
        row("ask a ThreadActor from a thread, us", f"{threads * 1e6:.1f}", f"{pykkas * 1e6:.1f}", "", "")
        live = best(lambda: drive.lives(5000).get())
        pykka_live = best(lambda: pykka_lives(500), 3)
        row(
            "start + one message + stop, /s",
            f"{1 / live:,.0f}",
            f"{1 / pykka_live:,.0f}",
            ">= 30,000",
            "662,000 (a bare process)",
        )
        wall, cpu = min(fibers(scheduler, 10_000) for _ in range(3))
        row("10,000 fibers waiting 0.5 s twice, wall s", f"{wall:.2f}", "", "<= 1.6", "")
        row("the same, CPU us each", f"{cpu * 1e6:.0f}", "", "<= 60", "")
        few = drive.crashes(1000).get()
        Echo.with_options(name="the one").start()
        chores_alone = fastest(lambda: drive.chores(3000).get())
        pykka_start, pykka_size = pykka_idle(1000)
        gc.collect()
        before = resident()
        per_start, idle = drive.starts(IDLE).get()
        gc.collect()
        row(
            f"bytes per idle actor at {IDLE:,}",
            f"{(resident() - before) / IDLE:,.0f}",
            f"{pykka_size:,.0f} (at 1,000)",
            "<= 2,500",
            "2,593 (gen_server)",
        )
        row("starts, /s", f"{1 / per_start:,.0f}", f"{1 / pykka_start:,.0f}", ">= 100,000", "355,000")
        crowd = drive.crashes(1000).get()
        row("crash to Down, median us, alone", f"{few * 1e6:.1f}", "", "", "")
        row(f"crash to Down, median us, {IDLE:,} others alive", f"{crowd * 1e6:.1f}", "", "< 100", "")
        chores_crowd = fastest(lambda: drive.chores(3000).get())
        for what, alone, among in zip(("start + stop", "look-up", "monitor"), chores_alone, chores_crowd, strict=True):
            figures = f"{among * 1e6:.2f} ({among / alone:.1f}x)"
            row(f"{what}, us, {IDLE:,} others alive (to 1,000)", figures, "", "about 1x", "")
        del idle
        plain.stop()
    widths = [max(len(line[column]) for line in rows) for column in range(5)]
    header = ("", "ours", "Pykka", "target", "BEAM")
    widths = [max(width, len(title)) for width, title in zip(widths, header, strict=True)]
    for line in (header, *rows):
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


if __name__ == "__main__":
    main()
