"""The bare client of the comparison in `calls.py`: a POST for each question with httpx over aiohttp, no program."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import httpx_aiohttp


def setup(job: Any) -> list[dict[str, Any]]:
    """The bodies of the requests: of the size that a prompt for this signature has."""
    system = "You are given the input field `question` and produce the output field `answer`. " * 6
    form = (
        "\n\nReply with the output fields only, starting with [[ ## answer ## ]], and close with [[ ## completed ## ]]."
    )
    return [
        {
            "model": "fake-model",
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": f"[[ ## question ## ]]\n{question}{form}"},
            ],
        }
        for question in job.questions
    ]


def work(state: list[dict[str, Any]], job: Any) -> list[Any]:
    """The answers."""
    return asyncio.run(posted(state, job))


async def posted(bodies: list[dict[str, Any]], job: Any) -> list[Any]:
    """The answers, `job.concurrency` requests at a time."""
    limits = httpx.Limits(max_connections=0, max_keepalive_connections=None)  # 0: httpx-aiohttp's word for no limit
    transport = httpx_aiohttp.AiohttpTransport(limits=limits)
    answers: list[Any] = [None] * len(bodies)
    async with httpx.AsyncClient(
        transport=transport, timeout=job.timeout_s, headers={"authorization": "Bearer x"}
    ) as client:

        async def caller(numbers: Any) -> None:
            for number in numbers:
                reply = await client.post(f"{job.base_url}/chat/completions", json=bodies[number])
                text = reply.json()["choices"][0]["message"]["content"]
                answers[number] = text.split("]]\n", 1)[1].split("\n", 1)[0]

        numbers = iter(range(len(bodies)))
        await asyncio.gather(*(caller(numbers) for _ in range(job.concurrency)))
    return answers
