"""The record of calls that people read when something looks wrong: bounded, without secrets."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any, TextIO

from dspex._settings import settings

from ._types import LMRequest, LMResponse

# What was called most recently in this process, by whichever LM: a debugging record like a terminal's scrollback, and
# the one piece of module state here. `inspect_history()` reads it.
_recent: deque[dict[str, Any]] = deque(maxlen=1000)
_numbers = count(1)


def entry_of(
    model: str, model_type: str, request: LMRequest, response: LMResponse, outputs: list[Any]
) -> dict[str, Any]:
    """A call as history shows it, under the names that DSPy's users know."""
    return {
        "prompt": request.prompt,
        "messages": request.messages,
        "kwargs": request.params,
        "response": response,
        "outputs": outputs,
        "usage": response.usage,
        "cost": response.cost,
        "cached": response.cached,
        "timestamp": datetime.now(UTC),
        "uuid": next(_numbers),
        "model": model,
        "response_model": response.model,
        "model_type": model_type,
    }


def remember(history: list[dict[str, Any]], entry: dict[str, Any]) -> None:
    """Add `entry` to an LM's history, to those of the modules that called it, and to the process's recent calls."""
    limit = settings.max_history_size
    if limit <= 0:
        return
    _recent.append(entry)
    _append(history, entry, limit)
    for module in settings.caller_modules or ():
        own = getattr(module, "history", None)
        if isinstance(own, list):
            _append(own, entry, limit)


def _append(history: list[dict[str, Any]], entry: dict[str, Any], limit: int) -> None:
    history.append(entry)
    if len(history) > limit + limit // 8:  # trimmed now and then: trimming moves the whole list
        del history[:-limit]


def inspect_history(n: int = 1, file: TextIO | None = None) -> None:
    """Print the last `n` calls of any LM in this process."""
    pretty_print_history(list(_recent), n, file)


def pretty_print_history(history: Sequence[dict[str, Any]], n: int = 1, file: TextIO | None = None) -> None:
    """Print the last `n` entries of a history, as a conversation each."""
    entries = history[-n:] if n > 0 else ()
    out = file if file is not None else sys.stdout
    for entry in entries:
        usage = entry["usage"]
        note = " (cached)" if entry.get("cached") else ""
        print(f"\n--- {entry['timestamp']:%Y-%m-%d %H:%M:%S} {entry['model']}{note}\n", file=out)
        for message in entry["messages"] or [{"role": "prompt", "content": entry["prompt"]}]:
            print(f"{message['role'].capitalize()}:\n", file=out)
            print(_readable(message.get("content")), file=out)
            for call in message.get("tool_calls") or ():
                print(f"[calls {call['function']['name']}({call['function'].get('arguments', '')})]", file=out)
            print(file=out)
        outputs = entry["response"].outputs
        for number, output in enumerate(outputs):
            title = "Reply" if len(outputs) == 1 else f"Reply {number + 1} of {len(outputs)}"
            print(
                f"{title} ({output.stop_reason}, {usage.prompt_tokens}+{usage.completion_tokens} tokens):\n", file=out
            )
            if output.reasoning:
                print(f"[reasoning] {output.reasoning}\n", file=out)
            print(output.text, file=out)
            for call in output.tool_calls:
                print(f"[calls {call.name}({call.arguments or call.raw or ''})]", file=out)
        print(file=out)


def _readable(content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    shown = []
    for part in content:
        if part.get("type") == "text":
            shown.append(part["text"])
        elif part.get("type") == "image_url":
            image = part["image_url"]
            url = image["url"] if isinstance(image, dict) else image
            shown.append(f"[image {url if len(url) <= 80 else url[:60] + f'... {len(url)} characters'}]")
        else:
            shown.append(f"[{part.get('type')}]")
    return "\n".join(shown)
