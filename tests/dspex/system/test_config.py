from __future__ import annotations

from operator import attrgetter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from dspex._errors import DspexError
from dspex.system._config import _KEYS, _VARIABLES, CacheConfig, ConfigError, LMConfig, SystemConfig


def load(tmp_path: Path, toml: str = "", environ: dict[str, str] | None = None, **arguments: object) -> SystemConfig:
    if toml:
        (tmp_path / "dspex.toml").write_text(toml)
    return SystemConfig.load(environ=environ or {}, start=tmp_path, **arguments)


def problems(tmp_path: Path, toml: str = "", environ: dict[str, str] | None = None, **arguments: object) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, toml, environ, **arguments)
    return caught.value


def test_without_any_source_there_are_defaults(tmp_path: Path) -> None:
    config = load(tmp_path)
    assert config == SystemConfig()
    assert (config.name, config.store, config.control_socket, config.lm.model) == ("dspex", True, True, None)
    assert {source for _, _, source in config.describe()} == {"default"}


def test_arguments_come_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    toml = 'name = "file"\nnum_workers = 1\nlog_level = "debug"\n[cache]\nttl = 1\nmemory_entries = 7\n'
    environ = {"DSPEX_NAME": "env", "DSPEX_NUM_WORKERS": "2", "DSPEX_CACHE_TTL": "2"}
    config = load(tmp_path, toml, environ, name="arg", cache={"ttl": 3})
    assert (config.name, config.num_workers, config.log_level) == ("arg", 2, "debug")
    assert (config.cache.ttl, config.cache.memory_entries) == (3.0, 7)  # a section is merged key by key
    assert config.source("name") == "argument"
    assert config.source("num_workers") == "environment DSPEX_NUM_WORKERS"
    assert config.source("log_level") == str(tmp_path / "dspex.toml")
    assert config.source("stall_after") == "default"
    with pytest.raises(KeyError):
        config.source("nope")


def test_the_nearest_file_counts_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "dspex.toml").write_text('name = "far"\nnum_workers = 5\n')
    near = tmp_path / "a" / "b"
    near.mkdir(parents=True)
    (tmp_path / "a" / "dspex.toml").write_text('name = "near"\n')
    config = SystemConfig.load(environ={}, start=near)
    assert (config.name, config.num_workers) == ("near", 64)


def test_nothing_given_is_not_a_value(tmp_path: Path) -> None:
    config = load(tmp_path, 'name = "file"', {"DSPEX_NAME": ""}, name=None, lm=None, cache=None)
    assert config.name == "file"


@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("DSPEX_REDACT_PROMPTS", "true", "redact_prompts", True),
        ("DSPEX_STORE", "off", "store", False),
        ("DSPEX_STORE", "ON", "store", True),
        ("DSPEX_STORE", "postgresql://u@h/d", "store", "postgresql://u@h/d"),
        ("DSPEX_CONTROL_SOCKET", "/run/x.sock", "control_socket", "/run/x.sock"),
        ("DSPEX_CACHE_DISK_BYTES", "1GiB", "cache.disk_bytes", 2**30),
        ("DSPEX_CACHE_DISK_BYTES", "none", "cache.disk_bytes", None),
        ("DSPEX_CACHE_ENABLED", "0", "cache.enabled", False),
        ("DSPEX_LM_FALLBACKS", "a/b, c/d", "lm.fallbacks", ("a/b", "c/d")),
        ("DSPEX_LM_TIMEOUT", "none", "lm.timeout", None),
        ("DSPEX_LM", "openai/gpt", "lm.model", "openai/gpt"),
        ("DSPEX_LOG_LEVEL", "WARNING", "log_level", "warning"),
        ("DSPEX_STALL_AFTER", "0.25", "stall_after", 0.25),
        ("DSPEX_QUARANTINE_AFTER", "3", "quarantine_after", 3),
    ],
)
def test_the_environment_speaks_in_words(tmp_path: Path, variable: str, text: str, key: str, value: object) -> None:
    config = load(tmp_path, environ={variable: text})
    assert values(config)[key] == value


def values(config: SystemConfig) -> dict[str, object]:
    return {key: attrgetter(key)(config) for key in _KEYS}


def test_a_model_may_be_named_shortly_everywhere(tmp_path: Path) -> None:
    assert load(tmp_path, lm="p/m").lm.model == "p/m"
    assert load(tmp_path, 'lm = "p/m"').lm.model == "p/m"
    assert load(tmp_path, "", lm=LMConfig(model="p/n", rpm=5)).lm.arguments() == {"model": "p/n", "rpm": 5.0}


def test_only_what_was_set_is_handed_to_the_language_model(tmp_path: Path) -> None:
    config = load(tmp_path, '[lm]\nmodel = "p/m"\ntemperature = 0\n', {"DSPEX_LM_API_KEY": "sk-1"})
    arguments = config.lm.arguments()
    assert arguments == {"model": "p/m", "temperature": 0.0, "api_key": SecretStr("sk-1")}


def test_a_path_in_a_file_is_relative_to_the_file(tmp_path: Path) -> None:
    deep = tmp_path / "src"
    deep.mkdir()
    (tmp_path / "dspex.toml").write_text('store = "data/x.db"\ncontrol_socket = "x.sock"\n')
    config = SystemConfig.load(environ={}, start=deep)
    assert config.store == str(tmp_path / "data" / "x.db")
    assert config.control_socket == str(tmp_path / "x.sock")
    (tmp_path / "dspex.toml").write_text('store = "postgresql://u@h/d"\ncontrol_socket = "off"\n')
    config = SystemConfig.load(environ={}, start=deep)
    assert (config.store, config.control_socket) == ("postgresql://u@h/d", False)
    assert SystemConfig.load(environ={}, start=deep, store=Path("rel.db")).store == "rel.db"


def test_all_that_is_wrong_is_said_at_once_with_key_source_value_and_the_nearest_key(tmp_path: Path) -> None:
    error = problems(
        tmp_path,
        'num_wrokers = 3\nttl = 5\n[cache]\nmemory_bytes = "lots"\n',
        {"DSPEX_STALL_AFTER": "soon", "DSPEX_CACHE_TLL": "5"},
        drain_timeout=-1,
        lm={"modle": "p/m"},
    )
    found = {problem.key: problem for problem in error.problems}
    wrong = {"num_wrokers", "ttl", "cache.memory_bytes", "stall_after", "DSPEX_CACHE_TLL", "drain_timeout", "lm.modle"}
    assert set(found) == wrong
    assert found["num_wrokers"].nearest == "num_workers"
    assert found["ttl"].nearest == "cache.ttl"
    assert found["DSPEX_CACHE_TLL"].nearest == "DSPEX_CACHE_TTL"
    assert found["lm.modle"].nearest == "lm.model"
    assert found["stall_after"].source == "environment DSPEX_STALL_AFTER"
    assert found["drain_timeout"].source == "argument"
    assert found["cache.memory_bytes"].source == str(tmp_path / "dspex.toml")
    text = str(error)
    assert "`stall_after` = 'soon' (from environment DSPEX_STALL_AFTER): Input should be a valid number" in text
    assert "`num_wrokers` = 3" in text
    assert "did you mean `num_workers`?" in text
    assert isinstance(error, DspexError | ValueError)


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": "with space"},
        {"name": "../x"},
        {"num_workers": 0},
        {"store": 5},
        {"log_level": "loud"},
        {"stall_after": float("inf")},
        {"lm": {"model": ""}},
        {"lm": {"model_type": "speech"}},
        {"lm": {"num_retries": -1}},
        {"cache": {"ttl": 0}},
        {"quarantine_after": 0},
    ],
)
def test_a_value_out_of_range_is_named(tmp_path: Path, arguments: dict) -> None:
    error = problems(tmp_path, **arguments)
    (section, value), *_ = arguments.items()
    key = f"{section}.{next(iter(value))}" if isinstance(value, dict) else section
    assert [problem.key for problem in error.problems] == [key]


def test_a_section_is_not_a_value(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, cache=5).problems
    assert problem.key == "cache"
    assert "cache.ttl" in problem.message


def test_a_file_that_is_not_toml_is_named_with_the_line(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, 'name = "x"\nnum_workers = = 3\n').problems
    assert problem.source == str(tmp_path / "dspex.toml")
    assert "line 2" in problem.message


def test_no_secret_is_ever_shown(tmp_path: Path) -> None:
    error = problems(
        tmp_path,
        environ={"DSPEX_STOER": "postgresql://user:hidden@host/db", "DSPEX_LM_API_KYE": "hidden"},
        lm={"api_key": ["hidden"], "apikey": "hidden"},
    )
    assert len(error.problems) == 4
    assert "hidden" not in str(error)
    config = load(tmp_path, lm={"api_key": "hidden"}, store="postgresql://user:hidden@host/db")
    assert "hidden" not in str(list(config.describe()))
    assert "hidden" not in repr(config.lm)
    assert config.lm.api_key.get_secret_value() == "hidden"


def test_variables_that_mean_something_else_are_left_alone(tmp_path: Path) -> None:
    environ = {
        "DSPEX_RUNTIME_DIR": "/x",
        "DSPEX_TEST_POSTGRES": "x",
        "DSPEX_REQUIRE_MODEL": "1",
        "DSPEX_ZZZ": "x",
        "HOME": "/",
    }
    assert load(tmp_path, environ=environ) == SystemConfig()


def test_settings_do_not_change(tmp_path: Path) -> None:
    config = load(tmp_path)
    with pytest.raises(ValidationError):
        config.name = "other"  # type: ignore[misc]


def test_every_key_has_a_variable_of_its_own() -> None:
    assert sorted(set(_VARIABLES.values())) == sorted(_KEYS)
    assert len(_VARIABLES) == len(_KEYS) + 1  # and DSPEX_LM


@given(
    st.dictionaries(
        st.sampled_from([*_KEYS, *_VARIABLES, "nmae", "cache", "lm", "x" * 50]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.lists(st.text(max_size=3)),
        max_size=5,
    ),
    st.dictionaries(st.sampled_from([*_VARIABLES, "DSPEX_NMAE", "DSPEX_"]), st.text(max_size=8), max_size=5),
)
def test_whatever_is_given_the_answer_is_a_config_or_a_config_error(arguments: dict, environ: dict) -> None:
    nested: dict = {}
    for key, value in arguments.items():
        section, _, name = key.rpartition(".")
        if section and isinstance(nested.setdefault(section, {}), dict):
            nested[section][name] = value
        elif not section:
            nested[key] = value
    error: ConfigError | None = None
    try:
        config = SystemConfig.load(environ=environ, start=Path("/nonexistent"), **nested)
        assert isinstance(config.cache, CacheConfig)
    except ConfigError as caught:
        error = caught
    if error is not None:
        assert error.problems
        assert all(problem.key in str(error) for problem in error.problems)
