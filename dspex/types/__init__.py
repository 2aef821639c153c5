"""Field types that know how they look in a prompt."""

from dspex.types._base import ContentPart, Type, types_in
from dspex.types._media import Audio, File, Image
from dspex.types._text import Code, History, Reasoning
from dspex.types._tool import Tool, ToolCall, ToolCallResult, ToolCallResults, ToolCalls

__all__ = [
    "Audio",
    "Code",
    "ContentPart",
    "File",
    "History",
    "Image",
    "Reasoning",
    "Tool",
    "ToolCall",
    "ToolCallResult",
    "ToolCallResults",
    "ToolCalls",
    "Type",
    "types_in",
]
