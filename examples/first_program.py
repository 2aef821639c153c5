"""A signature, a module, a call: `python3 examples/first_program.py "What a lovely day."`"""

import sys

from model import setup, small_model

if __name__ == "__main__":
    setup()

from typing import Literal

import dspex


class Judge(dspex.Signature):
    """Decide whether each review is positive or negative."""

    review: str = dspex.InputField()
    sentiment: Literal["positive", "negative"] = dspex.OutputField()


def main():
    """Judge the sentences given, or two of our own."""
    sentences = sys.argv[1:] or ["The food was cold and the waiter rude.", "Best phone I ever had."]
    judge = dspex.Predict(Judge)
    with small_model() as settings, dspex.context(**settings):
        for sentence in sentences:
            print(f"{judge(review=sentence).sentiment:8}  {sentence}")


if __name__ == "__main__":
    main()
