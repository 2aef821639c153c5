"""Names and groups: actors found by key (Elixir's `Registry`).

With `unique` keys a key is a name; with `duplicate` keys it is a group, or a topic.  Entries belong to actors and
leave with them: an actor that has ended is never returned, and its name is free at that very moment.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from actors._entries import Entry, EntryTable, KeyTaken
from actors._errors import ActorDeadError, ActorError, BlockingOnLoopError, NameTakenError
from actors._exits import ExitReason, NoProcess, Shutdown
from actors._key_locks import KeyLock, KeyLocks
from actors._local import current_actor, on_bare_loop
from actors._ref import ActorRef
from actors._reply import Reply

if TYPE_CHECKING:
    from actors._messages import Down

__all__ = ["NotRegisteredError", "Registered", "Registry", "Unregistered", "Via"]

Ref: TypeAlias = ActorRef[Any]
Listener: TypeAlias = "ActorRef[Any] | Callable[[Registered | Unregistered], object]"


@dataclass(frozen=True, slots=True)
class Registered:
    """To a registry's listeners: `ref` was entered under `key`."""

    registry: Registry
    key: Hashable
    ref: Ref
    value: Any


@dataclass(frozen=True, slots=True)
class Unregistered:
    """To a registry's listeners: an entry of `ref` under `key` is gone, by itself or because `ref` has ended."""

    registry: Registry
    key: Hashable
    ref: Ref


class NotRegisteredError(ActorError, LookupError):
    """The actor has no entry under that key."""

    def __init__(self, key: Hashable, ref: Ref) -> None:
        self.key = key
        self.ref = ref
        super().__init__(f"{ref} has no entry under {key!r}: only an entry's owner can change it")


class Registry:
    """Entries (key, actor, value), from any thread, each operation atomic.

    `owner` is the calling actor unless it is given.  Listeners, actors or quick functions that do not raise, get
    `Registered` and `Unregistered` in the order in which that happens.
    """

    def __init__(
        self,
        keys: Literal["unique", "duplicate"] = "unique",
        *,
        name: str = "registry",
        listeners: Iterable[Listener] = (),
    ) -> None:
        if keys not in ("unique", "duplicate"):
            raise ValueError(f"the keys of a registry are 'unique' or 'duplicate', not {keys!r}")
        self.name = name
        self._listeners = tuple(listeners)
        self._table: EntryTable[Ref] = EntryTable(keys == "unique", _is_alive)
        self._watched: set[Ref] = set()
        # Reentrant, because a listener is told under it, so that it hears things in their order.
        self._lock = threading.RLock()
        self._locks = KeyLocks()

    def __repr__(self) -> str:
        return f"<Registry {self.name!r}, {len(self._table)} entries>"

    # -- entries come and go

    def register(self, key: Hashable, value: Any = None, *, owner: Ref | None = None) -> None:
        """Enter the owner under `key`.

        Raises:
            NameTakenError: keys are unique and a living actor, be it the same, has this one.
            ActorDeadError: the owner has ended.
        """
        ref = _owner(owner)
        with self._lock:
            try:
                self._table.add(key, ref, value)
            except KeyTaken as taken:
                raise NameTakenError(key, taken.entry.owner) from None
            self._tell(Registered(self, key, ref, value))
            watch = ref not in self._watched
            if watch:
                self._watched.add(ref)
        if watch:
            ref.monitor(self._ended)
        elif not ref.is_alive():
            self.forget(ref)
        if not ref.is_alive():
            raise ActorDeadError(ref, ref.exit_reason)

    def unregister(self, key: Hashable, *, where: Callable[[Any], bool] | None = None, owner: Ref | None = None) -> int:
        """Take out all entries of the owner under `key`, or those whose value `where` accepts.  How many it were."""
        ref = _owner(owner)
        with self._lock:
            mine = [
                entry for entry in self._table.find(key) if entry.owner is ref and (where is None or where(entry.value))
            ]
            for entry in mine:
                self._table.remove(entry)
                self._tell(Unregistered(self, entry.key, ref))
        return len(mine)

    def update_value(self, key: Hashable, change: Callable[[Any], Any], *, owner: Ref | None = None) -> tuple[Any, Any]:
        """Replace the value of the owner's entry by `change(value)`: (new value, old value).  Unique keys only.

        Raises:
            NotRegisteredError: the owner has no such entry.
        """
        ref = _owner(owner)
        with self._lock:
            if not self._table.unique:
                raise TypeError("update_value needs unique keys: which of several entries would it change?")
            entries = [entry for entry in self._table.find(key) if entry.owner is ref]
            if not entries:
                raise NotRegisteredError(key, ref)
            old = entries[0].value
            new = change(old)
            self._table.replace_value(entries[0], new)
        return new, old

    def forget(self, ref: Ref) -> None:
        """Take out all entries of `ref`.  Happens by itself when an actor ends."""
        with self._lock:
            for entry in self._table.remove_owner(ref):
                self._tell(Unregistered(self, entry.key, ref))

    def close(self, reason: ExitReason | None = None) -> None:
        """Send every owner an exit signal, as a link to a process that ends would, and forget them all.

        Elixir links the owners with their registry, because entries that are lost without a word leave actors
        that nobody finds any more.  A registry here is data and does not crash, so it is for you to say.
        """
        with self._lock:
            owners = {entry.owner: None for entry in self._table}
            for ref in owners:
                self.forget(ref)
        for ref in owners:
            ref.exit(reason if reason is not None else Shutdown(f"{self.name} was closed"))

    # -- finding

    def lookup(self, key: Hashable) -> tuple[Entry[Ref], ...]:
        """The entries of living actors under `key`, the oldest first."""
        with self._lock:
            return self._table.find(key)

    def whereis(self, key: Hashable) -> Ref | None:
        """The first living actor under `key`."""
        entries = self.lookup(key)
        return entries[0].owner if entries else None

    def match(self, key: Hashable, where: Callable[[Any], bool]) -> tuple[Entry[Ref], ...]:
        """The entries under `key` whose value `where` accepts."""
        return tuple(entry for entry in self.lookup(key) if where(entry.value))

    def count_match(self, key: Hashable, where: Callable[[Any], bool]) -> int:
        """How many `match` finds."""
        return len(self.match(key, where))

    def select(self, where: Callable[[Entry[Ref]], bool] = lambda entry: True) -> list[Entry[Ref]]:
        """All entries that `where` accepts, under whatever key.  Looks at each: for people, not for hot paths."""
        with self._lock:
            entries = list(self._table)
        return [entry for entry in entries if where(entry)]

    def keys(self, owner: Ref | None = None) -> list[Hashable]:
        """The keys of the owner, one for each entry, the oldest first."""
        with self._lock:
            return [entry.key for entry in self._table.of_owner(_owner(owner))]

    def values(self, key: Hashable, owner: Ref | None = None) -> list[Any]:
        """The owner's values under `key`."""
        ref = _owner(owner)
        return [entry.value for entry in self.lookup(key) if entry.owner is ref]

    def count(self) -> int:
        """How many entries there are."""
        with self._lock:
            return len(self._table)

    def dispatch(self, key: Hashable, function: Callable[[tuple[Entry[Ref], ...]], object]) -> None:
        """Call `function(entries)` once, here, with all entries under `key`; not at all if there are none."""
        entries = self.lookup(key)
        if entries:
            function(entries)

    def via(self, key: Hashable, value: Any = None) -> Via:
        """A name to start an actor under (`with_options(name=...)`) and to talk to whoever has it then."""
        return Via(self, key, value)

    # -- locks

    def lock(self, key: Hashable) -> KeyLock:
        """`with registry.lock(key):` (or `async with`): nobody else is inside under the same key.

        Waiters are let in one by one, in the order in which they came.  The lock is let go when the block is left
        in any way, and when the actor that holds it ends.
        """
        return self._locks.lock(key)

    # -- inside

    def _ended(self, down: Down) -> None:
        with self._lock:
            self._watched.discard(down.ref)
        self.forget(down.ref)

    def _tell(self, message: Registered | Unregistered) -> None:
        for listener in self._listeners:
            if isinstance(listener, ActorRef):
                process = listener._process
                if process is not None:
                    process.deliver_notice(message)
            else:
                listener(message)


@dataclass(frozen=True, slots=True, repr=False)
class Via:
    """A key in a registry, used as a name: resolved anew for each message, so it outlives restarts."""

    registry: Registry
    key: Hashable
    value: Any = None

    def __repr__(self) -> str:
        return f"{self.registry.name}:{self.key!r}"

    def whereis(self) -> Ref | None:
        """The living actor that has the key."""
        return self.registry.whereis(self.key)

    def tell(self, message: Any) -> None:
        """Tell whoever has the key.

        Raises:
            ActorDeadError: nobody has it.
        """
        ref = self.whereis()
        if ref is None:
            raise ActorDeadError(None, NoProcess())
        ref.tell(message)

    def call(self, message: Any, *, timeout: float | None = None) -> Reply[Any]:
        """As `ActorRef.call`; the reply is an `ActorDeadError` if nobody has the key."""
        ref = self.whereis()
        if ref is None:
            return Reply.failed(ActorDeadError(None, NoProcess()))
        return ref.call(message, timeout=timeout)

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        """As `ActorRef.ask`."""
        if block and on_bare_loop():
            raise BlockingOnLoopError("ask()")
        reply = self.call(message)
        return reply.get(timeout=timeout) if block else reply

    def claim(self, ref: Ref) -> None:
        """Enter `ref` under this name.

        Raises:
            NameTakenError: a living actor has it.
        """
        self.registry.register(self.key, self.value, owner=ref)


def _is_alive(ref: Ref) -> bool:
    return ref.is_alive()


def _owner(owner: Ref | None) -> Ref:
    if owner is not None:
        return owner
    actor = current_actor()
    if actor is None:
        raise ActorError("no actor runs here that could own an entry: pass owner=, a reference")
    return actor.actor_ref
