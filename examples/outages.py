"""Surviving a provider: an endpoint that fails, throttles, hangs and goes away, on this machine. No model is needed.

`FaultServer` is an OpenAI-compatible server with real sockets that fails on demand. Watch what reaches the program.
"""

from environment import ensure

if __name__ == "__main__":
    ensure(("-e", "."))

import time

import dspex
from dspex.evaluate import Evaluate
from dspex.testing import FaultServer, always, at_random, none

RATES = {"unavailable_503": 0.1, "rate_limit": 0.1, "reset": 0.05, "invalid_json": 0.05}


def answered(example, prediction, trace=None):
    """The metric: there is an answer."""
    return bool(prediction.answer)


def main():
    """Three evaluations: a failing endpoint, one that goes away for a while, and a wrong key."""
    devset = [dspex.Example(question=f"What is {n} + {n}?").with_inputs("question") for n in range(100)]
    program = dspex.Predict("question -> answer")
    with FaultServer(latency=0.02) as server, dspex.System("outages"):
        lm = dspex.LM("openai/any", base_url=server.url, api_key="not-a-secret", timeout=2.0, cache=False)
        evaluate = Evaluate(devset=devset, metric=answered, num_workers=20)
        with dspex.context(lm=lm):
            print("\n1. Three requests in ten fail: 503, 429 with Retry-After, a reset connection, a garbled body.")
            server.faults = at_random(RATES, seed=1)
            print(evaluate(program).summary())
            print(f"requests that reached the endpoint: {len(server.requests)}")

            print("\n2. The endpoint goes away for two seconds. The breaker opens; nobody is scored as wrong.")
            server.faults = none()
            evaluation = evaluate.start(program)
            time.sleep(0.05)  # so that calls are at work when it goes
            server.stop()
            time.sleep(2.0)
            server.start()
            print(evaluation.result().summary())

            print("\n3. The key is refused. That is never tried again, and says so.")
            server.faults = always("auth_401")
            result = evaluate(program, devset=devset[:3])
            print(result.summary())
            print(result.failures[0].message)


if __name__ == "__main__":
    main()
