"""Wire formats, one pure file each: our request to a provider's body, a provider's reply to our response or error."""

from ._anthropic import Anthropic
from ._errors import error_from, retry_after
from ._gemini import Gemini
from ._json import dumps, loads
from ._openai_chat import OpenAIChat
from ._openai_embeddings import OpenAIEmbeddings
from ._openai_responses import OpenAIResponses
from ._openai_text import OpenAIText
from ._wire import Source, StreamAssembler, WireFormat, WireRequest, schema_of

__all__ = [
    "Anthropic",
    "Gemini",
    "OpenAIChat",
    "OpenAIEmbeddings",
    "OpenAIResponses",
    "OpenAIText",
    "Source",
    "StreamAssembler",
    "WireFormat",
    "WireRequest",
    "dumps",
    "error_from",
    "loads",
    "retry_after",
    "schema_of",
]
