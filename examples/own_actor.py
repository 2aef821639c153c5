"""A supervised actor of your own beside the programs: it counts answers, crashes, and is there again."""

from environment import ensure

if __name__ == "__main__":
    ensure(("-e", "."))

from dataclasses import dataclass

import dspex
from actors import AsyncActor
from supervision import ChildSpec, render_text, tree, which_children


@dataclass(frozen=True, slots=True)
class Answered:
    """A program has answered."""

    program: str


@dataclass(frozen=True, slots=True)
class HowMany:
    """How many answers, by program?"""


class Scoreboard(AsyncActor):
    """Counts what programs answer. Other parts of the service tell it; anybody may ask."""

    def __init__(self):
        super().__init__()
        self.answers = {}

    def on_receive(self, message):
        match message:
            case Answered(program):
                self.answers[program] = self.answers.get(program, 0) + 1
                return None
            case HowMany():
                return dict(self.answers)
            case _:
                raise TypeError(f"a scoreboard does not understand {message!r}")


def main():
    """Start it as a child of the system, use it, crash it, and find it restarted."""
    board = ChildSpec("scoreboard", Scoreboard.with_options(name="scoreboard").start_link)
    with dspex.System("service", lm=dspex.DummyLM([{"answer": "4"}] * 3), children=(board,)) as system:
        scoreboard = system.scheduler.whereis("scoreboard")
        ask = system.spawn(dspex.Predict("question -> answer"), name="ask")
        for _ in range(3):
            ask(question="What is 2 + 2?")
            scoreboard.tell(Answered("ask"))
        print("answers:", scoreboard.ask(HowMany()))

        scoreboard.tell("what nobody expects")  # crashes it, and nothing else
        scoreboard.down().get(timeout=5)
        print("it died of:", scoreboard.exit_reason)
        which_children(system.root).get(timeout=5)  # answered after the restart: a supervisor does one thing at a time
        print("answers after the restart:", system.scheduler.whereis("scoreboard").ask(HowMany()))
        print(render_text(tree(system.root)))


if __name__ == "__main__":
    main()
