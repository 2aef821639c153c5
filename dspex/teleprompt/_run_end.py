"""How an optimization run has come out: what ended it, what is kept of it, and the program."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from actors import Killed, Shutdown, Timeout
from dspex._errors import DspexError
from dspex.evaluate._failures import FailureKind
from dspex.evaluate._source import EvaluationEndedError

from ._errors import RunPausedError, TeleprompterError
from ._options import OptimizationSummary
from ._programs import CandidatePrograms, apply, describe
from ._requests import Found

if TYPE_CHECKING:
    from dspex.evaluate._progress import Progress
    from dspex.predict import Module

    from ._driver import Driver
    from ._run_actor import RunSource
    from ._store_journal import StoreJournal
    from ._stored_run import Status, StoredRun

_PATIENT = 1.0  # seconds for which the last steps of a run that is to end now may wait for a disk that refuses

_HALTED = {
    FailureKind.OUTAGE: "was stopped by an outage",
    FailureKind.RATE_LIMIT: "was stopped by the provider's rate limit",
    FailureKind.REFUSED: "was refused by the provider",
}

_log = logging.getLogger("dspex.teleprompt")


class RunEnd:
    """The end of one sitting of a run: its actors are gone. ``found`` is what it leaves, the best so far if it has not
    come to its own end. ``going_on`` says how it is taken up again.
    """

    def __init__(
        self,
        run_id: str,
        kind: str,
        student: Module,
        driver: Driver[Found],
        source: RunSource,
        progress: Progress,
        spent: Callable[[], tuple[int, float | None]],
        stored: StoredRun | None,
        going_on: str,
    ) -> None:
        self._run_id = run_id
        self._kind = kind
        self._student = student
        self._driver = driver
        self._source = source
        self._progress = progress
        self._spent = spent
        self._stored = stored
        self._going_on = going_on
        ranked = driver.ranked
        self.found = driver.result or (Found.among(ranked) if ranked else Found(describe(student).candidate))

    @property
    def failures(self) -> dict[str, int]:
        """How many units failed, by kind."""
        return {str(kind): count for kind, count in self._progress.counts.items()}

    # -- what ended it

    def cause(self, error: BaseException | None, told_to_end: str | None) -> tuple[BaseException | None, str | None]:
        """The error that the caller gets, None if it is the program, and why the run stopped before its own end.

        ``error`` is that of its actors, ``told_to_end`` what it was told from outside.
        """
        stopped = self._driver.stopped
        if isinstance(error, EvaluationEndedError):
            if told_to_end is not None:
                error, stopped = None, told_to_end  # it was told before its actors were up
            elif isinstance(error.reason, Shutdown | Killed):
                return self._paused("was stopped with its system", "interrupted", error), "interrupted"
        if error is None:
            error = self._lost() if stopped == "lost" else self._halted()
        return error, stopped

    def _halted(self) -> BaseException | None:
        halted, driver = self._source.halted, self._driver
        if driver.stopped == "max_errors":
            why = f"was stopped by max_errors: {driver.failure.rstrip('.')}"
            return self._paused(why, "max_errors", self._source.failure, " with a larger max_errors")
        if halted is None or driver.stopped == "budget":
            return None
        why = f"{_HALTED.get(halted.kind, f'was stopped by {halted.kind}')}: {halted.reason.rstrip('.')}"
        return self._paused(why, str(halted.kind), halted.error)

    def _paused(self, why: str, reason: str, cause: BaseException | None, with_: str = "") -> RunPausedError:
        kept = "Without a store nothing of it is kept"
        if self._stored is not None:
            kept = f"Nothing is lost: {self._going_on}{with_}"
        best = self._driver.best
        error = RunPausedError(
            f"run {self._run_id!r} {why}. {kept}.",
            run_id=self._run_id,
            reason=reason,
            best=None if best is None else apply(best.candidate, self._student),
        )
        error.__cause__ = cause
        return error

    def _lost(self) -> BaseException:
        return TeleprompterError(
            f"run {self._run_id!r} was taken over by another process, because this one gave no sign of life: that one "
            "goes on with it"
        )

    # -- what is kept

    def keep(
        self,
        error: BaseException | None,
        stopped: str | None,
        log_dir: str | Path | None,
        is_hurried: Callable[[], bool],
    ) -> None:
        """Write how it came out. A disk that refuses is waited for, unless the run is to end now."""
        try:
            if self._source.journal is not None:
                self._write_last(self._source.journal, is_hurried)
            self._close(error, stopped)
        except DspexError as failure:
            if not is_hurried():
                raise
            _log.error("run %s could not write how far it is: %s", self._run_id, failure)
        if log_dir is not None:
            try:
                CandidatePrograms(self._student, self.found.ranked).save(log_dir)
            except OSError as failure:
                _log.error("the candidates of run %s could not be written to log_dir: %s", self._run_id, failure)

    def _write_last(self, journal: StoreJournal, is_hurried: Callable[[], bool]) -> None:
        committed = journal.committed()
        while True:
            try:
                committed.get(timeout=_PATIENT)
                return
            except Timeout:
                if committed.done() or not is_hurried() or journal.refused is None:
                    continue
            journal.give_up(
                TeleprompterError(f"{journal.pending} records are not on disk, and are lost: {journal.refused}")
            )

    def _close(self, error: BaseException | None, stopped: str | None) -> None:
        if self._stored is None or stopped == "lost":
            return
        summary = {
            "best": self.found.best.to_json(),
            "candidates": len(self.found.ranked),
            "stopped": stopped,
            "error": None if error is None else f"{type(error).__name__}: {error}",
            "failures": self.failures,
            "calls": self._progress.calls,
            "cached": self._progress.cached,
        }
        self._stored.close(status_of(error, stopped), summary, self.found.score, *self._spent())

    # -- what comes of it

    def program(self, stopped: str | None) -> Module:
        """The student's copy with the best candidate in it."""
        found = self.found
        program = apply(found.best, self._student)
        program._compiled = True
        vars(program)["candidate_programs"] = CandidatePrograms(self._student, found.ranked)
        vars(program)["optimization"] = OptimizationSummary(
            self._run_id, self._kind, found.score, len(found.ranked), stopped, self.failures, *self._spent()
        )
        return program


def status_of(error: BaseException | None, stopped: str | None) -> Status:
    """How a run that has ended stands."""
    if isinstance(error, RunPausedError) or stopped == "interrupted":
        return "paused"
    if error is not None:
        return "failed"
    return "cancelled" if stopped == "cancelled" else "done"
