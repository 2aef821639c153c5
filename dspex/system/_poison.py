"""Inputs that end the actors they are given to: counted, and refused when they have done it too often."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from dspex._errors import DspexError

if TYPE_CHECKING:
    from actors import Scheduler
    from dspex.quarantine import Quarantine
    from dspex.store import QuarantinedInput, Store
    from dspex.system._redact import Redactor
    from dspex.system._storage import Storage

__all__ = ["Poison", "inputs_of"]

_replayed: Final[ContextVar[str | None]] = ContextVar("dspex.replayed", default=None)
"""The quarantined input that is being replayed in this context, and so is not refused."""


def inputs_of(args: tuple[Any, ...], inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a call is given, as one mapping."""
    return {"$args": list(args), **inputs} if args else inputs


class Poison:
    """The quarantine of a running system.  Any thread.

    It is opened with the store, by whatever first needs that; then what was set aside in earlier processes is known,
    too.  `strike` and `reload` return at once, and the disk is waited for elsewhere.
    """

    def __init__(self, scheduler: Scheduler, storage: Storage, redactor: Redactor, after: int) -> None:
        self._scheduler = scheduler
        self._storage = storage
        self._redactor = redactor
        self._after = after
        self._quarantine: Quarantine | None = None
        self._lock = threading.Lock()
        storage.on_open = lambda store: self.reload()

    def quarantine(self, store: Store) -> Quarantine:
        """The quarantine in this store, made by the first who asks."""
        with self._lock:
            if self._quarantine is None:
                from dspex.quarantine import Quarantine

                self._quarantine = Quarantine(store, after=self._after, on_change=self._tell)
            return self._quarantine

    def refusal(self, program: str, args: tuple[Any, ...], inputs: Mapping[str, Any]) -> BaseException | None:
        """Why this input is not given to a program; None if it may be."""
        quarantine = self._quarantine
        if quarantine is None or not quarantine.blocks(program):
            return None
        from dspex.quarantine import QuarantinedError

        try:
            quarantine.check(program, inputs_of(args, inputs))
        except QuarantinedError as error:
            return None if _replayed.get() == error.key else error
        return None

    def strike(self, program: str, inputs: Any, error: BaseException | None) -> None:
        """An actor died under these inputs."""
        if self._storage.enabled and self._scheduler.running:
            self._scheduler.run_blocking(self._strike, program, inputs, error)

    def _strike(self, program: str, inputs: Any, error: BaseException | None) -> None:
        reason = "its worker was killed" if error is None else f"{type(error).__name__}: {error}"
        self._at_work(lambda quarantine: quarantine.strike(program, inputs, reason=self._redactor.words(reason)))

    def reload(self) -> None:
        """Look again at what is set aside: another process may have changed it."""
        if self._scheduler.running:
            self._scheduler.run_blocking(self._at_work, lambda quarantine: quarantine.refresh())

    def _at_work(self, act: Any) -> None:
        """Do something with the quarantine, on a thread.  A disk that does not let it costs the memory of it only."""
        from dspex.store import StoreError

        store = self._storage.store
        if store is None:
            return
        try:
            act(self.quarantine(store))
        except StoreError as error:
            self._scheduler.log.error("quarantine.unavailable", reason=self._redactor.text(str(error)))
            self._scheduler.events.emit("quarantine.unavailable", {}, {"reason": str(error)})

    def replay(self, key: str, programs: Mapping[str, Any], timeout: float | None) -> Any:
        """Give a quarantined input to its program once more; when that goes well, it is forgotten.

        Raises:
            NotFoundError, NotReplayableError: there is no such input, or it was kept as text only.
            LookupError: its program does not run here.
        """
        store = self._storage.store
        if store is None:
            raise DspexError("a system that keeps nothing has no quarantine")

        def run(found: QuarantinedInput) -> Any:
            program = programs.get(found.program)
            if program is None:
                running = ", ".join(sorted(programs)) or "none"
                raise LookupError(f"no program {found.program!r} runs here to replay the input (running: {running})")
            inputs = dict(found.payload)
            arguments = inputs.pop("$args", ())
            token = _replayed.set(found.key)
            try:
                return program.call(*arguments, **inputs).get(timeout=timeout)
            finally:
                _replayed.reset(token)

        return self.quarantine(store).replay(key, run)

    def _tell(self, what: str, found: QuarantinedInput) -> None:
        reason = None if not self._redactor.prompts else found.reason
        about = {"program": found.program, "key": found.key, "state": found.state, "reason": reason}
        self._scheduler.events.emit(f"quarantine.{what}", {"kills": found.kills}, about)
