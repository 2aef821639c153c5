"""Optimizers of programs, run as supervised actors whose every step is journaled."""

from __future__ import annotations

from ._bootstrap_few_shot import BootstrapFewShot
from ._candidate import Candidate, PredictorState
from ._copro import COPRO
from ._ensemble import Ensemble
from ._errors import BootstrapError, JournalMismatchError, RunPausedError, TeleprompterError
from ._knn_few_shot import KNNFewShot
from ._labeled_few_shot import LabeledFewShot
from ._mipro import MIPROv2
from ._options import OptimizationSummary, RunOptions
from ._random_search import BootstrapFewShotWithRandomSearch, BootstrapRS
from ._records import RunRecord, compare_runs, list_runs, load_run
from ._requests import Found, Prompt, Ranked, Search, bootstrap, decide, evaluate, fork, propose, rank
from ._run import OptimizationRun
from ._run_actor import CancelRun, PauseRun, ResumeRun, RunStatus
from ._task import Task
from ._teleprompter import Teleprompter
from .proposer import GroundedProposer

__all__ = [
    "BootstrapError",
    "BootstrapFewShot",
    "BootstrapFewShotWithRandomSearch",
    "BootstrapRS",
    "COPRO",
    "CancelRun",
    "Candidate",
    "Ensemble",
    "Found",
    "GroundedProposer",
    "JournalMismatchError",
    "KNNFewShot",
    "LabeledFewShot",
    "MIPROv2",
    "OptimizationRun",
    "OptimizationSummary",
    "PauseRun",
    "PredictorState",
    "Prompt",
    "Ranked",
    "ResumeRun",
    "RunOptions",
    "RunPausedError",
    "RunRecord",
    "RunStatus",
    "Search",
    "Task",
    "Teleprompter",
    "TeleprompterError",
    "bootstrap",
    "compare_runs",
    "decide",
    "evaluate",
    "fork",
    "list_runs",
    "load_run",
    "propose",
    "rank",
]
