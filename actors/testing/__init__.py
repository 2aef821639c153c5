"""For tests of actors: time that stands still until it is moved, waiting for quiet, and a check that nothing is left.

`leak_check` is a pytest fixture; the rest needs no pytest.
"""

from typing import TYPE_CHECKING, Any

from actors.testing._leaks import LeakError, no_leaks
from actors.testing._quiesce import NotQuietError, await_down, quiesce
from actors.testing._virtual_clock import VirtualClock

if TYPE_CHECKING:
    from actors.testing._fixture import leak_check

__all__ = ["LeakError", "NotQuietError", "VirtualClock", "await_down", "leak_check", "no_leaks", "quiesce"]


def __getattr__(name: str) -> Any:
    # Imported when it is asked for: who only wants a virtual clock need not have pytest.
    if name == "leak_check":
        from actors.testing._fixture import leak_check

        return leak_check
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
