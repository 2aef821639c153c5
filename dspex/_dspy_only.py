"""What DSPy 3.4 exports and dspex does not have, so that an error can say so. Loaded only for that."""

from __future__ import annotations

__all__ = ["DSPY_ONLY"]

DSPY_ONLY = frozenset(
    {
        *("AvatarOptimizer", "BetterTogether", "BootstrapFewShotWithOptuna", "BootstrapFinetune", "GEPA", "GRPO"),
        *("InferRules", "SIMBA", "bootstrap_trace_data"),
        *("CodeAct", "Flex", "ProgramOfThought", "RLM", "ReActV2", "BaseModule"),
        *("CodeInterpreter", "FinalOutput", "LocalInterpreter", "PythonInterpreter", "SandboxSerializable"),
        *("resolve_interpreter_factory", "ColBERTv2", "Retrieve", "Provider", "TrainingJob"),
        *("OldField", "OldInputField", "OldOutputField"),
        *("clients", "dsp", "lm15", "propose", "threading", "utils"),
        *("configure_cache", "configure_dspy_loggers", "disable_litellm_logging", "disable_logging"),
        *("enable_litellm_logging", "enable_logging"),
    }
)
"""Names of the package `dspy` itself; docs/from-dspy.md says what takes their place, where something does."""
