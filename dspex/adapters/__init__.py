"""Adapters: from signatures to prompts, and from replies to values."""

from dspex.adapters._base import Adapter
from dspex.adapters._chat import ChatAdapter
from dspex.adapters._json import JSONAdapter
from dspex.adapters._plain import PlainAdapter
from dspex.adapters._two_step import TwoStepAdapter
from dspex.adapters._xml import XMLAdapter

__all__ = ["Adapter", "ChatAdapter", "JSONAdapter", "PlainAdapter", "TwoStepAdapter", "XMLAdapter"]
