"""`dspex eval` and `dspex optimize`: the two long jobs, from a shell."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from dspex.cli._console import console, emit_json, errors
from dspex.cli._errors import NoModelError
from dspex.cli._help import Command, add
from dspex.cli._load import LoadError, load_examples, load_metric, load_program
from dspex.cli._options import AsJson, Store_

__all__ = ["optimize_run", "register"]

Program = Annotated[str, typer.Argument(metavar="PROGRAM", help="module:attribute of a program, or of what makes one.")]
Metric = Annotated[
    str, typer.Option("--metric", "-m", metavar="METRIC", help="module:function, or one of dspex.evaluate's by name.")
]
Data = Annotated[Path, typer.Option("--data", "-d", metavar="FILE", help="JSON lines or CSV, or module:attribute.")]
Inputs = Annotated[
    list[str] | None, typer.Option("--input", metavar="FIELD", help="An input field of the rows; may be repeated.")
]
Model = Annotated[str | None, typer.Option("--model", metavar="PROVIDER/MODEL", help="The language model.")]
Base = Annotated[str | None, typer.Option("--api-base", metavar="URL", help="An OpenAI-compatible endpoint.")]
Width = Annotated[int | None, typer.Option("--workers", "-w", metavar="N", min=1, help="Examples in flight.")]
Load = Annotated[Path | None, typer.Option("--load", metavar="FILE", help="Saved state to load into the program.")]

# Arguments of `compile` that have options of their own, or none.
_GIVEN = frozenset({"self", "student", "trainset", "valset", "teacher", "options"})


@contextmanager
def _system(model: str | None, api_base: str | None, store: str | None) -> Iterator[Any]:
    import dspex

    arguments: dict[str, Any] = {}
    if model is not None:
        arguments["lm"] = dspex.LM(model, api_base=api_base) if api_base else dspex.LM(model)
    if store is not None:
        arguments["store"] = store
    with dspex.System(**arguments) as system:
        try:
            yield system
        except dspex.DspexError as error:
            if _lacks_model(error):
                raise NoModelError from error
            raise


def _lacks_model(error: BaseException | None) -> bool:
    """A call had no language model. It takes a call to know: a program may bring its own, or set one in `forward`."""
    from dspex import LMNotConfiguredError

    while error is not None and not isinstance(error, LMNotConfiguredError):
        error = error.__cause__
    return error is not None


def evaluate(
    program: Program,
    metric: Metric,
    data: Data,
    inputs: Inputs = None,
    model: Model = None,
    api_base: Base = None,
    load: Load = None,
    workers: Width = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", metavar="SECONDS", min=0.01, help="How long an example may take.")
    ] = None,
    max_errors: Annotated[
        int | None, typer.Option("--max-errors", metavar="N", min=1, help="Stop after so many.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="Only the first rows.")] = None,
    csv: Annotated[
        Path | None, typer.Option("--save-csv", metavar="FILE", help="Where every row goes, with its score, as CSV.")
    ] = None,
    store: Store_ = None,
    as_json: AsJson = False,
) -> None:
    """Score a program on examples.

    It is run on every row of the data, and the metric scores its answers.  Exits with 1 if an example failed.

    Example: dspex eval rag:RAG -m answer_exact_match -d dev.jsonl
    """
    from dspex.evaluate import Evaluate

    chosen = load_program(program, load)
    examples = load_examples(data, inputs, chosen)[:limit]
    with _system(model, api_base, store):
        result = Evaluate(
            devset=examples,
            metric=load_metric(metric),
            num_workers=workers,
            timeout=timeout,
            max_errors=max_errors,
            display_progress=True,
            save_as_csv=str(csv) if csv else None,
        )(chosen)
    if result.failures and not result.scored and all(_lacks_model(failure.error) for failure in result.failures):
        raise NoModelError
    if as_json:
        emit_json(result.to_json())
    else:
        console().print(result.summary(), markup=False)
    if result.failures:
        raise typer.Exit(1)


def _options(pairs: list[str], optimizer: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """`key=value` pairs, as arguments of the teleprompter and of its `compile`."""
    of_class = set(inspect.signature(optimizer).parameters) - {"metric"}
    of_compile = set(inspect.signature(optimizer.compile).parameters) - _GIVEN - of_class
    making: dict[str, Any] = {}
    compiling: dict[str, Any] = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not separator or key not in of_class | of_compile:
            known = ", ".join(sorted(of_class | of_compile))
            raise typer.BadParameter(f"{pair!r}: {optimizer.__name__} takes {known}, as key=value")
        (making if key in of_class else compiling)[key] = _value(text)
    return making, compiling


def _value(text: str) -> Any:
    import json

    try:
        return json.loads(text)
    except ValueError:
        return text


def optimize(
    program: Program,
    metric: Metric,
    data: Data,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where the better program goes.")],
    optimizer: Annotated[
        str, typer.Option("--optimizer", metavar="NAME", help="A teleprompter, like MIPROv2.")
    ] = "BootstrapFewShotWithRandomSearch",
    options: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An argument of the teleprompter.")
    ] = None,
    validation: Annotated[Path | None, typer.Option("--validation", metavar="FILE", help="Rows to choose on.")] = None,
    run_id: Annotated[
        str | None, typer.Option("--run-id", metavar="RUN", help="The run's name, to resume it by.")
    ] = None,
    inputs: Inputs = None,
    model: Model = None,
    api_base: Base = None,
    load: Load = None,
    workers: Width = None,
    store: Store_ = None,
    as_json: AsJson = False,
) -> None:
    """Make a program better, and save it.

    Killed at any time, the same command line goes on where it was if it has a --run-id, and `dspex runs resume` does
    in any case.

    Example: dspex optimize rag:RAG -m rag:score -d train.jsonl -o better.json
    """
    request = {
        "program": program,
        "metric": metric,
        "data": _where(data),
        "output": _where(output),
        "optimizer": optimizer,
        "options": options or [],
        "validation": _where(validation),
        "inputs": inputs,
        "model": model,
        "api_base": api_base,
        "load": _where(load),
        "workers": workers,
        "directory": os.getcwd(),
    }
    optimize_run(request, run_id, store, as_json)


def _where(path: Path | None) -> str | None:
    """The path, so that it is right from any directory: a run may be resumed from another one."""
    if path is None or (":" in str(path) and not path.exists()):
        return None if path is None else str(path)  # module:attribute
    return str(path.resolve())


def _optimizers(provided: Any) -> dict[str, Any]:
    """Those that learn from examples, by name."""
    found = {name: getattr(provided, name) for name in provided.__all__}
    base = provided.Teleprompter
    return {name: it for name, it in found.items() if inspect.isclass(it) and issubclass(it, base) and it is not base}


def optimize_run(request: Mapping[str, Any], run_id: str | None, store: str | None, as_json: bool) -> None:
    """Do what `dspex optimize` was asked, now or (to resume a run) again.

    Raises:
        LoadError: something named in the request is not there.
    """
    import dspex.teleprompt as teleprompters

    known = _optimizers(teleprompters)
    kind = known.get(request["optimizer"])
    if kind is None:
        raise LoadError(f"there is no optimizer {request['optimizer']!r}: there are {', '.join(known)}")
    chosen = load_program(request["program"], Path(request["load"]) if request["load"] else None)
    arguments: dict[str, Any] = {"trainset": load_examples(Path(request["data"]), request["inputs"], chosen)}
    if request["validation"]:
        arguments["valset"] = load_examples(Path(request["validation"]), request["inputs"], chosen)
    if request["workers"]:
        arguments["num_workers"] = request["workers"]
    making, compiling = _options(request["options"], kind)
    if "metric" in inspect.signature(kind).parameters:
        making["metric"] = load_metric(request["metric"])
    with _system(request["model"], request["api_base"], store):
        followed = {"run_id": run_id, "command": request, "display_progress": True}
        better = kind(**making).compile(chosen, **arguments, **compiling, **followed)
        better.save(request["output"])
    summary = better.optimization
    if as_json:
        emit_json({"output": request["output"], "score": summary.score, "run": summary.run_id})
        return
    score = "" if summary.score is None else f", score {summary.score:.2f} on the examples that it was chosen by"
    console().print(f"saved to {request['output']}{score} (run {summary.run_id})", markup=False)
    if summary.score is None and sys.stderr.isatty():
        errors().print("The optimizer reported no score; `dspex eval` measures one.", style="dim")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("eval", cls=Command)(evaluate)
    add(app, optimize)
