"""`Parallel`: many calls at a time, their results in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from dspex._settings import settings
from dspex.predict._module import NativeModule
from dspex.primitives import Example
from dspex.programs._errors import ParallelError

if TYPE_CHECKING:
    from dspex.callbacks import BaseCallback

__all__ = ["Parallel"]

_log = logging.getLogger("dspex")


class Parallel(NativeModule):
    """Runs (module, example) pairs, `num_threads` at a time; the results are in the order of the pairs.

    An example is an `Example` (its inputs are given), a dict (its items are), a tuple or a list (positional arguments).
    A call that fails has the result None.  When `max_errors` calls have failed, nothing more is begun, what runs is
    cancelled, and `ParallelError` is raised, which has all results so far.  With `return_failed_examples` the answer is
    (results, failed examples, their exceptions).  `timeout` is for each call, in seconds.  No threads are used unless a
    program blocks; no progress bar is drawn; `disable_progress_bar`, `straggler_limit` are accepted for old code.
    """

    def __init__(
        self,
        num_threads: int | None = None,
        max_errors: int | None = None,
        access_examples: bool = True,
        return_failed_examples: bool = False,
        provide_traceback: bool | None = None,
        disable_progress_bar: bool = False,
        timeout: float | None = None,
        straggler_limit: int | None = None,
        callbacks: list[BaseCallback] | None = None,
    ) -> None:
        super().__init__(callbacks)
        self.num_threads = num_threads
        self.max_errors = max_errors
        self.access_examples = access_examples
        self.return_failed_examples = return_failed_examples
        self.provide_traceback = provide_traceback
        self.call_timeout = timeout

    async def aforward(self, exec_pairs: Iterable[tuple[Any, Any]], num_threads: int | None = None) -> Any:
        """Run them all."""
        pairs = list(exec_pairs)
        width = num_threads or self.num_threads or settings.num_threads
        limit = self.max_errors if self.max_errors is not None else settings.max_errors
        results: list[Any] = [None] * len(pairs)
        failures: dict[int, BaseException] = {}
        queue = iter(range(len(pairs)))
        workers = [
            asyncio.ensure_future(self._work(queue, pairs, results, failures, limit))
            for _ in range(min(width, len(pairs)))
        ]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
        failed = sorted(failures)
        if failures and len(failures) >= limit:
            raise ParallelError(
                f"{len(failures)} calls failed, and max_errors is {limit}: no more were begun. The first error was "
                f"{type(failures[failed[0]]).__name__}: {failures[failed[0]]}",
                results=results,
                failed=failed,
                exceptions=[failures[index] for index in failed],
            ) from failures[failed[0]]
        if self.return_failed_examples:
            return results, [pairs[index][1] for index in failed], [failures[index] for index in failed]
        return results

    async def _work(
        self,
        queue: Iterator[int],
        pairs: list[tuple[Any, Any]],
        results: list[Any],
        failures: dict[int, BaseException],
        limit: int,
    ) -> None:
        for index in queue:
            if failures and len(failures) >= limit:
                return
            module, example = pairs[index]
            try:
                results[index] = await self._one(module, example)
            except Exception as error:  # noqa: BLE001  one call's failure is that call's result
                failures[index] = error
                trace = self.provide_traceback
                detailed = settings.provide_traceback if trace is None else trace
                _log.error("call %d failed: %s: %s", index, type(error).__name__, error, exc_info=detailed)

    async def _one(self, module: Any, example: Any) -> Any:
        args, inputs = self._arguments(example)
        if self.call_timeout is not None:
            inputs["timeout"] = self.call_timeout
        call = getattr(module, "acall", None)
        if call is not None:
            return await call(*args, **inputs)
        from dspex.programs._running import call_function

        return await call_function(module, *args, **inputs)

    def _arguments(self, example: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if isinstance(example, Example):
            if not self.access_examples:
                return (example,), {}
            return (), dict(example.inputs().items())
        if isinstance(example, dict):
            return (), dict(example)
        if isinstance(example, tuple):
            return example, {}
        if isinstance(example, list):
            return (example,), {}
        raise TypeError(f"An example is an Example, a dict, a tuple or a list, not {type(example).__name__}.")
