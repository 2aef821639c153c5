"""An agent with tools: the model says which tool to use, sees what came of it, and goes on until it can answer.

A model of 135 million parameters cannot do this, so what the model says here is written down beforehand; the agent, the
tools and the failure of one of them are real. `DSPEX_EXAMPLE_MODEL=openai/gpt-4o-mini python3 examples/tools.py`, with
a key in the environment, leaves it to a model that can.
"""

import os

from environment import ensure

if __name__ == "__main__":
    ensure(("-e", "."))

import dspex

STOCK = {"tea": 4, "coffee": 0}
PRICES = {"tea": 3.5}


def in_stock(product: str) -> int:
    """How many of a product there are."""
    return STOCK[product]


async def price_of(product: str) -> float:
    """What one of a product costs, in euros."""
    return PRICES[product]


def step(thought, tool, **arguments):
    """What a model answers in one step."""
    return {"next_thought": thought, "next_tool_name": tool, "next_tool_args": arguments}


WRITTEN_DOWN = [
    step("First I look whether there is any tea.", "in_stock", product="tea"),
    step("There is. Now the price, of green tea.", "price_of", product="green tea"),
    step("It is listed as tea.", "price_of", product="tea"),
    step("I know enough.", "finish"),
    {"reasoning": "4 in stock at 3.50 each; 2 cost 7.00.", "answer": "Yes, two cost 7.00 euros."},
]


def main():
    """Ask the agent, and show the steps that it took."""
    hosted = os.environ.get("DSPEX_EXAMPLE_MODEL")
    lm = dspex.LM(hosted) if hosted else dspex.DummyLM(WRITTEN_DOWN)
    agent = dspex.ReAct("question -> answer", tools=[in_stock, price_of], max_iters=6)
    with dspex.context(lm=lm):
        prediction = agent(question="Can I buy two teas, and what do they cost?")
    steps = prediction.trajectory
    for number in range(len(steps) // 4):
        print(f"{number + 1}. {steps[f'thought_{number}']}")
        print(f"   {steps[f'tool_name_{number}']}({steps[f'tool_args_{number}']}) -> {steps[f'observation_{number}']}")
    print("answer:", prediction.answer)


if __name__ == "__main__":
    main()
