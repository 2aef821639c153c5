"""What a system offers to the programs on it and to whoever holds it: models, store, events, quarantine, letters."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from actors import ActorRef, Clock, ForkedError, Scheduler
from dspex.programs._call import Call, current_call
from dspex.programs._errors import SystemClosedError
from dspex.programs._placement import Placement
from dspex.programs._program_ref import ProgramRef
from dspex.system._config import SystemConfig
from dspex.system._keeper import announce
from dspex.system._letters import Postmaster, letter_target
from dspex.system._poison import Poison, inputs_of
from dspex.system._recorder import Recorder
from dspex.system._redact import Redactor
from dspex.system._storage import Storage

if TYPE_CHECKING:
    from dspex.lm import LmPart, LmService
    from dspex.quarantine import DeadLetters, Quarantine
    from dspex.store import Store

__all__ = ["Services"]


class Services:
    """The state of a system and its services.  Nothing runs before `start`; any thread."""

    recorder: Recorder
    postmaster: Postmaster

    def __init__(
        self, config: SystemConfig, settings: Mapping[str, Any], scheduler: Scheduler, store: Store | None
    ) -> None:
        self.config = config
        self.name = config.name
        self.settings: Mapping[str, Any] = MappingProxyType(dict(settings))
        self.scheduler = scheduler
        self.shutdown_timeout = config.drain_timeout
        self.started_at = time.time()
        self.instance = 0
        self.problems: dict[str, str] = {}
        self.control_socket: Path | None = None
        self.runs: dict[str, Any] = {}
        self.programs: dict[str, ProgramRef] = {}
        self.root: ActorRef[Any] | None = None
        self.redactor = Redactor(prompts=not config.redact_prompts)
        self.storage = Storage(config, store, announce(scheduler))
        self.placement = Placement(scheduler.blocking)
        self.poison = Poison(scheduler, self.storage, self.redactor, config.quarantine_after)
        self._lm_part: LmPart | None = None
        self._state = "new"
        self._lock = threading.Lock()

    # -- does it run

    @property
    def running(self) -> bool:
        """True from `start` until `close` has ended all calls, in the process that started it."""
        return self._state in ("running", "closing") and self.scheduler.running

    @property
    def accepting(self) -> bool:
        """True while new calls are taken: until `close` begins."""
        return self._state == "running" and self.scheduler.running

    def refusal(self) -> BaseException | None:
        """Why a new call cannot be taken now; None if it can, or if it belongs to a call that is at work."""
        if self.accepting or (self.running and current_call.get() is not None):
            return None
        return self._closed("nothing runs on it")

    def _closed(self, consequence: str) -> BaseException:
        if self._state in ("running", "closing") and not self.scheduler.running:
            return ForkedError(self.name)
        state = "new" if self._state == "new" else "closing" if self._state == "closing" else "closed"
        hint = {"new": "start it, or use it in `with`", "closing": "make another", "closed": "make another"}[state]
        words = {"new": "has not been started", "closing": "is shutting down", "closed": "has been closed"}[state]
        return SystemClosedError(f"The system {self.name!r} {words}: {consequence}; {hint}.")

    # -- what it offers

    @property
    def lm(self) -> Any:
        """The language model of this system, if it has one of its own."""
        return self.settings.get("lm")

    @property
    def clock(self) -> Clock:
        return self.scheduler.clock

    @property
    def events(self) -> Any:
        return self.scheduler.events

    @property
    def registry(self) -> Any:
        return self.scheduler.registry

    @property
    def store(self) -> Store | None:
        """What outlives the process; None if nothing is to be kept.  Opened by the first use."""
        return self.storage.store

    @property
    def lm_service(self) -> LmService:
        """The pools and the cache."""
        if self._lm_part is None:
            raise self._closed("it has no pools")
        return self._lm_part.service

    @property
    def quarantine(self) -> Quarantine:
        """Inputs that kill workers.

        Raises:
            LookupError: this system keeps nothing.
        """
        return self.poison.quarantine(self._kept("quarantine"))

    @cached_property
    def dead_letters(self) -> DeadLetters:
        """Calls that reached no program.  See also `replay`.

        Raises:
            LookupError: this system keeps nothing.
        """
        from dspex.quarantine import DeadLetters

        return DeadLetters(self._kept("dead letters"), keep=self.storage.put)

    def _kept(self, what: str) -> Store:
        store = self.store
        if store is None:
            raise LookupError(f"the system {self.name!r} keeps nothing (store=False): it has no {what}")
        return store

    def refuses(self, program: str, call: Call) -> BaseException | None:
        """Why a call is not given to a program: its input is quarantined.  Never waits."""
        return self.poison.refusal(program, call.args, call.inputs)

    def struck(self, program: str, call: Call, error: BaseException) -> None:
        """A call has ended the actor that it ran in.  Any thread; never waits."""
        self.poison.strike(program, inputs_of(call.args, call.inputs), error)

    def strike(self, program: str, inputs: Any, error: BaseException | None) -> None:
        """A worker died under these inputs of a program.  Any thread; never waits."""
        self.poison.strike(program, inputs, error)

    def conceal(self, secret: str) -> None:
        """Let this appear in nothing that the system shows or keeps.  Keys of language models are known by
        themselves.  Any thread."""
        self.redactor.conceal(secret)
        self.storage.conceal_if_long(secret)

    def record(self, record: Any) -> None:
        """Let the store keep something soon (a `dspex.store` record).  Any thread; never waits for the disk."""
        self.storage.put(record)

    def undelivered(self, target: str, call: Call, reason: str) -> None:
        """A call that was meant for a program reached nobody: it becomes a dead letter.  Any thread; never waits."""
        self.postmaster.keep(target, call, reason)

    def live_runs(self) -> dict[str, Any]:
        """The optimization runs that live here, by id."""
        return dict(self.runs)

    def replay(self, letter_id: str, *, timeout: float | None = 30.0) -> Any:
        """Send a dead letter to the running program that it was meant for, and return its answer.

        Raises:
            NotFoundError, NotReplayableError, LookupError: there is no such letter, it was dealt with or cannot be
                sent again, or its program does not run here.
        """

        def deliver(letter: Any) -> Any:
            inputs = dict(letter.payload)
            arguments = inputs.pop("$args", ())
            return letter_target(self.programs, letter.target).call(*arguments, **inputs).get(timeout=timeout)

        return self.dead_letters.replay(letter_id, deliver)

    def replay_input(self, key: str, *, timeout: float | None = 30.0) -> Any:
        """Give a quarantined input once more to the running program that it is of, and return the answer.  When there
        is one, the input is forgotten.

        Raises:
            NotFoundError, NotReplayableError, LookupError: there is no such input, it cannot be sent again, or its
                program does not run here.
        """
        return self.poison.replay(key, self.programs, timeout)
