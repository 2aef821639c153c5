"""CPU per HTTP exchange of dspex's transports beside bare aiohttp and httpx-aiohttp. Run by hand:

    python tests/benchmarks/transport.py --url http://127.0.0.1:8500/v1 [--n 4000] [--concurrency 1000] [--reps 3]

The server must answer OpenAI chat completions (any fake one with a fixed latency will do) and should run on a core
of its own. Each side runs in a fresh process, pinned to core 0; CPU is user + system of that process. The first
side is the base of the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

SIDES = ["httpx-aiohttp", "aiohttp", "dspex", "dspex-aiohttp", "dspex-httpx"]
Fetch = Callable[[bytes], Awaitable[bytes]]


def body(i: int) -> bytes:
    text = f"[[ ## question ## ]]\nWhat is the code of item-{i}?\n\nRespond with the output fields, "
    text += "starting with the field `[[ ## answer ## ]]`, and then ending with `[[ ## completed ## ]]`."
    messages = [
        {"role": "system", "content": "Your input fields are: question. " * 8},
        {"role": "user", "content": text},
    ]
    return json.dumps({"model": "fake", "messages": messages}).encode()


async def open_side(name: str, url: str) -> tuple[Fetch, Callable[[], Awaitable[None]]]:
    headers = {"authorization": "Bearer x", "content-type": "application/json"}
    if name == "aiohttp":
        import aiohttp

        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar())

        async def fetch(data: bytes) -> bytes:
            async with session.post(url, data=data, headers=headers) as reply:
                return await reply.read()

        return fetch, session.close
    if name == "httpx-aiohttp":
        import httpx
        import httpx_aiohttp

        limits = httpx.Limits(max_connections=0, max_keepalive_connections=None)
        client = httpx.AsyncClient(transport=httpx_aiohttp.AiohttpTransport(limits=limits), timeout=60)

        async def fetch(data: bytes) -> bytes:
            return (await client.post(url, content=data, headers=headers)).content

        return fetch, client.aclose

    from dspex.lm import DirectTransport
    from dspex.lm._aiohttp import AiohttpTransport
    from dspex.lm._httpx import HttpxTransport, as_httpx

    transport: Any
    if name == "dspex":
        transport = DirectTransport()
    elif name == "dspex-aiohttp":
        transport = AiohttpTransport()
    else:
        transport = HttpxTransport(as_httpx(DirectTransport()))

    async def fetch(data: bytes) -> bytes:
        return bytes((await transport.send("POST", url, headers, data)).body)

    return fetch, transport.aclose


async def measure(name: str, base: str, n: int, concurrency: int) -> dict[str, float]:
    fetch, close = await open_side(name, f"{base}/chat/completions")
    bodies = [body(i) for i in range(n)]

    async def worker(numbers: Any) -> None:
        for i in numbers:
            content = json.loads(await fetch(bodies[i]))["choices"][0]["message"]["content"]
            assert "value-" in content, content

    for i in range(8):
        await fetch(bodies[i])
    gc.collect()
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    numbers = iter(range(n))
    await asyncio.gather(*(worker(numbers) for _ in range(concurrency)))
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    await close()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu_ms": 1000 * cpu / n, "calls_per_s": n / wall, "rss_mb": after.ru_maxrss / 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--n", type=int, default=4000)
    parser.add_argument("--concurrency", type=int, default=1000)
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--side", action="append", choices=SIDES)
    parser.add_argument("--one", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(asyncio.run(measure(args.one, args.url, args.n, args.concurrency))))
        return
    sides = args.side or SIDES
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for _ in range(args.reps):
        for side in sides:
            command = ["taskset", "-c", "0", sys.executable, __file__, "--url", args.url, "--one", side]
            command += ["--n", str(args.n), "--concurrency", str(args.concurrency)]
            runs[side].append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    base = statistics.median(run["cpu_ms"] for run in runs[sides[0]])
    for side in sides:
        cpu, rate, rss = (statistics.median(r[k] for r in runs[side]) for k in ("cpu_ms", "calls_per_s", "rss_mb"))
        print(f"{side:15} {cpu:7.3f} ms/call  x{cpu / base:.2f}  {rate:6.0f} calls/s  {rss:5.0f} MB")


if __name__ == "__main__":
    main()
