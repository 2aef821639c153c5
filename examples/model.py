"""The model that the examples talk to: a small one on this machine, or the one that DSPEX_EXAMPLE_MODEL names."""

import contextlib
import os

from environment import LOCAL_MODEL, ensure


def setup(*extras, packages=()):
    """Called by an example before it imports dspex: an environment with the local model, `extras` and `packages`."""
    project = ("-e", "." + ("[{}]".format(",".join(extras)) if extras else ""))
    ensure(project, *LOCAL_MODEL, *([packages] if packages else []))


@contextlib.contextmanager
def small_model(max_tokens=16):
    """Settings for `dspex.context` or `dspex.System`: the model and the adapter that suits it."""
    import dspex
    import dspex.local

    hosted = os.environ.get("DSPEX_EXAMPLE_MODEL")
    if hosted:
        yield {"lm": dspex.LM(hosted, temperature=0)}
        return
    with dspex.local.serve() as server:
        options = {"model_type": "text", "temperature": 0, "max_tokens": max_tokens}
        lm = dspex.LM("llamacpp/" + server.model, base_url=server.base_url, **options)
        yield {"lm": lm, "adapter": dspex.PlainAdapter()}
