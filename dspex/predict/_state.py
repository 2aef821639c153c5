"""Programs as files: DSPy's JSON state, read and written; pickles only for those who ask for them by name."""

from __future__ import annotations

import copy
import importlib.metadata
import json
import logging
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from dspex.primitives import Example

if TYPE_CHECKING:
    from dspex.predict._module import Module

__all__ = ["copied", "load", "load_named", "load_program", "metadata", "plain", "save"]

_log = logging.getLogger("dspex")


def copied(value: Any, memo: dict[int, Any]) -> Any:
    """A deep copy where there can be one; language models, and what cannot be copied, as they are."""
    if hasattr(type(value), "arespond"):
        return value
    if type(value) is list:
        return [copied(item, memo) for item in value]
    try:
        return copy.deepcopy(value, memo)
    except Exception:  # noqa: BLE001  an open file, a client, a lock: shared, as the original has it
        return value


def plain(value: Any) -> Any:
    """`value` in JSON's types: records and pydantic models as objects, what else there is as its text."""
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    if isinstance(value, Example):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return str(value)


def metadata() -> dict[str, Any]:
    """What a state was written with.

    DSPy compares everything under `dependency_versions`, and fails on names that it does not know itself: our own
    version stands beside it.
    """
    versions = {"python": ".".join(platform.python_version_tuple()[:2])}
    versions.update({name: _installed(name) for name in ("dspy", "cloudpickle") if _installed(name)})
    return {"dependency_versions": versions, "dspex": _installed("dspex")}


def _installed(name: str) -> str:
    try:
        return ".".join(importlib.metadata.version(name).split(".")[:2])
    except importlib.metadata.PackageNotFoundError:
        return ""


def load_named(module: Module, state: dict[str, Any], allow_unsafe_lm_state: bool) -> None:
    """Give each predictor its state.

    Raises:
        KeyError: the state lacks a predictor of the program; nothing has been changed then.
    """
    parameters = module.named_parameters()
    missing = [name for name, _ in parameters if name not in state]
    if missing:
        known = ", ".join(name for name in state if name != "metadata") or "none"
        raise KeyError(
            f"The state has nothing for the predictors {', '.join(missing)} of {type(module).__name__}; "
            f"it has: {known}."
        )
    for name, parameter in parameters:
        parameter.load_state(state[name], allow_unsafe_lm_state=allow_unsafe_lm_state)


# -- files


def save(module: Module, path: Path, whole: bool, by_value: list[Any] | None, allow_pickle: bool) -> None:
    """See `Module.save`."""
    if whole:
        _need_pickle(allow_pickle, f"save(..., save_program=True) writes {path / 'program.pkl'}, a pickle")
        if path.suffix:
            raise ValueError(f"A whole program is saved in a directory: {path} has a suffix.")
        path.mkdir(parents=True, exist_ok=True)
        (path / "program.pkl").write_bytes(_pickled(module, by_value))
        _write_json(path / "metadata.json", metadata())
        return
    if path.suffix == ".json":
        state = module.dump_state()
        state["metadata"] = metadata()
        _write_json(path, state)
    elif path.suffix == ".pkl":
        _need_pickle(allow_pickle, f"{path} is a pickle")
        state = module.dump_state(json_mode=False)
        state["metadata"] = metadata()
        path.write_bytes(_pickled(state, None))
    else:
        raise ValueError(
            f"The state of a program is saved as .json (or, with allow_pickle=True, .pkl), not as {path.name}."
        )


def load(module: Module, path: Path, allow_pickle: bool, allow_unsafe_lm_state: bool) -> None:
    """See `Module.load`."""
    if path.suffix == ".json":
        state = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(state, dict):
            raise ValueError(f"{path} is not the state of a program: it holds {type(state).__name__}, not an object.")
    elif path.suffix == ".pkl":
        _need_pickle(allow_pickle, f"{path} is a pickle")
        state = _unpickled(path)
    else:
        raise ValueError(
            f"The state of a program is read from .json (or, with allow_pickle=True, .pkl), not from {path}."
        )
    _compare_versions(state.pop("metadata", None))
    module.load_state(state, allow_unsafe_lm_state=allow_unsafe_lm_state)


def load_program(path: str | Path, allow_pickle: bool = False) -> Any:
    """The whole program that `save(path, save_program=True, allow_pickle=True)` wrote.

    Raises:
        ValueError: without `allow_pickle=True`: loading runs code that is in the file.
        FileNotFoundError: there is no program in `path`.
    """
    folder = Path(path)
    file = folder / "program.pkl"
    if not file.exists():
        raise FileNotFoundError(
            f"{folder} holds no saved program (no program.pkl); a .json state is for `program.load`."
        )
    _need_pickle(allow_pickle, f"{file} is a pickle")
    written_with = folder / "metadata.json"
    if written_with.exists():
        _compare_versions(json.loads(written_with.read_text(encoding="utf-8")))
    return _unpickled(file)


def _need_pickle(allowed: bool, what: str) -> None:
    if not allowed:
        raise ValueError(f"{what}, and loading one runs the code in it: pass allow_pickle=True if that is meant.")


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _pickled(value: Any, by_value: list[Any] | None) -> bytes:
    try:
        import cloudpickle  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        import pickle

        if by_value:
            raise ValueError("modules_to_serialize needs the package cloudpickle, which is not installed.") from None
        return pickle.dumps(value)
    for module in by_value or ():
        cloudpickle.register_pickle_by_value(module)
    try:
        return bytes(cloudpickle.dumps(value))
    finally:
        for module in by_value or ():
            cloudpickle.unregister_pickle_by_value(module)


def _unpickled(path: Path) -> Any:
    import pickle

    return pickle.loads(path.read_bytes())


def _compare_versions(saved: Any) -> None:
    here = metadata()
    then, now = ({**(one or {}).get("dependency_versions", {}), **_own(one)} for one in (saved, here))
    for name, version in then.items():
        if now.get(name, version) != version:
            _log.warning("the state was saved with %s %s and is loaded with %s", name, version, now[name])


def _own(one: Any) -> dict[str, str]:
    return {"dspex": one["dspex"]} if one and "dspex" in one else {}
