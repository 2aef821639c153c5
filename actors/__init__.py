"""Actors on Pykka: light processes with links, monitors, exits, fibers, stages and events.

Documentation: `docs/actors.md`.
"""

from actors._activity import Activity
from actors._async_actor import AsyncActor
from actors._clock import Clock, LoopClock, TimerHandle
from actors._default import default_scheduler
from actors._entries import Entry
from actors._errors import (
    ActorCrashed,
    ActorDeadError,
    ActorError,
    BlockingOnLoopError,
    ForkedError,
    HandlerError,
    Ignore,
    MailboxFull,
    NameTakenError,
    NoSchedulerError,
    Reject,
    StartError,
    StopActor,
    Timeout,
    UnpicklableMessageError,
)
from actors._event_stream import EventStream
from actors._events import Event, Events, Subscription
from actors._exits import Crash, ExitReason, Frame, Killed, NoProcess, Normal, Shutdown
from actors._handlers import blocking, concurrent, fiber, hosting
from actors._introspect import ActorInfo, Look, fenced, inspect, look
from actors._links import Monitor
from actors._local import current_actor
from actors._mailbox import Bounded
from actors._messages import Down, Exit, ReceiveTimeout
from actors._options import Options, Starter
from actors._orphan import Orphan
from actors._os_process import ProcessActor, ProcessDiedError
from actors._process import Process, State, current_scheduler
from actors._ref import ActorRef
from actors._registry import NotRegisteredError, Registered, Registry, Unregistered, Via
from actors._reply import Reply
from actors._scheduler import Scheduler
from actors._shutdown import ShutdownReport
from actors._thread_actor import ThreadActor
from actors._timers import Timer
from actors._wait import sleep, wait
from actors._watchdog import Stall

__all__ = [
    "Activity",
    "ActorCrashed",
    "ActorDeadError",
    "ActorError",
    "ActorInfo",
    "ActorRef",
    "AsyncActor",
    "BlockingOnLoopError",
    "Bounded",
    "Clock",
    "Crash",
    "Down",
    "Entry",
    "Event",
    "EventStream",
    "Events",
    "Exit",
    "ExitReason",
    "ForkedError",
    "Frame",
    "HandlerError",
    "Ignore",
    "Killed",
    "Look",
    "LoopClock",
    "MailboxFull",
    "Monitor",
    "NameTakenError",
    "NoProcess",
    "NoSchedulerError",
    "Normal",
    "NotRegisteredError",
    "Options",
    "Orphan",
    "Process",
    "ProcessActor",
    "ProcessDiedError",
    "ReceiveTimeout",
    "Registered",
    "Registry",
    "Reject",
    "Reply",
    "Scheduler",
    "Shutdown",
    "ShutdownReport",
    "Stall",
    "StartError",
    "Starter",
    "State",
    "StopActor",
    "Subscription",
    "ThreadActor",
    "Timeout",
    "Timer",
    "TimerHandle",
    "UnpicklableMessageError",
    "Unregistered",
    "Via",
    "blocking",
    "concurrent",
    "current_actor",
    "current_scheduler",
    "default_scheduler",
    "fenced",
    "fiber",
    "hosting",
    "inspect",
    "look",
    "sleep",
    "wait",
]
