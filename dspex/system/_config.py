"""The settings of a system: arguments, then the environment (`DSPEX_*`), then the nearest `dspex.toml`, then defaults.

A key has one name everywhere: `cache.ttl` is `SystemConfig.load(cache={"ttl": 60})`, `DSPEX_CACHE_TTL=60`, and
`ttl = 60` under `[cache]`. Whatever is wrong is reported at once, all of it, each with its key, where it came from,
and its value.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    StrictBool,
    StrictStr,
    ValidationError,
)

from dspex._errors import DspexError

FILE_NAME = "dspex.toml"
PREFIX = "DSPEX_"

# Variables with our prefix that are no settings of a system: where sockets are, and what the tests need.
_OTHER_VARIABLES = re.compile(r"DSPEX_(?:RUNTIME_DIR|TEST_\w+|REQUIRE_\w+)")
_NEAR = 0.75  # how alike an unknown variable must be to a known one to be taken for a slip of the pen
_URL_PASSWORD = re.compile(r"(?<=://)[^/\s@]*:[^/\s]*(?=@)")
_SECRET_KEYS = frozenset({"lm.api_key"})


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One thing that is wrong. `nearest` is the key that was probably meant, when `key` is unknown."""

    key: str
    source: str
    value: str
    message: str
    nearest: str | None = None

    def __str__(self) -> str:
        hint = f"; did you mean `{self.nearest}`?" if self.nearest else ""
        return f"`{self.key}` = {self.value} (from {self.source}): {self.message}{hint}"


class ConfigError(DspexError, ValueError):
    """The settings cannot be used. `problems` has all that is wrong, and the message names each of them."""

    code = "config"

    def __init__(self, message: str = "", *, problems: tuple[ConfigProblem, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems

    @classmethod
    def of(cls, problems: list[ConfigProblem]) -> ConfigError:
        return cls(
            "\n".join(["these settings cannot be used:", *(f"  {each}" for each in problems)]), problems=tuple(problems)
        )


def _split(value: Any) -> Any:
    """`a, b` from the environment is a list of two."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _switch(value: Any) -> Any:
    """The words for yes and no, where a setting is either a switch or a text (or a path)."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, str):
        return {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}.get(
            value.lower(), value
        )
    return value


def _nothing(value: Any) -> Any:
    """`none` from the environment, where a number may be absent."""
    return None if isinstance(value, str) and value.lower() in ("none", "off") else value


Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
OptionalSeconds = Annotated[Seconds | None, BeforeValidator(_nothing)]
PositiveInt = Annotated[int, Field(gt=0)]
OptionalInt = Annotated[PositiveInt | None, BeforeValidator(_nothing)]
OptionalRate = Annotated[Annotated[float, Field(gt=0, allow_inf_nan=False)] | None, BeforeValidator(_nothing)]
OptionalBytes = Annotated[Annotated[ByteSize, Field(gt=0)] | None, BeforeValidator(_nothing)]
SwitchOrText = Annotated[StrictBool | StrictStr, BeforeValidator(_switch)]
Names = Annotated[tuple[str, ...], BeforeValidator(_split)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class LMConfig(_Section):
    """Defaults of the language model, when the system is given none; `arguments()` is what `dspex.LM` takes."""

    model: Annotated[str, Field(min_length=1)] | None = None
    """`provider/model`. Without it there is no default model."""
    model_type: Literal["chat", "text", "responses"] = "chat"
    api_base: str | None = None
    api_key: SecretStr | None = None
    """Better left to the provider's own environment variable."""
    temperature: Annotated[float, Field(ge=0)] | None = None
    max_tokens: OptionalInt = None
    timeout: OptionalSeconds = 120.0
    num_retries: Annotated[int, Field(ge=0)] = 3
    rpm: OptionalRate = None
    tpm: OptionalRate = None
    max_in_flight: PositiveInt = 16_384
    fallbacks: Names = ()

    def arguments(self) -> dict[str, Any]:
        """What was set, by the names of `dspex.LM`'s parameters."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}


class CacheConfig(_Section):
    """The cache of answers: a tier in memory before one in the store."""

    enabled: bool = True
    memory_entries: PositiveInt = 100_000
    memory_bytes: Annotated[ByteSize, Field(gt=0)] = ByteSize(256 << 20)
    disk_bytes: OptionalBytes = ByteSize(2 << 30)
    """None: no bound."""
    ttl: OptionalSeconds = None
    """None: for ever."""


class SystemConfig(_Section):
    """The settings of one system, validated and immutable. `load` merges the sources."""

    name: Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")] = "dspex"
    """What `dspex ps` calls it."""
    store: SwitchOrText = True
    """A URL or a path; true: the project's own file; false: keep nothing."""
    log_level: Annotated[
        Literal["debug", "info", "warning", "error", "critical"],
        BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value),
    ] = "warning"
    """Which of the system's events are lines of its log."""
    redact_prompts: bool = False
    """True: prompts and answers appear in no event, log or snapshot."""
    num_workers: PositiveInt = 64
    """How many examples an evaluation has in flight, when it is not told."""
    drain_timeout: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 10.0
    """Seconds that a shutdown allows the work in flight to end; all of it together."""
    stall_after: Seconds = 0.1
    """Seconds for which one handler may hold the loop before it is reported."""
    quarantine_after: PositiveInt = 2
    """How many workers an input may kill before it is quarantined."""
    control_socket: SwitchOrText = True
    """A path; true: one in the user's runtime directory; false: none, and no CLI."""
    lm: LMConfig = LMConfig()
    cache: CacheConfig = CacheConfig()

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def load(cls, *, environ: Mapping[str, str] | None = None, start: Path | None = None, **arguments: Any) -> Self:
        """Merge and validate. An argument that is None counts as not given, and so does an empty variable; a section's
        keys are merged one by one. `lm` may be just the model's name. Relative paths in a file are relative to it.

        Unknown keys are errors; an unknown DSPEX_ variable is one only when it looks like a known one misspelt, since
        others may have uses for that prefix.

        Raises ConfigError, with everything that is wrong.
        """
        environ = os.environ if environ is None else environ
        problems: list[ConfigProblem] = []
        merged: dict[str, Any] = {}
        sources: dict[str, str] = {}
        for source in (
            _from_file(_nearest_file(start or Path.cwd()), problems),
            _from_environment(environ, problems),
            _from_arguments(arguments, problems),
        ):
            for key, value, where in source:
                merged[key] = value
                sources[key] = where
        config = cls._validated(merged, sources, problems)
        if config is None or problems:
            raise ConfigError.of(problems)
        config._sources.update(sources)
        return config

    def source(self, key: str) -> str:
        """Where a key's value came from: "argument", "environment DSPEX_...", a file, or "default"."""
        if key not in _KEYS:
            raise KeyError(key)
        return self._sources.get(key, "default")

    def describe(self) -> Iterator[tuple[str, Any, str]]:
        """Every key with its value, secrets hidden, and where it came from: for `dspex doctor`."""
        for key in _KEYS:
            value: Any = self
            for part in key.split("."):
                value = getattr(value, part)
            yield key, _shown(key, value), self.source(key)

    @classmethod
    def _validated(
        cls, merged: Mapping[str, Any], sources: Mapping[str, str], problems: list[ConfigProblem]
    ) -> Self | None:
        nested: dict[str, Any] = {}
        for key, value in merged.items():
            section, _, name = key.rpartition(".")
            (nested.setdefault(section, {}) if section else nested)[name] = value
        try:
            return cls.model_validate(nested)
        except ValidationError as error:
            seen = set()
            for each in error.errors(include_url=False, include_context=False, include_input=False):
                key = next(key for key in (".".join(map(str, each["loc"][:2])), str(each["loc"][0])) if key in _KEYS)
                if key in seen:
                    continue  # one complaint a key; a union makes one for each of its members
                seen.add(key)
                message = each["msg"].removeprefix("Value error, ")
                problems.append(ConfigProblem(key, sources[key], _shown(key, merged[key]), message))
            return None


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _keys(kind, f"{prefix}{name}.")
        else:
            yield prefix + name


_KEYS = tuple(_keys(SystemConfig))
_SECTIONS = frozenset(key.partition(".")[0] for key in _KEYS if "." in key)
_VARIABLES = {PREFIX + key.upper().replace(".", "_"): key for key in _KEYS} | {f"{PREFIX}LM": "lm.model"}


def _nearest_file(start: Path) -> Path | None:
    for directory in (start, *start.resolve().parents):
        if (directory / FILE_NAME).is_file():
            return directory / FILE_NAME
    return None


def _from_file(path: Path | None, problems: list[ConfigProblem]) -> Iterator[tuple[str, Any, str]]:
    if path is None:
        return
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        problems.append(ConfigProblem(FILE_NAME, str(path), "the file", f"cannot be read: {error}"))
        return
    for key, value in _flatten(content, str(path), problems):
        yield key, _absolute(key, value, path.parent), str(path)


def _absolute(key: str, value: Any, directory: Path) -> Any:
    """A path in a file is relative to the file."""
    is_path = key in ("store", "control_socket") and isinstance(_switch(value), str) and "://" not in value
    return str(directory / Path(value).expanduser()) if is_path and value != ":memory:" else value


def _from_environment(environ: Mapping[str, str], problems: list[ConfigProblem]) -> Iterator[tuple[str, Any, str]]:
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or not value or _OTHER_VARIABLES.fullmatch(variable):
            continue
        key = _VARIABLES.get(variable)
        if key is not None:
            yield key, value, f"environment {variable}"
        elif near := difflib.get_close_matches(variable, _VARIABLES, n=1, cutoff=_NEAR):
            shown = _shown(_VARIABLES[near[0]], value)
            problems.append(ConfigProblem(variable, "environment", shown, "there is no such setting", near[0]))


def _from_arguments(arguments: Mapping[str, Any], problems: list[ConfigProblem]) -> Iterator[tuple[str, Any, str]]:
    given = {
        key: value.model_dump(exclude_unset=True) if isinstance(value, _Section) else value
        for key, value in arguments.items()
    }
    for key, value in _flatten(given, "argument", problems):
        if value is not None:
            yield key, value, "argument"


def _flatten(content: Mapping[str, Any], source: str, problems: list[ConfigProblem]) -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if key in _SECTIONS and isinstance(value, Mapping):
            for name, item in value.items():
                yield from _known(f"{key}.{name}", item, source, problems)
        elif key == "lm" and isinstance(value, str):
            yield "lm.model", value
        elif key in _SECTIONS and value is not None:
            message = f"is a section with the keys {', '.join(k for k in _KEYS if k.startswith(key + '.'))}"
            problems.append(ConfigProblem(key, source, repr(value), message))
        else:
            yield from _known(key, value, source, problems)


def _known(key: str, value: Any, source: str, problems: list[ConfigProblem]) -> Iterator[tuple[str, Any]]:
    if key in _KEYS:
        yield key, value
    elif value is not None or key not in _SECTIONS:
        problems.append(ConfigProblem(key, source, _shown(key, value), "there is no such setting", _nearest_key(key)))


def _nearest_key(key: str) -> str | None:
    whole = difflib.get_close_matches(key, _KEYS, n=1, cutoff=0.6)
    if whole:
        return whole[0]
    # Right name, wrong section: `ttl` for `cache.ttl`.
    last = {known.rpartition(".")[2]: known for known in _KEYS}
    near = difflib.get_close_matches(key.rpartition(".")[2], last, n=1, cutoff=0.6)
    return last[near[0]] if near else None


def _shown(key: str, value: Any) -> str:
    """A value as it may be shown: never a secret, not even one that was written under a misspelt name."""
    name = key.rpartition(".")[2].lower()
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if (
        isinstance(value, SecretStr)
        or key in _SECRET_KEYS
        or any(word in name for word in ("key", "secret", "password", "token"))
    ):
        return "[redacted]"
    return _URL_PASSWORD.sub("[redacted]", repr(value))
