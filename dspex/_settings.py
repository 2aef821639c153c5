"""Settings: an immutable mapping that follows the call, over a base that the whole process shares.

`configure(...)` changes the base: from any thread or task, at any time, visible to all; the last one wins.
`context(...)` lays a mapping over the base for the code inside the ``with`` block and everything that it
calls: a context variable holds it, so it follows the call into tasks, fibers and actors (a message carries
its sender's context), nests, and never leaks sideways. No thread owns anything.
"""

from __future__ import annotations

import difflib
import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

from dspex._errors import UnknownSettingError

Trace = list[tuple[Any, dict[str, Any], Any]]
"""(predictor, inputs, prediction) of every predictor call under a context whose `trace` is such a list."""

DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "lm": None,
        "adapter": None,
        "rm": None,
        "embedder": None,
        "callbacks": (),
        "trace": None,
        "deadline": None,
        "track_usage": False,
        "usage_tracker": None,
        "budget": None,
        "resample": None,
        "num_threads": 8,
        "max_errors": 10,
        "async_max_workers": 8,
        "parse_retries": 1,
        "provide_traceback": False,
        "disable_history": False,
        "max_history_size": 10_000,
        "max_trace_size": 10_000,
        "warn_on_type_mismatch": True,
        "allow_tool_async_sync_conversion": True,
        "send_stream": None,
        "stream_listeners": (),
        "caller_predict": None,
        "caller_modules": None,
        "branch_idx": 0,
        "interpreter_factory": None,
        "redact_prompts": False,
    }
)
"""Every setting there is, with the value that it has until somebody sets it."""

_PLAIN = (str, int, float, bool, type(None))

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_overlay: ContextVar[Mapping[str, Any]] = ContextVar("dspex_settings", default=_NOTHING)


def _check(names: Iterable[str]) -> None:
    for name in names:
        if name not in DEFAULTS:
            raise _unknown(name)


def _unknown(name: str) -> UnknownSettingError:
    near = difflib.get_close_matches(name, DEFAULTS, n=1)
    hint = f"; did you mean `{near[0]}`?" if near else f". There are: {', '.join(sorted(DEFAULTS))}."
    return UnknownSettingError(f"There is no setting `{name}`{hint}", name=name, nearest=near[0] if near else None)


class Context:
    """``with context(lm=..., ...)``: settings for the code inside. Re-entrant."""

    __slots__ = ("_outer", "changes")

    def __init__(self, changes: Mapping[str, Any]) -> None:
        _check(changes)
        self.changes = changes
        self._outer: list[Mapping[str, Any]] = []

    def __enter__(self) -> Settings:
        outer = _overlay.get()
        self._outer.append(outer)
        _overlay.set({**outer, **self.changes})
        return settings

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Not ContextVar.reset(token): a generator may leave its block in another context than it entered it.
        _overlay.set(self._outer.pop())


class Settings(Mapping[str, Any]):
    """What is in force here and now: attributes or items; changed by `configure` and `context`."""

    __slots__ = ("_base", "_chosen", "_lock")

    def __init__(self) -> None:
        object.__setattr__(self, "_base", DEFAULTS)
        object.__setattr__(self, "_chosen", frozenset())
        object.__setattr__(self, "_lock", threading.Lock())

    _base: Mapping[str, Any]
    _chosen: frozenset[str]
    _lock: threading.Lock

    # -- reading

    def __getattr__(self, name: str) -> Any:
        overlay = _overlay.get()
        if name in overlay:
            return overlay[name]
        try:
            return self._base[name]
        except KeyError:
            raise _unknown(name) from None

    __getitem__ = __getattr__

    def get(self, name: str, default: Any = None) -> Any:
        """The setting, or `default` when it is None. An unknown name is an error here too."""
        value = self[name]
        return default if value is None else value

    def is_set(self, name: str) -> bool:
        """Whether somebody has chosen the value that is in force here, be it the default's: by `configure`, or by a
        `context` or a system around this call."""
        _check((name,))
        return name in _overlay.get() or name in self._chosen

    def __iter__(self) -> Iterator[str]:
        return iter(self._base)

    def __len__(self) -> int:
        return len(self._base)

    def __contains__(self, name: object) -> bool:
        return name in self._base

    def copy(self) -> dict[str, Any]:
        """What is in force here, as a dict of its own."""
        return {**self._base, **_overlay.get()}

    @property
    def config(self) -> dict[str, Any]:
        return self.copy()

    def overrides(self) -> Mapping[str, Any]:
        """What `context` blocks have set around this call, without the base."""
        return MappingProxyType(dict(_overlay.get()))

    def __repr__(self) -> str:
        changed = {k: v for k, v in self.copy().items() if v is not DEFAULTS[k]}
        return f"settings({', '.join(f'{k}={v!r}' for k, v in changed.items())})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Settings:
        return self

    def __reduce__(self) -> str:
        return "settings"

    # -- changing

    def __setattr__(self, name: str, value: Any) -> None:
        self.configure(**{name: value})

    __setitem__ = __setattr__

    def configure(self, **changes: Any) -> None:
        """Set for the whole process. A `context` block around a call still has the last word in that call."""
        _check(changes)
        with self._lock:
            object.__setattr__(self, "_base", MappingProxyType({**self._base, **changes}))
            object.__setattr__(self, "_chosen", self._chosen | changes.keys())

    def context(self, **changes: Any) -> Context:
        """Set for the code inside ``with settings.context(...):`` only."""
        return Context(changes)

    def reset(self) -> None:
        """Back to the defaults, for the whole process (`context` blocks stay)."""
        with self._lock:
            object.__setattr__(self, "_base", DEFAULTS)
            object.__setattr__(self, "_chosen", frozenset())

    # -- files

    def save(self, path: str | Path) -> tuple[str, ...]:
        """Write the plain settings (text, numbers, booleans, None) that differ from the defaults, as JSON.

        Returns the names of the changed settings that are not plain values and so were not written (an LM, an
        adapter, callbacks: they are code, and code is configured by code).
        """
        changed = {k: v for k, v in self.copy().items() if v is not DEFAULTS[k] and v != DEFAULTS[k]}
        plain = {k: v for k, v in changed.items() if isinstance(v, _PLAIN)}
        Path(path).write_text(json.dumps(plain, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        return tuple(sorted(set(changed) - set(plain)))

    def load(self, path: str | Path) -> dict[str, Any]:
        """Read what `save` wrote and `configure` it. Returns it. Nothing is ever unpickled."""
        values = load_settings(path)
        self.configure(**values)
        return values


def load_settings(path: str | Path, allow_pickle: bool = False) -> dict[str, Any]:
    """The settings in the JSON file `path`, checked. `allow_pickle` is accepted for old calls and ignored."""
    values = json.loads(Path(path).read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise ValueError(f"{path} does not hold settings: expected a JSON object, found {type(values).__name__}.")
    _check(values)
    return values


settings = Settings()
"""The one process-wide state of the package: a base mapping that is replaced as a whole, never changed."""


def error_limit(own: int | None) -> int | None:
    """After how many failing examples an evaluation ends: as it says itself, else as `max_errors` was set to. None: it
    has no limit, which is what it has until somebody sets one."""
    if own is not None:
        return own
    chosen: int | None = settings.max_errors if settings.is_set("max_errors") else None
    return chosen


def configure(**changes: Any) -> None:
    """Set for the whole process, from any thread or task. See `Settings.configure`."""
    settings.configure(**changes)


def context(**changes: Any) -> Context:
    """Set for the code inside ``with context(...):``. See `Settings.context`."""
    return Context(changes)
