"""`python -m dspex.local`: serve the local model until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from dspex.local._errors import LocalModelError
from dspex.local._model import MODEL_NAME
from dspex.local._server import serve


def main() -> int:
    """Serve, say where, wait. Exit code 0 after Ctrl-C or SIGTERM, 1 with one sentence when it cannot start or dies."""
    parser = argparse.ArgumentParser(prog="python -m dspex.local", description=__doc__)
    parser.add_argument("--model", default=MODEL_NAME, help=f"{MODEL_NAME}, or the path of a GGUF file")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--slots", type=int, default=4, help="requests computed at once")
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        with serve(options.model, port=options.port, slots=options.slots) as server:
            print(f"{server.model} on {server.base_url} (Ctrl-C stops it)", flush=True)
            while not stop.wait(0.5):
                if not server.is_alive():
                    print(f"The server died: {server.obituary()}.", file=sys.stderr)
                    return 1
    except LocalModelError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
