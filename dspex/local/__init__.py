"""A real small language model on a real local server: no API key, no compiler, no network at run time.

    with dspex.local.serve() as server:
        lm = dspex.LM("openai/smollm2", base_url=server.base_url, api_key="local")

The server is llama.cpp's own OpenAI-compatible HTTP server, always in a child process of its own: it cannot
take this process down with it, and it dies with this process. `python -m dspex.local` runs one by hand.
"""

from dspex.local._actor import ModelServer
from dspex.local._errors import LocalModelError
from dspex.local._model import INSTALL_COMMANDS, MODEL_NAME, missing_packages, model_file
from dspex.local._server import LocalServer, serve

__all__ = [
    "INSTALL_COMMANDS",
    "LocalModelError",
    "LocalServer",
    "MODEL_NAME",
    "ModelServer",
    "missing_packages",
    "model_file",
    "serve",
]
