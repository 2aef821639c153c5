"""What is wrong with a command line, beyond what its parser can see."""

from __future__ import annotations

from dspex._errors import DspexError

__all__ = ["CommandError", "NoModelError", "NoStoreError"]


class CommandError(DspexError):
    """The command cannot do what this command line asks for: exit code 2, like everything that the parser refuses."""

    code = "command"


class NoModelError(CommandError):
    """Nothing names a language model."""

    def __init__(self) -> None:
        super().__init__("no model: give --model PROVIDER/MODEL")


class NoStoreError(CommandError):
    """Who only looks makes no store."""

    def __init__(self, url: str) -> None:
        super().__init__(f"there is no store at {url}")
        self.url = url
