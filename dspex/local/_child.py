"""The child process that is the model server. Run by `_server`, never imported by the library.

It announces itself with one line of JSON on standard output, and lives until its standard input is closed:
that happens when the parent says so and also when the parent is killed, so no server is ever left behind.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any


def main(settings: dict[str, Any]) -> None:
    """Serve until standard input ends. Exits the process itself: llama.cpp's threads would hold it back."""
    announce = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # llama.cpp may print to standard output; only the announcement belongs there
    xllamacpp: Any = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.model_alias = {settings["alias"]}
    params.hostnames = [settings["host"]]
    params.port = settings["port"]
    params.n_parallel = settings["slots"]
    params.n_ctx = settings["context"] * settings["slots"]
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings["threads"]
    params.cache_ram_mib = 256  # its default lets the prompt cache grow to 8 GB
    params.n_threads_http = 64  # each waiting request holds one: with the default 8, nobody else gets an answer
    params.endpoint_metrics = True
    params.verbosity = 2  # warnings and errors: the log is kept for their sake
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        print(json.dumps({"error": str(error)}), file=announce, flush=True)
        os._exit(1)
    print(json.dumps({"listening": server.listening_address}), file=announce, flush=True)
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
