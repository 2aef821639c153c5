"""A program written for DSPy: its first line was `import dspy`, and nothing else has changed."""

from model import setup, small_model

if __name__ == "__main__":
    setup()

import dspex as dspy


class Classify(dspy.Signature):
    """Decide whether each review is positive or negative."""

    review: str = dspy.InputField(desc="a sentence of a review")
    sentiment: bool = dspy.OutputField(desc="True if it is positive")


class Pipeline(dspy.Module):
    def __init__(self):
        super().__init__()
        self.classify = dspy.Predict(Classify)

    def forward(self, review):
        return self.classify(review=review)


def main():
    """Configure, call, save, load, look at the history."""
    with small_model() as settings:
        dspy.configure(**settings)
        pipeline = Pipeline()
        pipeline.classify.demos = [
            dspy.Example(review="Awful.", sentiment=False).with_inputs("review"),
            dspy.Example(review="Wonderful.", sentiment=True).with_inputs("review"),
        ]
        prediction = pipeline(review="I would buy it again.")
        print("sentiment:", prediction.sentiment)
        state = pipeline.dump_state()
        again = Pipeline()
        again.load_state(state)
        print("the same after loading:", again(review="I would buy it again.").sentiment == prediction.sentiment)
        dspy.inspect_history(n=1)


if __name__ == "__main__":
    main()
