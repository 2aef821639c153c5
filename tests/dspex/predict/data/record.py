"""Recorded the files `dspy_*.json` beside this one with DSPy 3.4.1: `python record.py FOLDER`, where that is installed.

They are what `save` wrote; nothing in them was changed.
"""

import sys
from pathlib import Path

import dspy


class Grade(dspy.Signature):
    """Grade the answer to the question."""

    question: str = dspy.InputField()
    answer: str = dspy.InputField(desc="what was answered")
    grade: int = dspy.OutputField(desc="from 0 to 10", ge=0, le=10)


class Program(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qa = dspy.ChainOfThought("context: list[str], question -> answer")
        self.steps = [dspy.Predict("question -> query"), dspy.Predict("query -> topic: str")]
        self.by_kind = {"short": dspy.Predict("question -> answer")}
        self.grade = dspy.Predict(Grade)


program = Program()
predict = program.qa.predict
predict.signature = predict.signature.with_instructions("Answer from the context.\nBe brief.")
context = ["Rome is the capital of Italy.", "Ünïcode"]
predict.demos = [
    dspy.Example(augmented=True, context=context, question="Capital of Italy?", reasoning="It says so.", answer="Rome"),
    dspy.Example(context=[], question="Capital of France?", answer="Paris").with_inputs("context", "question"),
]
program.grade.lm = dspy.LM(
    "openai/gpt-4o-mini",
    temperature=0.5,
    max_tokens=200,
    api_base="http://somewhere.invalid/v1",
    api_key="sk-not-saved",
)
program.grade.demos = [dspy.Example(question="q", answer="a", grade=7)]

alone = dspy.Predict("question -> answer", temperature=0.3)
alone.demos = [dspy.Example(question="q", answer="a").with_inputs("question")]

tool = dspy.Tool(lambda q: q, name="look_up", desc="Looks it up.", args={"q": {"type": "string"}})
folder = Path(sys.argv[1])
program.save(folder / "dspy_program.json")
alone.save(folder / "dspy_predict.json")
dspy.ReAct("question -> answer", tools=[tool]).save(folder / "dspy_react.json")
dspy.MultiChainComparison("question -> answer").save(folder / "dspy_multi_chain.json")
