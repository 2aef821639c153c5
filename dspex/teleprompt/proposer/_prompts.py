"""The questions that the grounded proposer asks the prompt model. All wording is dspex's own."""

from __future__ import annotations

from .._requests import Prompt

OBSERVE = Prompt(
    "ObserveData",
    "You are shown rows of a data set. Write down, in a few short sentences, what holds for these rows in general: "
    "subject matter, style, how the outputs follow from the inputs, what makes a row hard. Add to the earlier "
    "observations instead of repeating them. If there is nothing to add, answer with the single word COMPLETE.",
    (("rows", "rows of the data set, one per line"), ("earlier_observations", "what was observed in other rows")),
    (("observations", "new observations, or COMPLETE"),),
)

SUMMARIZE = Prompt(
    "SummarizeData",
    "Condense these observations about a data set into two or three sentences that would help somebody to write "
    "instructions for the task behind it.",
    (("observations", "observations about the data set"),),
    (("summary", "two or three sentences"),),
)

DESCRIBE_PROGRAM = Prompt(
    "DescribeProgram",
    "You are shown the code of a program that calls language models. Say which task the program solves and, step by "
    "step, how. Two or three sentences.",
    (("program_code", "the program"), ("example", "one row of the data that it works on")),
    (("program_description", "the task and how the program solves it"),),
)

DESCRIBE_STEP = Prompt(
    "DescribeStep",
    "A program that calls language models has a step with the fields shown. Say in one sentence what this step has "
    "to achieve for the program as a whole to succeed.",
    (
        ("program_description", "what the whole program does"),
        ("program_code", "the program"),
        ("step", "the step's inputs and outputs"),
    ),
    (("step_description", "what the step is for"),),
)

_TASK = (
    "Write an instruction for a language model that has to fill the output fields of one step from its input fields. "
    "Use all that you are told below about the data, the program and the step. The instruction must stand on its own: "
    "the model that follows it will see nothing of what you see here, only the instruction and the input fields. "
    "Write the instruction only, with no comment and no heading."
)

_PARTS = {
    "data_summary": "what is known about the data",
    "program_description": "what the whole program does",
    "step_description": "what this step is for",
    "step": "the step's inputs and outputs",
    "demonstrations": "runs of the step that turned out well",
    "earlier_instructions": "instructions tried before, with their scores (higher is better)",
    "present_instruction": "the instruction in use now",
    "tip": "a hint on how to write this one",
}


def instruct(parts: frozenset[str]) -> Prompt:
    """The request for an instruction, asking with these parts only."""
    inputs = tuple((name, description) for name, description in _PARTS.items() if name in parts)
    return Prompt("WriteInstruction", _TASK, inputs, (("instruction", "the instruction, and nothing else"),))
