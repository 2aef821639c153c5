"""For packages that build on the runtime: what the running thread is doing for whom, and the log.

Hot paths ask which fiber and which scheduler they run on; these are the names by which they ask, kept apart from
those that every program needs.
"""

from actors._local import Fiber, chosen_scheduler, current_fiber, here
from actors._log import logger
from actors._process import nearest_scheduler

__all__ = ["Fiber", "chosen_scheduler", "current_fiber", "here", "logger", "nearest_scheduler"]
