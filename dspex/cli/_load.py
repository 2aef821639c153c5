"""What a command line names: objects as `module:attribute`, examples as files."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from pathlib import Path
from typing import Any, Final

from dspex._errors import DspexError

__all__ = ["METRICS", "LoadError", "load_examples", "load_metric", "load_object", "load_program"]


METRICS: Final = ("answer_exact_match", "answer_passage_match", "SemanticF1", "CompleteAndGrounded")
"""The metrics of `dspex.evaluate` that score an answer beside an example."""


class LoadError(DspexError):
    """Something named on the command line could not be loaded."""


def load_object(reference: str) -> Any:
    """The object that `module:attribute` (or `file.py:attribute`) names.

    Raises:
        LoadError: there is no such module or attribute, or importing it failed.
    """
    module_name, separator, attribute = reference.rpartition(":")
    if not separator or not module_name or not attribute:
        raise LoadError(f"{reference!r} names nothing: write module:attribute, like rag.program:RAG")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    if module_name.endswith(".py"):
        path = Path(module_name).resolve()
        if not path.is_file():
            raise LoadError(f"there is no file {module_name}")
        if str(path.parent) not in sys.path:
            sys.path.insert(0, str(path.parent))
        module_name = path.stem
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise LoadError(f"there is no module {error.name!r} (looked for {reference!r} from {os.getcwd()})") from error
    except Exception as error:
        raise LoadError(f"importing {module_name} failed: {type(error).__name__}: {error}") from error
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise LoadError(f"{module_name} has no {attribute!r}") from None
    return found


def load_program(reference: str, saved: Path | None = None) -> Any:
    """A program: an instance of Module, or a class or function that makes one without arguments.

    Raises:
        LoadError: it is something else.
    """
    from dspex.predict import Module

    found = load_object(reference)
    if not isinstance(found, Module) and callable(found):
        try:
            found = found()
        except TypeError as error:
            raise LoadError(f"{reference} cannot be called without arguments: {error}") from error
    if not isinstance(found, Module):
        raise LoadError(f"{reference} is a {type(found).__name__}, not a dspex.Module nor something that makes one")
    if saved is not None:
        found.load(str(saved))
    return found


def load_metric(reference: str) -> Any:
    """A metric: `module:function`, or the name of one of `dspex.evaluate`'s, like answer_exact_match.

    Raises:
        LoadError: there is none of that name.
    """
    if ":" not in reference:
        import dspex.evaluate as provided

        if reference not in METRICS:
            known = ", ".join(METRICS)
            raise LoadError(f"there is no metric {reference!r}: there are {known}, or write module:function")
        found = getattr(provided, reference)
    else:
        found = load_object(reference)
    return found() if inspect.isclass(found) else found


def load_examples(path: Path, inputs: list[str] | None, program: Any) -> list[Any]:
    """Examples from a JSONL or CSV file, or from `module:attribute`.

    The input fields are those named, else those of the program's signatures that the rows have.

    Raises:
        LoadError: nothing usable is there.
    """
    text = os.fspath(path)
    if ":" in text and not Path(text).exists():
        found = load_object(text)
        return list(found() if callable(found) else found)
    from dspex.datasets import DataLoader

    if not path.is_file():
        raise LoadError(f"there is no file {path}")
    keys = inputs or _input_names(program)
    loader = DataLoader()
    read = loader.from_csv if path.suffix.lower() == ".csv" else loader.from_jsonl
    return list(read(path, input_keys=tuple(keys)))


def _input_names(program: Any) -> list[str]:
    names: list[str] = []
    produced: set[str] = set()
    for predictor in program.predictors():
        names += [name for name in predictor.signature.input_fields if name not in names]
        produced |= set(predictor.signature.output_fields)
    return [name for name in names if name not in produced] or names
