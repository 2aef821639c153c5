"""What the control socket can do with a system.  Runs on the socket's threads, never on the loop of the actors."""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from actors import ActorDeadError, ActorRef, Event, EventStream, Timeout
from dspex.control._errors import OperationError
from dspex.control._fold import fold
from dspex.control._top import SORTS, Counted, reading
from supervision import (
    SupervisionError,
    counters,
    find_node,
    render_dot,
    render_mermaid,
    restart_child,
    terminate_child,
    tree,
    walk,
    what_if,
)

if TYPE_CHECKING:
    from dspex.control._server import Operation, Stream
    from dspex.system import System

__all__ = ["WAITING", "operations"]

WAITING: Final = frozenset({"replay", "replay_input", "restart", "run_cancel", "runs", "stop"})
"""The operations that wait for actors, and so for the loop."""

_PATIENCE = 5.0
_UNREAD = 1000  # events that wait for a slow client


def operations(system: System) -> tuple[dict[str, Operation], dict[str, Stream]]:
    """The operations on `system`, and the streams from it."""
    doing = _Operations(system)
    return (
        {
            "crashes": doing.crashes,
            "health": doing.health,
            "hello": doing.hello,
            "inspect": doing.inspect,
            "recent_events": doing.recent_events,
            "reload_quarantine": doing.reload_quarantine,
            "replay": doing.replay,
            "replay_input": doing.replay_input,
            "restart": doing.restart,
            "resume": doing.resume,
            "run_cancel": doing.run_cancel,
            "run_pause": doing.run_pause,
            "run_resume": doing.run_resume,
            "runs": doing.runs,
            "scale": doing.scale,
            "size": doing.size,
            "stall": doing.stall,
            "stop": doing.stop,
            "suspend": doing.suspend,
            "tree": doing.tree,
            "what_if": doing.what_if,
        },
        {"events": doing.events, "top": doing.top},
    )


class _Operations:
    def __init__(self, system: System) -> None:
        self._system = system

    # -- looking

    def _root(self) -> ActorRef[Any]:
        root = self._system.root
        if root is None or not self._system.running:
            raise OperationError("not_running", f"the system {self._system.name!r} is not running")
        return root

    def _node(self, path: str | None, *, stacks: bool = False) -> dict[str, Any]:
        whole = tree(self._root(), stacks=stacks)
        if path is None:
            return whole
        node = find_node(whole, path.strip("/"))
        if node is None:
            raise OperationError("unknown_path", f"there is no {path!r} in the tree: see `dspex tree`")
        return node

    def hello(self, args: Mapping[str, Any]) -> Any:
        """Who this is."""
        health = self._system.health()
        return {
            "name": self._system.name,
            "pid": os.getpid(),
            "version": _version(),
            "python": platform.python_version(),
            "uptime": time.time() - self._system.started_at,
            "state": "running" if health.ready else "degraded",
            "why": list(health.why),
            "actors": len(self._system.scheduler.refs()),
            "programs": len(self._system.programs),
        }

    def health(self, args: Mapping[str, Any]) -> Any:
        """Live, ready, and why not."""
        return self._system.health().to_json()

    def stall(self, args: Mapping[str, Any]) -> Any:
        """What holds the loop at this moment, or None."""
        stall = self._system.scheduler.stall
        return None if stall is None else asdict(stall)

    def tree(self, args: Mapping[str, Any]) -> Any:
        """The tree, or a part of it; as a drawing if one is asked for."""
        node = self._node(args.get("path"))
        if args.get("drawing") == "dot":
            return render_dot(fold(node, args.get("depth")))
        if args.get("drawing") == "mermaid":
            return render_mermaid(fold(node, args.get("depth")))
        return fold(node, args.get("depth"), bool(args.get("collapse", False)))

    def size(self, args: Mapping[str, Any]) -> Any:
        """How many actors are at a path and below it."""
        return sum(1 for _ in walk(self._node(_path(args))))

    def what_if(self, args: Mapping[str, Any]) -> Any:
        """What a crash at a path would do."""
        path = _path(args)
        self._node(path)
        outcome = what_if(tree(self._root()), path)
        return {
            "path": path,
            "stopped": list(outcome.stopped),
            "restarted": list(outcome.restarted),
            "escalates": "the whole system would end" if outcome.root_ends else None,
            "consequences": [str(each) for each in outcome.consequences],
        }

    def inspect(self, args: Mapping[str, Any]) -> Any:
        """Everything about one actor."""
        path = _path(args)
        node = dict(self._node(path, stacks=True))
        node["children"] = [child["path"] for child in node["children"]]
        busy = node.get("busy")
        node["stack"] = busy.pop("stack", None) if busy else None
        crash = self._system.recorder.last_crash(node["path"])
        if crash is not None:
            node["crash"] = {"fingerprint": crash.fingerprint, "traceback": crash.traceback}
        return node

    @contextmanager
    def top(self, args: Mapping[str, Any]) -> Iterator[AsyncIterator[Any]]:
        """What the busiest actors have done, every `interval` seconds."""
        interval = _number(args, "interval", 1.0, 0.1, 3600.0)
        lines = int(_number(args, "lines", 20, 1, 10_000))
        sort = args.get("sort", "rate")
        if sort not in SORTS:
            raise OperationError("bad_request", f"{sort!r} is no order: there are {', '.join(SORTS)}")
        self._root()
        yield self._readings(interval, sort, lines)

    async def _readings(self, interval: float, sort: str, lines: int) -> AsyncIterator[Any]:
        loop = asyncio.get_running_loop()
        before = await loop.run_in_executor(None, self._counted)
        while True:
            await asyncio.sleep(interval)
            now = await loop.run_in_executor(None, self._counted)
            yield reading(before, now, sort, lines)
            before = now

    def _counted(self) -> Counted:
        return Counted(time.time(), list(counters(self._root())), self._system.counters())

    def crashes(self, args: Mapping[str, Any]) -> Any:
        """Crashes by fingerprint."""
        return self._system.recorder.crashes()

    def recent_events(self, args: Mapping[str, Any]) -> Any:
        """The last events that are worth remembering."""
        limit = int(_number(args, "limit", 50, 1, 100_000))
        return self._system.recorder.recent([str(topic) for topic in args.get("topics") or []], limit)

    @contextmanager
    def events(self, args: Mapping[str, Any]) -> Iterator[AsyncIterator[Any]]:
        """Events as they happen."""
        given = [str(topic) for topic in args.get("topics") or [""]]
        topics = {topic for topic in given if not any(topic != other and _is_below(topic, other) for other in given)}
        # One stream for all: events reach the client in their order, and what a slow one loses is the oldest of all.
        stream: EventStream[Event] = EventStream(_UNREAD)
        subscriptions = [self._system.events.subscribe(topic, stream.push) for topic in topics]
        try:
            yield self._told(stream)
        finally:
            for subscription in subscriptions:
                subscription.close()
            stream.close(discard=True)

    async def _told(self, stream: EventStream[Event]) -> AsyncIterator[Any]:
        from dspex.system import event_json

        async for event in stream:
            yield event_json(event, self._system.redactor)

    # -- steering

    def _find(self, path: str) -> tuple[ActorRef[Any], dict[str, Any]]:
        node = self._node(path)
        ref = next((ref for ref in self._system.scheduler.refs() if ref.id == node["actor"]), None)
        if ref is None:
            raise OperationError("not_running", f"{path} is {node['state']}: there is no actor to talk to")
        return ref, node

    def _supervised(self, path: str) -> tuple[ActorRef[Any], Any, dict[str, Any]]:
        """The supervisor of a path, and the child's id there (or its ref, where children have no ids)."""
        node = self._node(path)
        above, separator, _ = node["path"].rpartition("/")
        if not separator:
            raise OperationError("is_root", f"{path} is the system itself: stop its process instead")
        parent, parent_node = self._find(above)
        if parent_node.get("dynamic"):
            return parent, self._find(path)[0], node
        return parent, node["id"], node

    def restart(self, args: Mapping[str, Any]) -> Any:
        """Stop it and let its supervisor start it again."""
        path, patience = _path(args), _patience(args)
        parent, child, node = self._supervised(path)
        if isinstance(child, ActorRef):
            # Children of a dynamic supervisor have no ids: a kill is what its restart type answers.
            if node["restart"] == "temporary":
                _restart_below(child, node, patience)
            else:
                child.kill()
        else:
            _waited(terminate_child(parent, child), patience)
            _waited(restart_child(parent, child), patience)
        return {"path": path}

    def stop(self, args: Mapping[str, Any]) -> Any:
        """Stop it for good."""
        path = _path(args)
        parent, child, _ = self._supervised(path)
        _waited(terminate_child(parent, child), _patience(args))
        return {"path": path}

    def suspend(self, args: Mapping[str, Any]) -> Any:
        """Let its mail wait."""
        path = _path(args)
        for ref in self._below(path):
            ref.suspend()
        return {"path": path}

    def resume(self, args: Mapping[str, Any]) -> Any:
        """Let it take mail again."""
        path = _path(args)
        for ref in self._below(path):
            ref.resume()
        return {"path": path}

    def _below(self, path: str) -> list[ActorRef[Any]]:
        """The workers at and below a path: a supervisor itself goes on, or nothing would be restarted."""
        numbers = {node["actor"] for node in walk(self._node(path)) if node["kind"] == "worker"}
        found = [ref for ref in self._system.scheduler.refs() if ref.id in numbers]
        if not found:
            raise OperationError("no_workers", f"there is no worker at {path}")
        return found

    def scale(self, args: Mapping[str, Any]) -> Any:
        """Change the number of workers."""
        path, workers = _path(args), int(_number(args, "workers", 0, 0, 1_000_000))
        try:
            self._system.scale(path, workers)
        except (ValueError, LookupError) as error:
            raise OperationError("cannot_scale", str(error)) from error
        return {"path": path, "workers": workers}

    # -- runs and letters

    def runs(self, args: Mapping[str, Any]) -> Any:
        """The runs that live in this system."""
        return [run.to_json() for run in self._system.live_runs().values()]

    def _run(self, args: Mapping[str, Any]) -> Any:
        wanted = str(args.get("run"))
        run = self._system.live_runs().get(wanted)
        if run is None:
            raise OperationError("unknown_run", f"no run {wanted!r} lives in {self._system.name!r}: see `dspex runs`")
        return run

    def run_pause(self, args: Mapping[str, Any]) -> Any:
        """Begin nothing new."""
        run = self._run(args)
        run.pause()
        return run.to_json()

    def run_resume(self, args: Mapping[str, Any]) -> Any:
        """Go on."""
        run = self._run(args)
        run.resume()
        return run.to_json()

    def run_cancel(self, args: Mapping[str, Any]) -> Any:
        """End with the best so far."""
        run = self._run(args)
        run.cancel()
        return run.to_json()

    def replay(self, args: Mapping[str, Any]) -> Any:
        """Send a dead letter again."""
        try:
            return self._system.replay(str(args.get("letter")), timeout=_patience(args))
        except LookupError as error:
            raise OperationError("unknown_letter", str(error)) from error

    def replay_input(self, args: Mapping[str, Any]) -> Any:
        """Give a quarantined input to its program once more."""
        try:
            return self._system.replay_input(str(args.get("key")), timeout=_patience(args))
        except LookupError as error:
            raise OperationError("unknown_input", str(error)) from error

    def reload_quarantine(self, args: Mapping[str, Any]) -> Any:
        """Look again at what is set aside."""
        self._system.poison.reload()


def _restart_below(supervisor: ActorRef[Any], node: Mapping[str, Any], patience: float) -> None:
    """Begin everything anew that a temporary supervisor has below it, in the order in which it would: a spawned
    program keeps its supervisor, and so whoever calls it keeps the reference."""
    if not node["children"] or node.get("dynamic"):
        raise OperationError("temporary", f"{node['path']} is temporary: its supervisor would not start it again")
    deadline = time.monotonic() + patience
    for child in reversed(node["children"]):
        _waited(terminate_child(supervisor, child["id"]), max(0.01, deadline - time.monotonic()))
    for child in node["children"]:
        _waited(restart_child(supervisor, child["id"]), max(0.01, deadline - time.monotonic()))


def _path(args: Mapping[str, Any]) -> str:
    path = args.get("path")
    if not isinstance(path, str) or not path:
        raise OperationError("bad_request", 'this operation needs a "path"')
    return path.strip("/")


def _number(args: Mapping[str, Any], name: str, default: float, least: float, most: float) -> float:
    """A number that a client sent, brought into its range."""
    value = args.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise OperationError("bad_request", f'"{name}" is a number, not {value!r}')
    return max(least, min(float(value), most))


def _patience(args: Mapping[str, Any]) -> float:
    return _number(args, "timeout", _PATIENCE, 0.01, 600.0)


def _waited(reply: Any, patience: float) -> Any:
    try:
        return reply.get(timeout=patience)
    except Timeout as error:
        raise OperationError("timeout", f"not done within {patience} s; it may still happen") from error
    except (SupervisionError, ActorDeadError) as error:
        raise OperationError("refused", str(error)) from error


def _is_below(topic: str, other: str) -> bool:
    return not other or topic.startswith(f"{other}.")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("dspex")
    except PackageNotFoundError:
        return "unknown"
