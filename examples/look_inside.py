"""Looking into a running system with the CLI: this process runs one and calls `dspex` as you would in a terminal."""

import os
import subprocess
import sys
import tempfile

from environment import ensure

if __name__ == "__main__":
    ensure(("-e", "."))

import dspex


class Writer(dspex.Module):
    """Two predictors, one after the other."""

    def __init__(self):
        super().__init__()
        self.plan = dspex.Predict("question -> outline")
        self.write = dspex.Predict("question, outline -> answer")

    def forward(self, question):
        return self.write(question=question, outline=self.plan(question=question).outline)


def shell(*arguments):
    """Run `dspex ARGUMENTS` and show what it prints."""
    print("\n$ dspex", " ".join(arguments), flush=True)
    subprocess.run([sys.executable, "-m", "dspex", *arguments])


def main():
    """A program in use, a crash, and what can be seen of them."""
    answers = dspex.DummyLM([{"outline": "three points"}, {"answer": "forty-two"}] * 10)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DSPEX_RUNTIME_DIR"] = folder  # so that `dspex` sees this system only; leave it out to see all
        with dspex.System("shop", lm=answers) as system:
            writer = system.spawn(Writer(), name="writer")
            for number in range(5):
                writer(question=f"Question {number}?")
            shell("ps")
            shell("tree")
            writer.actors()["plan"].kill()
            writer(question="Still there?")
            shell("tree", "shop/programs/writer")
            shell("inspect", "shop/programs/writer/plan")


if __name__ == "__main__":
    main()
