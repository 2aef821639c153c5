"""Which provider a model name means, where it is, which dialect it speaks, and where its key is looked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pydantic import SecretStr

from dspex._errors import LMConfigurationError

from .wire import Anthropic, Gemini, OpenAIChat, OpenAIResponses, OpenAIText, WireFormat


@dataclass(frozen=True, slots=True)
class Provider:
    """`keys` are environment variables, tried in order; without any, the endpoint takes requests without a key."""

    base_url: str | None
    keys: tuple[str, ...] = ()
    dialect: str = "openai"  # openai | anthropic | gemini
    base_url_keys: tuple[str, ...] = ()


PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {
        "anthropic": Provider(
            "https://api.anthropic.com", ("ANTHROPIC_API_KEY",), "anthropic", ("ANTHROPIC_BASE_URL",)
        ),
        "cerebras": Provider("https://api.cerebras.ai/v1", ("CEREBRAS_API_KEY",)),
        "deepinfra": Provider("https://api.deepinfra.com/v1/openai", ("DEEPINFRA_API_KEY",)),
        "deepseek": Provider("https://api.deepseek.com/v1", ("DEEPSEEK_API_KEY",)),
        "fireworks_ai": Provider("https://api.fireworks.ai/inference/v1", ("FIREWORKS_API_KEY",)),
        "gemini": Provider(
            "https://generativelanguage.googleapis.com/v1beta", ("GEMINI_API_KEY", "GOOGLE_API_KEY"), "gemini"
        ),
        "groq": Provider("https://api.groq.com/openai/v1", ("GROQ_API_KEY",)),
        "hosted_vllm": Provider(None, (), base_url_keys=("HOSTED_VLLM_API_BASE",)),
        "llamacpp": Provider("http://localhost:8080/v1"),
        "lm_studio": Provider("http://localhost:1234/v1"),
        "mistral": Provider("https://api.mistral.ai/v1", ("MISTRAL_API_KEY",)),
        "ollama": Provider("http://localhost:11434/v1"),
        "ollama_chat": Provider("http://localhost:11434/v1"),
        "openai": Provider(
            "https://api.openai.com/v1", ("OPENAI_API_KEY",), base_url_keys=("OPENAI_BASE_URL", "OPENAI_API_BASE")
        ),
        "openrouter": Provider("https://openrouter.ai/api/v1", ("OPENROUTER_API_KEY",)),
        "perplexity": Provider("https://api.perplexity.ai", ("PERPLEXITY_API_KEY",)),
        "together_ai": Provider("https://api.together.xyz/v1", ("TOGETHER_API_KEY", "TOGETHERAI_API_KEY")),
        "vllm": Provider("http://localhost:8000/v1"),
        "xai": Provider("https://api.x.ai/v1", ("XAI_API_KEY",)),
    }
)

_FORMATS: Mapping[tuple[str, str], WireFormat] = MappingProxyType(
    {
        ("openai", "chat"): OpenAIChat(),
        ("openai", "text"): OpenAIText(),
        ("openai", "responses"): OpenAIResponses(),
        ("anthropic", "chat"): Anthropic(),
        ("gemini", "chat"): Gemini(),
    }
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model at its place. `key_names` say where a missing key was looked for."""

    provider: str
    model: str
    base_url: str
    format: WireFormat
    api_key: SecretStr | None
    key_names: tuple[str, ...]

    @property
    def name(self) -> str:
        """ "provider/model", by which prices and usage go."""
        return f"{self.provider}/{self.model}"


def split_model(model: str, has_base_url: bool = False) -> tuple[str, str]:
    """(provider, model) of a name as users write it. LMConfigurationError when it cannot be told."""
    head, slash, tail = model.partition("/")
    if slash and head in PROVIDERS:
        return head, tail
    if has_base_url:  # an OpenAI-compatible server may call its models whatever it likes
        return "openai", model
    if not slash:
        for prefix, provider in (("claude", "anthropic"), ("gemini", "gemini"), ("gpt", "openai"), ("o1", "openai")):
            if model.startswith(prefix):
                return provider, model
    raise LMConfigurationError(
        f"cannot tell the provider of model {model!r}: write it as provider/model with one of "
        f"{', '.join(sorted(PROVIDERS))}, or give base_url for any other OpenAI-compatible server",
        model=model,
    )


def endpoint_of(
    model: str,
    model_type: str,
    base_url: str | None,
    api_key: SecretStr | None,
    environ: Mapping[str, str] | None = None,
) -> Endpoint:
    """Where requests for `model` go. A key that is nowhere to be found is reported when the first call needs it."""
    env = os.environ if environ is None else environ
    name, rest = split_model(model, base_url is not None)
    provider = PROVIDERS[name]
    url = base_url or next((env[k] for k in provider.base_url_keys if env.get(k)), None) or provider.base_url
    if not url:
        raise LMConfigurationError(f"{name} needs base_url=..., the address of the server", model=model)
    form = _FORMATS.get((provider.dialect, model_type))
    if form is None:
        raise LMConfigurationError(f"{name} has no model_type {model_type!r}", model=model)
    url = url.rstrip("/")
    if provider.dialect == "anthropic":
        url = url.removesuffix("/v1")
    if api_key is None:
        found = next((env[k] for k in provider.keys if env.get(k)), None)
        api_key = SecretStr(found) if found else None
    # A server of one's own may well ask for no key.
    wanted = provider.keys if url == provider.base_url else ()
    return Endpoint(name, rest, url, form, api_key, wanted)


def require_key(endpoint: Endpoint) -> str | None:
    """The key in the clear, for the request's headers only. LMConfigurationError when it is missing."""
    if endpoint.api_key is not None:
        return endpoint.api_key.get_secret_value()
    if endpoint.key_names:
        raise LMConfigurationError(
            f"no API key for {endpoint.provider}: set {' or '.join(endpoint.key_names)}, or pass api_key=...",
            code="missing_api_key",
            provider=endpoint.provider,
            model=endpoint.model,
        )
    return None
