"""Words for what a program is doing: from callbacks to status messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dspex.callbacks import BaseCallback
from dspex.streaming._messages import StatusMessage

if TYPE_CHECKING:
    from dspex.streaming._session import Session


class StatusMessageProvider:
    """Override what there should be words for; None means none. By default the calls of tools are told."""

    def tool_start_status_message(self, instance: Any, inputs: dict[str, Any]) -> str | None:
        return f"Calling the tool {getattr(instance, 'name', instance)}..."

    def tool_end_status_message(self, outputs: Any) -> str | None:
        return "The tool has answered."

    def module_start_status_message(self, instance: Any, inputs: dict[str, Any]) -> str | None:
        return None

    def module_end_status_message(self, outputs: Any) -> str | None:
        return None

    def lm_start_status_message(self, instance: Any, inputs: dict[str, Any]) -> str | None:
        return None

    def lm_end_status_message(self, outputs: Any) -> str | None:
        return None


class StatusCallback(BaseCallback):
    """Puts a provider's words into a session's stream."""

    def __init__(self, session: Session, provider: StatusMessageProvider) -> None:
        self._session = session
        self._provider = provider

    def _say(self, words: str | None) -> None:
        if words:
            self._session.push(StatusMessage(words))

    def on_tool_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        self._say(self._provider.tool_start_status_message(instance, inputs))

    def on_tool_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        self._say(self._provider.tool_end_status_message(outputs))

    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        self._say(self._provider.module_start_status_message(instance, inputs))

    def on_module_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        self._say(self._provider.module_end_status_message(outputs))

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        self._say(self._provider.lm_start_status_message(instance, inputs))

    def on_lm_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        self._say(self._provider.lm_end_status_message(outputs))
