"""Metrics for other processes: they must be found by name there."""

import os
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
