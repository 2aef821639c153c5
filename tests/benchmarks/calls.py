"""What calls of programs cost, beside DSPy and a bare HTTP client in the same run.

    python -m tests.benchmarks.calls [--peer PYTHON] [--line NAME]... [--reps 3] [--share 1.0]

`--peer` is an interpreter that has DSPy (and, for the bare POST, httpx-aiohttp, unless this one has it); without it
their columns are left out.  `--share` scales the number of calls.  Every side runs in a process of its own against a
fake server in another: an OpenAI-compatible endpoint that answers after a fixed time.  CPU is user + system of the
side's process, every answer is checked, medians of `--reps` are shown.  Nothing is cached, uvloop is not used, and
the program is spawned.  On a machine that others use, look at the ratios: all sides of a line alternate.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import importlib.util
import json
import os
import re
import resource
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

HERE = Path(__file__).resolve().parent
NUMBER = re.compile(rb"item-(\d+)")


def expected(number: int) -> str:
    """The answer to the question about this item."""
    return f"value-{(number * 2654435761 + 12345) & 0xFFFFFFFF:08x}"


def burn(milliseconds: float) -> None:
    """Use so much of the CPU."""
    end = time.thread_time() + milliseconds / 1000
    while time.thread_time() < end:
        pass


# -- the endpoint


class Endpoint(asyncio.Protocol):
    """One connection.  `POST /<milliseconds>/v1/chat/completions` is answered after that time."""

    def connection_made(self, transport: Any) -> None:
        self.transport, self.data = transport, b""
        self.loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        self.data += data
        head, found, body = self.data.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(re.search(rb"content-length: *(\d+)", head.lower())[1])  # type: ignore[index]
        if len(body) < length:
            return
        self.data = b""
        item = NUMBER.findall(body)[-1]
        reply = b'{"id":"x","object":"chat.completion","created":1,"model":"fake-model","choices":[{"index":0,'
        reply += b'"message":{"role":"assistant","content":"[[ ## answer ## ]]\\n%s\\n\\n[[ ## completed ## ]]"},'
        reply += b'"finish_reason":"stop"}],"usage":{"prompt_tokens":200,"completion_tokens":20,"total_tokens":220}}'
        reply %= expected(int(item)).encode()
        text = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
            len(reply),
            reply,
        )
        delay = int(head.split(b"/", 2)[1]) / 1000
        if delay:
            self.loop.call_later(delay, self.transport.write, text)
        else:
            self.transport.write(text)


async def serve(certificate: str | None) -> None:
    """Serve until killed; the port is printed."""
    tls = None
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Endpoint, "127.0.0.1", 0, backlog=4096, ssl=tls)
    print(server.sockets[0].getsockname()[1], flush=True)
    gc.freeze()
    await server.serve_forever()


@contextlib.contextmanager
def served(certificate: str | None = None) -> Iterator[str]:
    """A fake server in a process of its own: its URL, into which the latency goes."""
    command = [sys.executable, __file__, "--serve", certificate or "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        try:
            yield f"{'https' if certificate else 'http'}://127.0.0.1:{port}/{{latency}}/v1"
        finally:
            process.kill()


@contextlib.contextmanager
def certificates() -> Iterator[tuple[str, str]]:
    """(a server's key and certificate, the authority that vouches for it), as files."""
    import trustme

    authority = trustme.CA()
    with tempfile.TemporaryDirectory() as folder:
        server, root = Path(folder, "server.pem"), Path(folder, "authority.pem")
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(server))
        authority.cert_pem.write_to_path(str(root))
        yield str(server), str(root)


# -- one side, in its own process


class Job(SimpleNamespace):
    """What a side has to do."""


def job_of(task: dict[str, Any], count: int) -> Job:
    """The first `count` questions of a task."""
    items = range(100_000, 100_000 + count)
    return Job(
        n=count,
        concurrency=min(task["concurrency"], count),
        base_url=task["url"],
        questions=[f"What is the code of item-{item}?" for item in items],
        expected=[expected(item) for item in items],
        opts=task["opts"],
        metric_ms=0,
        burn=burn,
        timeout_s=300,
        stream=False,
    )


def memory(name: str) -> int:
    """A figure of this process, in MB."""
    with contextlib.suppress(OSError), open("/proc/self/status") as file:
        for line in file:
            if line.startswith(name):
                return int(line.split()[1]) // 1024
    return 0


def run(task: dict[str, Any]) -> dict[str, Any]:
    """Do it, after a few calls to warm up, and measure it."""
    sys.path[:] = [place for place in sys.path if Path(place).resolve() != HERE]  # a file here is named `actors`
    spec = importlib.util.spec_from_file_location("side", task["script"])
    assert spec is not None
    assert spec.loader is not None
    side = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(side)
    with contextlib.suppress(OSError, ValueError):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    small, job = job_of(task, 8), job_of(task, task["n"])
    side.work(side.setup(small), small)
    state = side.setup(job)
    gc.collect()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the memory so far
    before, begin = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    answers = side.work(state, job)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    right = sum(answer == wanted for answer, wanted in zip(answers, job.expected))  # noqa: B905
    return {
        "cpu": 1000 * used / job.n,
        "rate": job.n / wall,
        "wall": wall,
        "rss": memory("VmHWM:"),
        "right": right,
        "n": job.n,
    }


# -- the lines of the table


@dataclass(frozen=True)
class Side:
    """A column of a line: which script, in whose Python, with which options."""

    name: str
    script: str
    opts: dict[str, str] = field(default_factory=dict)
    peer: bool = False


@dataclass(frozen=True)
class Line:
    """A row: so many calls, so many at once, against a server of this latency (ms); the figure that counts."""

    what: str
    n: int
    concurrency: int
    latency: int
    figure: str
    sides: tuple[Side, ...]
    tls: bool = False


CALL = Side("dspex", "dspex_side.py", {"mode": "call"})
EVALUATE = Side("dspex Evaluate", "dspex_side.py")
TUNED = Side("DSPy tuned", "dspy_side.py", {"engine": "tuned", "mode": "call"}, peer=True)
THREADS = Side("DSPy tuned Evaluate", "dspy_side.py", {"engine": "tuned"}, peer=True)
INSTALLED = Side("DSPy", "dspy_side.py", {"engine": "auto"}, peer=True)
POST = Side("bare POST", "post_side.py", peer=True)

LINES = {
    "c1000": Line("CPU, 1,000 at once", 2000, 1000, 500, "cpu", (CALL, EVALUATE, TUNED, THREADS, INSTALLED, POST)),
    "c2000": Line("calls/s, 2,000 at once", 4000, 2000, 1000, "rate", (CALL, EVALUATE, TUNED, THREADS, INSTALLED)),
    "overhead": Line(
        "calls/s, one at a time",
        1000,
        1,
        0,
        "rate",
        (
            CALL,
            Side("dspex from a thread", "dspex_side.py", {"mode": "sync"}),
            TUNED,
            THREADS,
            INSTALLED,
        ),
    ),
    "c5000": Line("memory, 5,000 at once", 5000, 5000, 2000, "rss", (CALL, EVALUATE, TUNED)),
    "threads1000": Line("memory, 1,000 threads", 2000, 1000, 500, "rss", (CALL, THREADS)),
    "c10000": Line("10,000 at once", 10_000, 10_000, 5000, "rss", (CALL,)),
    "tls": Line("CPU, 1,000 at once, TLS", 2000, 1000, 500, "cpu", (CALL,), tls=True),
    "forward": Line(
        "CPU, `forward` beside `aforward`",
        2000,
        1000,
        500,
        "cpu",
        (
            Side("aforward", "dspex_side.py", {"mode": "call", "forward": "async"}),
            Side("forward", "dspex_side.py", {"mode": "call", "forward": "sync"}),
        ),
    ),
}


def measured(side: Side, line: Line, url: str, python: str, opts: dict[str, str], share: float) -> dict[str, Any]:
    """One run of one side."""
    count = max(line.concurrency, int(line.n * share))
    task = {
        "script": str(HERE / side.script),
        "n": count,
        "concurrency": line.concurrency,
        "url": url.format(latency=line.latency),
        "opts": {**side.opts, **opts},
    }
    command = [python, __file__, "--run", json.dumps(task)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError(f"{side.name}: {done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    if result["right"] != result["n"]:
        raise RuntimeError(f"{side.name}: {result['right']} of {result['n']} answers are right\n{done.stderr[-1000:]}")
    return result


UNITS = {"cpu": "{:.3f} ms", "rate": "{:.0f} /s", "rss": "{:.0f} MB"}


def report(line: Line, peer: str | None, reps: int, share: float, python_of: Callable[[Side], str]) -> None:
    """Measure a line and print it."""
    sides = [side for side in line.sides if not side.peer or peer]
    runs: dict[str, list[dict[str, Any]]] = {side.name: [] for side in sides}
    with contextlib.ExitStack() as stack:
        opts = {}
        server = None
        if line.tls:
            server, opts["certificate"] = stack.enter_context(certificates())
        url = stack.enter_context(served(server))
        for number in range(reps):
            for side in sides if number % 2 == 0 else reversed(sides):
                runs[side.name].append(measured(side, line, url, python_of(side), opts, share))
    own = runs[sides[0].name]
    print(f"\n{line.what}")
    for side in sides:
        found = runs[side.name]
        median = {key: statistics.median(one[key] for one in found) for key in UNITS}
        ratio = statistics.median(a[line.figure] / b[line.figure] for a, b in zip(own, found, strict=True))
        shown = "  ".join(unit.format(median[key]) for key, unit in UNITS.items())
        beside = "" if side is sides[0] else f"  {sides[0].name} is {ratio:.2f} of its {line.figure}"
        print(f"  {side.name:20} {shown}{beside}", flush=True)


def blocking(calls: int = 640, width: int = 64) -> None:
    """A `forward` that sleeps in `time.sleep(0.2)`, evaluated `width` at a time, beside as many plain threads.

    That it blocks is not known beforehand: finding out is part of the time of the first evaluation.
    """
    import dspex

    class Echoes(dspex.Module):
        def forward(self, question: str) -> dspex.Prediction:
            return dspex.Prediction(answer=question)

    class Sleeps(dspex.Module):
        def forward(self, question: str) -> dspex.Prediction:
            time.sleep(0.2)
            return dspex.Prediction(answer=question)

    examples = [dspex.Example(question=str(n), answer=str(n)).with_inputs("question") for n in range(calls)]

    def exact(example: Any, prediction: Any, trace: Any = None) -> bool:
        return bool(example.answer == prediction.answer)

    begin = time.perf_counter()
    with ThreadPoolExecutor(width) as pool:
        list(pool.map(lambda _: time.sleep(0.2), range(calls)))
    threads = time.perf_counter() - begin
    ours = []
    with dspex.System("benchmark", store=False, control_socket=False):
        evaluate = dspex.Evaluate(devset=examples, metric=exact, num_workers=width, display_progress=False)
        evaluate(Echoes())  # so that everything is imported
        for _ in range(2):
            begin = time.perf_counter()
            assert evaluate(Sleeps()).score == 100
            ours.append(time.perf_counter() - begin)
    print(f"\n`time.sleep(0.2)` in forward, {calls} examples, {width} at a time")
    print(f"  plain threads          {threads:.2f} s")
    print(f"  dspex, finding it out  {ours[0]:.2f} s  {ours[0] / threads:.2f} of plain threads")
    print(f"  dspex, from then on    {ours[1]:.2f} s  {ours[1] / threads:.2f} of plain threads")


def refused(calls: int = 2000) -> None:
    """How long a call takes that an open breaker refuses: nobody listens on the endpoint's port."""
    import dspex

    def median(call: Callable[[], Any]) -> float:
        taken = []
        for _ in range(calls):
            begin = time.perf_counter()
            try:
                call()
            except dspex.BreakerOpenError:
                taken.append(time.perf_counter() - begin)
            except dspex.LMError:
                continue
        return 1e6 * statistics.median(taken)

    patient = dspex.lm.BreakerPolicy(open_for=60.0, longest=60.0)
    lm = dspex.LM(
        "openai/m", base_url="http://127.0.0.1:9/v1", api_key="x", cache=False, num_retries=0, breaker=patient
    )
    with dspex.System("benchmark", lm=lm, store=False, control_socket=False) as system:
        program = system.spawn(dspex.Predict("question -> answer"), name="answer")
        print("\nrefused by an open breaker, median, from a thread")
        print(f"  a spawned program      {median(lambda: program(question='x')):.0f} us")
        print(f"  the model alone        {median(lambda: lm('x')):.0f} us")


ALONE = {"blocking": blocking, "refused": refused}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="an interpreter that has DSPy")
    parser.add_argument("--post", help="an interpreter that has httpx-aiohttp; the peer by default")
    parser.add_argument("--line", action="append", choices=[*LINES, *ALONE])
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="scales the number of calls")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        with contextlib.suppress(OSError, ValueError):
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        asyncio.run(serve(None if args.serve == "-" else args.serve))
        return
    if args.run:
        print(json.dumps(run(json.loads(args.run))), flush=True)
        os._exit(0)  # a peer may have threads that never end

    def python_of(side: Side) -> str:
        if not side.peer:
            return sys.executable
        return str((args.post if side is POST else None) or args.peer)

    for name in args.line or [*LINES, *ALONE]:
        if name in ALONE:
            ALONE[name]()
        else:
            report(LINES[name], args.peer, args.reps, args.share, python_of)


if __name__ == "__main__":
    main()
