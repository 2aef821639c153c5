"""Signatures: what a language-model call is given and what it must produce."""

from dspex.signatures._field import InputField, OutputField
from dspex.signatures._make import ensure_signature, make_signature
from dspex.signatures._meta import SignatureMeta
from dspex.signatures._names import infer_prefix
from dspex.signatures._signature import Signature

__all__ = [
    "InputField",
    "OutputField",
    "Signature",
    "SignatureMeta",
    "ensure_signature",
    "infer_prefix",
    "make_signature",
]
