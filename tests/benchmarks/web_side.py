"""One side of `system.py`, in a process and a Python of its own: an application under uvicorn.

    python web_side.py SCRIPT '{"base_url": ...}'

SCRIPT has `make_app(task)`.  Prints the port, serves until it is killed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import resource
import socket
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main(script: str, task: str) -> None:
    sys.path[:] = [place for place in sys.path if Path(place).resolve() != HERE]  # a file here is named `actors`
    with contextlib.suppress(OSError, ValueError):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    spec = importlib.util.spec_from_file_location("side", script)
    assert spec is not None
    assert spec.loader is not None
    side = importlib.util.module_from_spec(spec)
    sys.modules["side"] = side  # FastAPI looks up annotations in the module
    spec.loader.exec_module(side)
    import uvicorn

    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(side.make_app(json.loads(task)), log_level="error", loop="asyncio", lifespan="on")
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main(*sys.argv[1:])
