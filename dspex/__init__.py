"""dspex: language-model programs that run as trees of supervised actors.

Nothing is loaded until it is used: every name here is imported by its first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dspex._packages import PACKAGES, explain_foreign, warn_of_foreign

if TYPE_CHECKING:
    from actors import ActorCrashed as ActorCrashed
    from dspex._errors import AdapterParseError as AdapterParseError
    from dspex._errors import BreakerOpenError as BreakerOpenError
    from dspex._errors import BudgetExceededError as BudgetExceededError
    from dspex._errors import CodeExecutionError as CodeExecutionError
    from dspex._errors import CodeInterpreterError as CodeInterpreterError
    from dspex._errors import ContextWindowExceededError as ContextWindowExceededError
    from dspex._errors import DspexError as DspexError
    from dspex._errors import DSPyError as DSPyError
    from dspex._errors import LMAuthError as LMAuthError
    from dspex._errors import LMBillingError as LMBillingError
    from dspex._errors import LMCollectionLimitError as LMCollectionLimitError
    from dspex._errors import LMConfigurationError as LMConfigurationError
    from dspex._errors import LMError as LMError
    from dspex._errors import LMInvalidRequestError as LMInvalidRequestError
    from dspex._errors import LMLockTimeoutError as LMLockTimeoutError
    from dspex._errors import LMNotConfiguredError as LMNotConfiguredError
    from dspex._errors import LMProviderError as LMProviderError
    from dspex._errors import LMRateLimitError as LMRateLimitError
    from dspex._errors import LMServerError as LMServerError
    from dspex._errors import LMStreamAssemblyError as LMStreamAssemblyError
    from dspex._errors import LMTimeoutError as LMTimeoutError
    from dspex._errors import LMTransportError as LMTransportError
    from dspex._errors import LMUnexpectedError as LMUnexpectedError
    from dspex._errors import LMUnsupportedFeatureError as LMUnsupportedFeatureError
    from dspex._errors import LMUnsupportedModelError as LMUnsupportedModelError
    from dspex._errors import MissingExtraError as MissingExtraError
    from dspex._errors import SignatureError as SignatureError
    from dspex._errors import ToolError as ToolError
    from dspex._errors import UnknownSettingError as UnknownSettingError
    from dspex._errors import is_retryable_lm_error as is_retryable_lm_error
    from dspex._settings import configure as configure
    from dspex._settings import context as context
    from dspex._settings import load_settings as load_settings
    from dspex._settings import settings as settings
    from dspex._usage import UsageTracker as UsageTracker
    from dspex._usage import track_usage as track_usage
    from dspex.adapters import Adapter as Adapter
    from dspex.adapters import ChatAdapter as ChatAdapter
    from dspex.adapters import JSONAdapter as JSONAdapter
    from dspex.adapters import PlainAdapter as PlainAdapter
    from dspex.adapters import TwoStepAdapter as TwoStepAdapter
    from dspex.adapters import XMLAdapter as XMLAdapter
    from dspex.callbacks import BaseCallback as BaseCallback
    from dspex.callbacks import with_callbacks as with_callbacks
    from dspex.datasets import DataLoader as DataLoader
    from dspex.evaluate import EM as EM
    from dspex.evaluate import Evaluate as Evaluate
    from dspex.evaluate import EvaluationResult as EvaluationResult
    from dspex.evaluate import answer_exact_match as answer_exact_match
    from dspex.evaluate import answer_passage_match as answer_passage_match
    from dspex.evaluate import normalize_text as normalize_text
    from dspex.lm import LM as LM
    from dspex.lm import BaseLM as BaseLM
    from dspex.lm import Embedder as Embedder
    from dspex.lm import LMOutput as LMOutput
    from dspex.lm import LMRequest as LMRequest
    from dspex.lm import LMResponse as LMResponse
    from dspex.lm import RetryPolicy as RetryPolicy
    from dspex.lm import Usage as Usage
    from dspex.lm import budget as budget
    from dspex.lm import inspect_history as inspect_history
    from dspex.lm import pretty_print_history as pretty_print_history
    from dspex.lm import register_price as register_price
    from dspex.predict import KNN as KNN
    from dspex.predict import BestOfN as BestOfN
    from dspex.predict import ChainOfThought as ChainOfThought
    from dspex.predict import Module as Module
    from dspex.predict import MultiChainComparison as MultiChainComparison
    from dspex.predict import Parallel as Parallel
    from dspex.predict import Predict as Predict
    from dspex.predict import ReAct as ReAct
    from dspex.predict import Refine as Refine
    from dspex.predict import majority as majority
    from dspex.predict._state import load_program as load
    from dspex.primitives import Completions as Completions
    from dspex.primitives import Example as Example
    from dspex.primitives import Prediction as Prediction
    from dspex.programs import DeadlineExceededError as DeadlineExceededError
    from dspex.programs import ModuleMetrics as ModuleMetrics
    from dspex.programs import ParallelError as ParallelError
    from dspex.programs import Parameters as Parameters
    from dspex.programs import ProgramRef as ProgramRef
    from dspex.programs import ProgramStoppedError as ProgramStoppedError
    from dspex.programs import SystemClosedError as SystemClosedError
    from dspex.programs import asyncify as asyncify
    from dspex.programs import syncify as syncify
    from dspex.programs._pipeline import Pipeline as Pipeline
    from dspex.programs._pipeline import Program as Program
    from dspex.retrievers import Embeddings as Embeddings
    from dspex.retrievers import EmbeddingsWithScores as EmbeddingsWithScores
    from dspex.signatures import InputField as InputField
    from dspex.signatures import OutputField as OutputField
    from dspex.signatures import Signature as Signature
    from dspex.signatures import SignatureMeta as SignatureMeta
    from dspex.signatures import ensure_signature as ensure_signature
    from dspex.signatures import infer_prefix as infer_prefix
    from dspex.signatures import make_signature as make_signature
    from dspex.streaming import streamify as streamify
    from dspex.system import System as System
    from dspex.system import SystemConfig as SystemConfig
    from dspex.system import close_default_system as close_default_system
    from dspex.system import current_system as current_system
    from dspex.teleprompt import COPRO as COPRO
    from dspex.teleprompt import BootstrapError as BootstrapError
    from dspex.teleprompt import BootstrapFewShot as BootstrapFewShot
    from dspex.teleprompt import BootstrapFewShotWithRandomSearch as BootstrapFewShotWithRandomSearch
    from dspex.teleprompt import BootstrapRS as BootstrapRS
    from dspex.teleprompt import CancelRun as CancelRun
    from dspex.teleprompt import Candidate as Candidate
    from dspex.teleprompt import Ensemble as Ensemble
    from dspex.teleprompt import GroundedProposer as GroundedProposer
    from dspex.teleprompt import JournalMismatchError as JournalMismatchError
    from dspex.teleprompt import KNNFewShot as KNNFewShot
    from dspex.teleprompt import LabeledFewShot as LabeledFewShot
    from dspex.teleprompt import MIPROv2 as MIPROv2
    from dspex.teleprompt import OptimizationRun as OptimizationRun
    from dspex.teleprompt import OptimizationSummary as OptimizationSummary
    from dspex.teleprompt import PauseRun as PauseRun
    from dspex.teleprompt import PredictorState as PredictorState
    from dspex.teleprompt import ResumeRun as ResumeRun
    from dspex.teleprompt import RunOptions as RunOptions
    from dspex.teleprompt import RunPausedError as RunPausedError
    from dspex.teleprompt import RunRecord as RunRecord
    from dspex.teleprompt import RunStatus as RunStatus
    from dspex.teleprompt import Teleprompter as Teleprompter
    from dspex.teleprompt import TeleprompterError as TeleprompterError
    from dspex.teleprompt import compare_runs as compare_runs
    from dspex.teleprompt import list_runs as list_runs
    from dspex.teleprompt import load_run as load_run
    from dspex.testing import DummyLM as DummyLM
    from dspex.types import Audio as Audio
    from dspex.types import Code as Code
    from dspex.types import File as File
    from dspex.types import History as History
    from dspex.types import Image as Image
    from dspex.types import Reasoning as Reasoning
    from dspex.types import Tool as Tool
    from dspex.types import ToolCall as ToolCall
    from dspex.types import ToolCallResults as ToolCallResults
    from dspex.types import ToolCalls as ToolCalls
    from dspex.types import Type as Type

_PLACES: dict[str, str] = {
    "ActorCrashed": "actors",
    "Adapter": "dspex.adapters",
    "AdapterParseError": "dspex._errors",
    "Audio": "dspex.types",
    "BaseCallback": "dspex.callbacks",
    "BaseLM": "dspex.lm",
    "BestOfN": "dspex.predict",
    "BootstrapError": "dspex.teleprompt",
    "BootstrapFewShot": "dspex.teleprompt",
    "BootstrapFewShotWithRandomSearch": "dspex.teleprompt",
    "BootstrapRS": "dspex.teleprompt",
    "BreakerOpenError": "dspex._errors",
    "BudgetExceededError": "dspex._errors",
    "COPRO": "dspex.teleprompt",
    "CancelRun": "dspex.teleprompt",
    "Candidate": "dspex.teleprompt",
    "ChainOfThought": "dspex.predict",
    "ChatAdapter": "dspex.adapters",
    "Code": "dspex.types",
    "CodeExecutionError": "dspex._errors",
    "CodeInterpreterError": "dspex._errors",
    "Completions": "dspex.primitives",
    "ContextWindowExceededError": "dspex._errors",
    "DSPyError": "dspex._errors",
    "DataLoader": "dspex.datasets",
    "DeadlineExceededError": "dspex.programs",
    "DspexError": "dspex._errors",
    "DummyLM": "dspex.testing",
    "EM": "dspex.evaluate",
    "Embedder": "dspex.lm",
    "Embeddings": "dspex.retrievers",
    "EmbeddingsWithScores": "dspex.retrievers",
    "Ensemble": "dspex.teleprompt",
    "Evaluate": "dspex.evaluate",
    "EvaluationResult": "dspex.evaluate",
    "Example": "dspex.primitives",
    "File": "dspex.types",
    "GroundedProposer": "dspex.teleprompt",
    "History": "dspex.types",
    "Image": "dspex.types",
    "InputField": "dspex.signatures",
    "JSONAdapter": "dspex.adapters",
    "JournalMismatchError": "dspex.teleprompt",
    "KNN": "dspex.predict",
    "KNNFewShot": "dspex.teleprompt",
    "LM": "dspex.lm",
    "LMAuthError": "dspex._errors",
    "LMBillingError": "dspex._errors",
    "LMCollectionLimitError": "dspex._errors",
    "LMConfigurationError": "dspex._errors",
    "LMError": "dspex._errors",
    "LMInvalidRequestError": "dspex._errors",
    "LMLockTimeoutError": "dspex._errors",
    "LMNotConfiguredError": "dspex._errors",
    "LMOutput": "dspex.lm",
    "LMProviderError": "dspex._errors",
    "LMRateLimitError": "dspex._errors",
    "LMRequest": "dspex.lm",
    "LMResponse": "dspex.lm",
    "LMServerError": "dspex._errors",
    "LMStreamAssemblyError": "dspex._errors",
    "LMTimeoutError": "dspex._errors",
    "LMTransportError": "dspex._errors",
    "LMUnexpectedError": "dspex._errors",
    "LMUnsupportedFeatureError": "dspex._errors",
    "LMUnsupportedModelError": "dspex._errors",
    "LabeledFewShot": "dspex.teleprompt",
    "MIPROv2": "dspex.teleprompt",
    "MissingExtraError": "dspex._errors",
    "Module": "dspex.predict",
    "ModuleMetrics": "dspex.programs",
    "MultiChainComparison": "dspex.predict",
    "OptimizationRun": "dspex.teleprompt",
    "OptimizationSummary": "dspex.teleprompt",
    "OutputField": "dspex.signatures",
    "Parallel": "dspex.predict",
    "ParallelError": "dspex.programs",
    "Parameters": "dspex.programs",
    "PauseRun": "dspex.teleprompt",
    "Pipeline": "dspex.programs._pipeline",
    "PlainAdapter": "dspex.adapters",
    "Predict": "dspex.predict",
    "Prediction": "dspex.primitives",
    "PredictorState": "dspex.teleprompt",
    "Program": "dspex.programs._pipeline",
    "ProgramRef": "dspex.programs",
    "ProgramStoppedError": "dspex.programs",
    "ReAct": "dspex.predict",
    "Reasoning": "dspex.types",
    "Refine": "dspex.predict",
    "ResumeRun": "dspex.teleprompt",
    "RetryPolicy": "dspex.lm",
    "RunOptions": "dspex.teleprompt",
    "RunPausedError": "dspex.teleprompt",
    "RunRecord": "dspex.teleprompt",
    "RunStatus": "dspex.teleprompt",
    "Signature": "dspex.signatures",
    "SignatureError": "dspex._errors",
    "SignatureMeta": "dspex.signatures",
    "System": "dspex.system",
    "SystemClosedError": "dspex.programs",
    "SystemConfig": "dspex.system",
    "Teleprompter": "dspex.teleprompt",
    "TeleprompterError": "dspex.teleprompt",
    "Tool": "dspex.types",
    "ToolCall": "dspex.types",
    "ToolCallResults": "dspex.types",
    "ToolCalls": "dspex.types",
    "ToolError": "dspex._errors",
    "TwoStepAdapter": "dspex.adapters",
    "Type": "dspex.types",
    "UnknownSettingError": "dspex._errors",
    "Usage": "dspex.lm",
    "UsageTracker": "dspex._usage",
    "XMLAdapter": "dspex.adapters",
    "answer_exact_match": "dspex.evaluate",
    "answer_passage_match": "dspex.evaluate",
    "asyncify": "dspex.programs",
    "budget": "dspex.lm",
    "close_default_system": "dspex.system",
    "compare_runs": "dspex.teleprompt",
    "configure": "dspex._settings",
    "context": "dspex._settings",
    "current_system": "dspex.system",
    "ensure_signature": "dspex.signatures",
    "infer_prefix": "dspex.signatures",
    "inspect_history": "dspex.lm",
    "is_retryable_lm_error": "dspex._errors",
    "list_runs": "dspex.teleprompt",
    "load": "dspex.predict._state:load_program",
    "load_run": "dspex.teleprompt",
    "load_settings": "dspex._settings",
    "majority": "dspex.predict",
    "make_signature": "dspex.signatures",
    "normalize_text": "dspex.evaluate",
    "pretty_print_history": "dspex.lm",
    "register_price": "dspex.lm",
    "settings": "dspex._settings",
    "streamify": "dspex.streaming",
    "syncify": "dspex.programs",
    "track_usage": "dspex._usage",
    "with_callbacks": "dspex.callbacks",
}

__all__ = [
    "ActorCrashed",
    "Adapter",
    "AdapterParseError",
    "Audio",
    "BaseCallback",
    "BaseLM",
    "BestOfN",
    "BootstrapError",
    "BootstrapFewShot",
    "BootstrapFewShotWithRandomSearch",
    "BootstrapRS",
    "BreakerOpenError",
    "BudgetExceededError",
    "COPRO",
    "CancelRun",
    "Candidate",
    "ChainOfThought",
    "ChatAdapter",
    "Code",
    "CodeExecutionError",
    "CodeInterpreterError",
    "Completions",
    "ContextWindowExceededError",
    "DSPyError",
    "DataLoader",
    "DeadlineExceededError",
    "DspexError",
    "DummyLM",
    "EM",
    "Embedder",
    "Embeddings",
    "EmbeddingsWithScores",
    "Ensemble",
    "Evaluate",
    "EvaluationResult",
    "Example",
    "File",
    "GroundedProposer",
    "History",
    "Image",
    "InputField",
    "JSONAdapter",
    "JournalMismatchError",
    "KNN",
    "KNNFewShot",
    "LM",
    "LMAuthError",
    "LMBillingError",
    "LMCollectionLimitError",
    "LMConfigurationError",
    "LMError",
    "LMInvalidRequestError",
    "LMLockTimeoutError",
    "LMNotConfiguredError",
    "LMOutput",
    "LMProviderError",
    "LMRateLimitError",
    "LMRequest",
    "LMResponse",
    "LMServerError",
    "LMStreamAssemblyError",
    "LMTimeoutError",
    "LMTransportError",
    "LMUnexpectedError",
    "LMUnsupportedFeatureError",
    "LMUnsupportedModelError",
    "LabeledFewShot",
    "MIPROv2",
    "MissingExtraError",
    "Module",
    "ModuleMetrics",
    "MultiChainComparison",
    "OptimizationRun",
    "OptimizationSummary",
    "OutputField",
    "Parallel",
    "ParallelError",
    "Parameters",
    "PauseRun",
    "Pipeline",
    "PlainAdapter",
    "Predict",
    "Prediction",
    "PredictorState",
    "Program",
    "ProgramRef",
    "ProgramStoppedError",
    "ReAct",
    "Reasoning",
    "Refine",
    "ResumeRun",
    "RetryPolicy",
    "RunOptions",
    "RunPausedError",
    "RunRecord",
    "RunStatus",
    "Signature",
    "SignatureError",
    "SignatureMeta",
    "System",
    "SystemClosedError",
    "SystemConfig",
    "Teleprompter",
    "TeleprompterError",
    "Tool",
    "ToolCall",
    "ToolCallResults",
    "ToolCalls",
    "ToolError",
    "TwoStepAdapter",
    "Type",
    "UnknownSettingError",
    "Usage",
    "UsageTracker",
    "XMLAdapter",
    "answer_exact_match",
    "answer_passage_match",
    "asyncify",
    "budget",
    "close_default_system",
    "compare_runs",
    "configure",
    "context",
    "current_system",
    "ensure_signature",
    "infer_prefix",
    "inspect_history",
    "is_retryable_lm_error",
    "list_runs",
    "load",
    "load_run",
    "load_settings",
    "majority",
    "make_signature",
    "normalize_text",
    "pretty_print_history",
    "register_price",
    "settings",
    "streamify",
    "syncify",
    "track_usage",
    "with_callbacks",
]

__version__ = "0.1.0"

warn_of_foreign()


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        try:
            return import_module(f"dspex.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"dspex.{name}":
                raise
        from dspex._dspy_only import DSPY_ONLY

        hint = ". DSPy has it; docs/from-dspy.md says what dspex has instead" if name in DSPY_ONLY else ""
        raise AttributeError(f"dspex has no {name!r}{hint}", name=name)
    module, _, attribute = place.partition(":")
    try:
        value = getattr(import_module(module), attribute or name)
    except (ImportError, AttributeError) as error:
        for package in PACKAGES:
            if sentence := explain_foreign(package):
                raise ImportError(sentence, name=package) from error
        raise
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
