"""The system: what programs run on, assembled."""

from dspex.system._config import ConfigError, ConfigProblem, SystemConfig
from dspex.system._current import close_default_system, current_system, running_systems
from dspex.system._drain import CloseReport
from dspex.system._health import Health, PartHealth
from dspex.system._recorder import event_json
from dspex.system._redact import Redactor
from dspex.system._system import System

__all__ = [
    "CloseReport",
    "ConfigError",
    "ConfigProblem",
    "Health",
    "PartHealth",
    "Redactor",
    "System",
    "SystemConfig",
    "close_default_system",
    "current_system",
    "event_json",
    "running_systems",
]
