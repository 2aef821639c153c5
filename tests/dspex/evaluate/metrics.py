"""Metrics for other processes: they must be found by name there."""

import os
import signal
import subprocess
import sys
import time


def exact(example, prediction):
    return example.answer == prediction.answer


def treacherous(example, prediction):
    """Dies, hangs, raises or answers nonsense, as the example says."""
    match example.get("fate"):
        case "die":
            os._exit(3)
        case "segfault":
            os.kill(os.getpid(), 11)
        case "hang":
            while True:
                time.sleep(0.01)
        case "spin":
            while True:
                pass
        case "raise":
            raise ValueError("no such word")
        case "nonsense":
            return "yes"
        case "print":
            print("noise on standard output")
    return example.answer == prediction.answer


def reads(example, prediction):
    """Whether there is nothing to read: neither for itself nor for what it starts."""
    return sys.stdin.readline() == "" and subprocess.run(["cat"], capture_output=True, check=True).stdout == b""


def noisy(example, prediction):
    """Prints, by itself and by what it starts."""
    os.write(1, b"raw noise\n")
    subprocess.run(["echo", "noise of another"], check=True)
    print("printed noise")
    return True


def forks(example, prediction):
    """Dies; what it has forked lives on, with all that it had open."""
    if os.fork() == 0:
        signal.pause()
    os._exit(4)


def starts(example, prediction):
    """Waits for what it has started, which holds the pipe open for ever."""
    with open(example.pipe, "w") as pipe:
        subprocess.run(["sleep", "100000"], stdout=pipe, check=True)


def hangs_up(example, prediction):
    """Closes all that is open, and lives on."""
    os.closerange(3, 256)
    signal.pause()


async def awaited(example, prediction):
    return True


def hidden(example, prediction):
    """Does not look `async`, and is."""
    return awaited(example, prediction)


class Awaited:
    async def __call__(self, example, prediction):
        return True


def insisting(example, prediction, trace):
    """Takes no less than three arguments."""
    assert trace is None
    return 1.0
