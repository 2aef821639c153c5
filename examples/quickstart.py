"""The whole of dspex in a few minutes on a real model, with no API key: `python3 examples/quickstart.py`.

It sets up `.venv`, starts a small language model on this machine, spawns a program as a tree of actors, evaluates it on
real data, kills parts of it meanwhile, optimizes it, and says honestly what that gained on examples that no choice was
made on. `--quick` does the same on fewer examples. `--model openai/gpt-4o-mini` uses a hosted model, with its key in
the environment.
"""

import argparse
import sys
import time

from environment import LOCAL_MODEL, ensure

if __name__ == "__main__":
    ensure(("-e", "."), *LOCAL_MODEL)  # before the imports below: it may start this script again, inside

from typing import Literal

import dspex
from dspex.datasets import intent, split
from dspex.evaluate import Evaluate, Scored
from dspex.local import ModelServer, serve
from dspex.teleprompt import BootstrapFewShotWithRandomSearch
from supervision import ChildSpec, render_text, tree

STARTED = time.monotonic()


# -- the program: what it is given, what it answers, and a module that does it ---------------------------------


class Route(dspex.Signature):
    """Say which kind of request it is."""

    utterance: str = dspex.InputField()
    intent: Literal[
        "add_to_playlist",
        "book_restaurant",
        "get_weather",
        "play_music",
        "rate_book",
        "search_creative_work",
        "search_screening_event",
    ] = dspex.OutputField()


class Assistant(dspex.Module):
    """Routes what somebody says to a voice assistant."""

    def __init__(self):
        super().__init__()
        self.route = dspex.Predict(Route)

    def forward(self, utterance):
        return self.route(utterance=utterance)


def right(example, prediction, trace=None):
    """The metric: 1 for the right intent, else 0."""
    return example.intent == prediction.intent


# -- the tour ----------------------------------------------------------------------------------------------------


def tour(options):
    """All steps, one after the other, in one system."""
    data = split(intent(), train=60, dev=options.dev, test=options.test, seed=0)
    server = None if options.model else serve()
    children = () if server is None else (ChildSpec("model", (ModelServer, (server,)), shutdown=10.0),)
    with dspex.System("quickstart", children=children) as system:
        if server is None:
            lm, adapter = dspex.LM(options.model, temperature=0), None
            say(f"the model is {options.model}")
        else:
            # cache=False: every figure below is of calls that were really made
            where = {"base_url": server.base_url, "api_key": "local"}
            lm = dspex.LM("llamacpp/smollm2", model_type="text", temperature=0, max_tokens=8, cache=False, **where)
            adapter = dspex.PlainAdapter()
            say(f"a real model with 135 million parameters answers on {server.base_url}, process {server.pid}")
        with dspex.context(lm=lm, adapter=adapter):
            program = Assistant()
            running = system.spawn(program, name="assistant")
            ask(running, data.test[0])
            before = evaluate_with_accidents(running, data.test, server)
            better = optimize(program, data, options.candidates)
            running.adopt(better)  # hot: no call is lost
            say("the running program has its new demonstrations; evaluating it on the same held-out examples")
            after = watch(Evaluate(devset=data.test, metric=right, num_workers=8).start(running))
            verdict(before, after)
            heading("The tree of actors, as it runs")
            print(render_text(tree(system.root)))
            print("\nModules of the running program:")
            for path, seen in sorted(running.metrics().items()):
                print(f"  {path:<8} {seen}")
    say("done: every actor and the model's process have ended")


def ask(running, example):
    """One request to the spawned program."""
    heading("One request")
    prediction = running(utterance=example.utterance)
    print(f"  utterance  {example.utterance}\n  intent     {prediction.intent}   (right: {example.intent})")


def evaluate_with_accidents(running, devset, server):
    """Evaluate, and meanwhile kill what works: nothing is lost, and nothing becomes a wrong answer."""
    heading(f"Evaluation on {len(devset)} held-out examples, with accidents")
    evaluation = Evaluate(devset=devset, metric=right, num_workers=8, patience=120.0).start(running)
    accidents = [("an actor of the program", lambda: running.actors()["route"].kill())]
    if server is not None:
        accidents.append((f"the model's process {server.pid} (kill -9)", server.kill))
    return watch(evaluation, accidents)


def optimize(program, data, candidates):
    """Search for demonstrations: choices are made on the training and development examples only."""
    heading(f"Optimization: which demonstrations help? (chosen on {len(data.dev)} other examples)")
    optimizer = BootstrapFewShotWithRandomSearch(
        metric=right,
        max_bootstrapped_demos=2,
        max_labeled_demos=8,
        num_candidate_programs=candidates,
        num_threads=8,
    )
    run = optimizer.start(program, trainset=data.train, valset=data.dev)
    told = time.monotonic()
    while not run.done():
        time.sleep(0.1)
        status = run.status() if time.monotonic() - told >= 5.0 else None
        if status is not None:
            told = time.monotonic()
            best = "" if status.best is None else f", the best so far at {status.best:.1f} percent"
            tried = (
                f"{status.candidates} of {candidates + 3} candidates scored"  # with the three that are no random ones
            )
            say(f"{tried}{best}; {status.done} steps done")
    better = run.result()
    for rank, candidate in enumerate(better.candidate_programs, start=1):
        print("  {}. {:5.1f} percent on the development examples".format(rank, candidate["score"]))
    print(f"  kept: the first, with {len(better.route.demos)} demonstrations")
    return better


def verdict(before, after):
    """What the optimization gained on the held-out examples, with a 95 percent interval of the paired difference."""
    heading("What did it gain?")
    both = zip(before.outcomes, after.outcomes, strict=True)
    pairs = [(first.score, second.score) for first, second in both if is_scored(first) and is_scored(second)]
    gains = [float(b) - float(a) for a, b in pairs]
    mean = sum(gains) / len(gains)
    spread = (sum((gain - mean) ** 2 for gain in gains) / max(1, len(gains) - 1) / len(gains)) ** 0.5
    low, high = 100 * (mean - 1.96 * spread), 100 * (mean + 1.96 * spread)
    print(f"  before     {before.score:5.1f} percent right, zero-shot")
    print(f"  after      {after.score:5.1f} percent right")
    print(f"  difference {100 * mean:+5.1f} points on {len(pairs)} held-out examples; with 95 percent confidence")
    print(f"             between {low:+.1f} and {high:+.1f}")
    if low > 0:
        print("  The optimization lifted the score.")
    elif high < 0:
        print("  The optimization made it worse.")
    else:
        print("  The interval contains zero: this run does not show that the optimization helped.")


def is_scored(outcome):
    """Whether an example has a score; one that failed has none, and is not counted as wrong."""
    return isinstance(outcome, Scored)


# -- the screen --------------------------------------------------------------------------------------------------


def watch(evaluation, accidents=()):
    """Follow an evaluation on the screen; cause the accidents on the way, evenly spread."""
    waiting = list(accidents)
    due = [(number + 1) * evaluation.progress.total // (len(waiting) + 2) for number in range(len(waiting))]
    told, shown = time.monotonic(), -1
    while not evaluation.wait(0.1):
        progress = evaluation.progress
        if waiting and progress.done >= due[0]:
            what, kill = waiting.pop(0)
            due.pop(0)
            kill()
            say(f"killed {what}")
        quiet = time.monotonic() - told
        if (quiet >= 2.0 and progress.done != shown) or quiet >= 10.0:
            told, shown = time.monotonic(), progress.done
            score = "" if progress.score is None else f", {progress.score:.0f} percent right so far"
            again = f", {progress.retries} tried again" if progress.retries else ""
            say(f"{progress.done} of {progress.total} done{score}{again}")
    result = evaluation.result()
    print("  " + result.summary().replace("\n", "\n  "))
    return result


def heading(text):
    """A step begins."""
    print(f"\n== {text}", flush=True)


def say(text):
    """A line with the seconds since the start."""
    print(f"[{time.monotonic() - STARTED:4.0f} s] {text}", flush=True)


def main():
    """Exit code 0 when all was done, 1 with a sentence when not, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer examples: under two minutes")
    parser.add_argument("--model", help="a hosted model, for example openai/gpt-4o-mini, instead of the local one")
    options = parser.parse_args()
    options.dev, options.test, options.candidates = (30, 40, 2) if options.quick else (60, 120, 3)
    try:
        tour(options)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    except dspex.DspexError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
