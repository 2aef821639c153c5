"""How an actor is to be started, beyond its constructor's arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from actors._errors import ActorError, StartError, Timeout
from actors._exits import Crash
from actors._reply import Reply

if TYPE_CHECKING:
    from actors._mailbox import Bounded
    from actors._process import Process
    from actors._ref import ActorRef
    from actors._scheduler import Scheduler

__all__ = ["Options", "Starter"]

P = TypeVar("P", bound="Process")


@dataclass(frozen=True, slots=True)
class Options:
    """
    scheduler: where it runs; by default that of the caller.
    name: any hashable, unique among the living actors of the scheduler; free again when the actor ends.
    mailbox: `Bounded(limit, overflow)`; unbounded by default.
    link: link it to the calling actor, its parent.
    trap_exit: whether exit signals come as messages, from the first moment on.
    timeout: seconds that `on_start` may take when the start is waited for; then the actor is killed.
    """

    scheduler: Scheduler | None = None
    name: Any = None
    mailbox: Bounded | None = None
    link: bool = False
    trap_exit: bool = False
    timeout: float | None = None


class Starter(Generic[P]):
    """An actor class with options: has its `start` and `start_link`."""

    __slots__ = ("_actor_class", "_options")

    def __init__(self, actor_class: type[P], options: Options) -> None:
        self._actor_class = actor_class
        self._options = options

    def start(self, *args: Any, **kwargs: Any) -> ActorRef[P]:
        """As `Actor.start`.

        Raises:
            NameTakenError: a living actor has the name.
        """
        return self._actor_class._launch(self._options, args, kwargs)._ref

    def start_link(self, *args: Any, **kwargs: Any) -> Reply[ActorRef[P] | None]:
        """As `Actor.start_link`."""
        from dataclasses import replace

        return Starter(self._actor_class, replace(self._options, link=True)).start_wait(*args, **kwargs)

    def start_wait(self, *args: Any, **kwargs: Any) -> Reply[ActorRef[P] | None]:
        """Start it; the reply is there when `on_start` has returned (see `Actor.start_link`), linked or not."""
        started: Reply[Any] = Reply()
        try:
            actor = self._actor_class._launch(self._options, args, kwargs, started)
        except ActorError as error:
            started.set_exception(error)
            return started
        except Exception as error:  # noqa: BLE001  a constructor that raises is a start that fails
            started.set_exception(StartError(self._actor_class, Crash.of(error)))
            return started
        if self._options.timeout is not None and not started.done():
            self._limit(actor._ref, started, self._options.timeout)
        return started

    def _limit(self, ref: ActorRef[P], started: Reply[Any], timeout: float) -> None:
        def too_late() -> None:
            error = Timeout(f"on_start took longer than {timeout} s")
            if started.set_exception(StartError(self._actor_class, Crash.of(error))):
                ref.kill()

        timer = ref.scheduler.call_later(timeout, too_late)
        started.add_done_callback(lambda _: timer.cancel())
