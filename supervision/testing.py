"""Chaos: crash, hang, slow down or kill any path of a running tree, on a seeded schedule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, TypeAlias

from actors import ActorDeadError, ActorRef, Crash, Reply
from supervision._errors import SpecError
from supervision._published import supervisor_of

__all__ = ["Chaos", "Fault", "FaultKind", "ref_at", "refs_under"]

FaultKind: TypeAlias = Literal["crash", "hang", "slow", "kill"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What was done to whom, `at` seconds of the scheduler's clock.  `seconds`: how long a hang or a slowness lasts."""

    at: float
    kind: FaultKind
    path: str
    seconds: float = 0.0


def refs_under(root: ActorRef[Any]) -> dict[str, ActorRef[Any]]:
    """Every running actor of a tree by its path, the root first.  Asks nobody."""
    supervisor = supervisor_of(root)
    if supervisor is None:
        return {str(root.name or root): root} if root.is_alive() else {}
    found: dict[str, ActorRef[Any]] = {}
    waiting = [(supervisor.path, root)]
    while waiting:
        path, ref = waiting.pop()
        found[path] = ref
        table = getattr(supervisor_of(ref), "table", None)
        for child in reversed(list(table.rows.values())) if table is not None else ():
            if child.ref is not None:
                waiting.append((f"{path}/{child.label}", child.ref))
    return found


def ref_at(root: ActorRef[Any], path: str) -> ActorRef[Any]:
    """The actor that runs at `path`.  KeyError: there is none at the moment."""
    try:
        return refs_under(root)[path]
    except KeyError:
        raise KeyError(f"nothing runs at {path!r} under {root}: see tree()") from None


class Chaos:
    """Does harm to the tree under `root`.

    By hand: `crash`, `kill`, `hang`, `slow` with a path.  By chance: `strike` does one thing to one actor, `run` a
    number of them on a schedule.  Everything is drawn from `seed`, and kept in `log`; the root itself is spared.
    Any thread.

    `choose(path)` limits chance to the paths for which it is true.  `crash` makes the actor end as if it had crashed
    with `Crash("chaos")`, trapping or not; `hang` lets its mail lie for some seconds; `slow` handles mail in short
    spells between pauses for some seconds.
    """

    def __init__(
        self,
        root: ActorRef[Any],
        *,
        seed: int = 0,
        kinds: Sequence[FaultKind] = ("crash", "kill", "hang", "slow"),
        hang_for: float = 0.05,
        choose: Callable[[str], bool] = lambda path: True,
    ) -> None:
        if not kinds:
            raise SpecError("kinds", kinds, "at least one of crash, hang, slow, kill")
        self.root = root
        self.random = Random(seed)
        self.kinds = tuple(kinds)
        self.hang_for = hang_for
        self.choose = choose
        self.log: list[Fault] = []

    # ---- by hand

    def crash(self, path: str) -> None:
        """Make it end as a crash does: its supervisor sees `Crash("chaos")`."""
        self._crash(ref_at(self.root, path))
        self._note("crash", path)

    def kill(self, path: str) -> None:
        """Kill it: nothing of its own code runs any more."""
        ref_at(self.root, path).kill()
        self._note("kill", path)

    def hang(self, path: str, seconds: float) -> None:
        """Let its mail lie for `seconds`.  Exit signals reach it all the same."""
        ref = ref_at(self.root, path)
        _suspend(ref)
        ref.scheduler.call_later(seconds, _resume, ref)
        self._note("hang", path, seconds)

    def slow(self, path: str, seconds: float, *, pause: float = 0.01) -> None:
        """For `seconds`, let it work only for a moment after each `pause`."""
        ref = ref_at(self.root, path)
        clock = ref.scheduler.clock
        until = clock.time() + seconds

        def spell() -> bool:
            _resume(ref)
            if clock.time() >= until or not ref.is_alive():
                return False
            _suspend(ref)
            return True

        _suspend(ref)
        ref.scheduler.call_every(pause, spell)
        self._note("slow", path, seconds)

    # ---- by chance

    def strike(self) -> Fault | None:
        """Do one thing to one actor, both drawn by chance; None if there is nobody to do it to."""
        refs = refs_under(self.root)
        paths = [path for path, ref in refs.items() if ref is not self.root and self.choose(path)]
        if not paths:
            return None
        path, kind = self.random.choice(paths), self.random.choice(self.kinds)
        try:
            match kind:
                case "crash":
                    self.crash(path)
                case "kill":
                    self.kill(path)
                case "hang":
                    self.hang(path, self.hang_for * self.random.random())
                case "slow":
                    self.slow(path, self.hang_for * self.random.random())
        except (KeyError, ActorDeadError):
            return None  # it ended between the look and the deed
        return self.log[-1]

    def run(self, faults: int, *, every: float = 0.01) -> Reply[list[Fault]]:
        """Strike `faults` times, on average once in `every` seconds of the scheduler's clock.

        The reply has the log; it is there at once when the root has ended.
        """
        done: Reply[list[Fault]] = Reply()

        def next_one(left: int) -> None:
            if left == 0 or not self.root.is_alive():
                done.set(self.log)
                return
            self.strike()
            self.root.scheduler.call_later(self.random.expovariate(1 / every), next_one, left - 1)

        self.root.scheduler.call_later(0.0, next_one, faults)
        return done

    def _crash(self, ref: ActorRef[Any]) -> None:
        process = ref._process
        if process is not None:
            ref.exit(Crash("chaos"), sender=process.parent)

    def _note(self, kind: FaultKind, path: str, seconds: float = 0.0) -> None:
        self.log.append(Fault(self.root.scheduler.clock.time(), kind, path, seconds))


def _suspend(ref: ActorRef[Any]) -> None:
    try:
        ref.suspend()
    except ActorDeadError:
        return  # whoever is dead hangs well enough


def _resume(ref: ActorRef[Any]) -> None:
    try:
        ref.resume()
    except ActorDeadError:
        return
