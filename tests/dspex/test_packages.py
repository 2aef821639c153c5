"""Another package in the place of `actors` or `supervision` is told in one sentence, at import and by the doctor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import dspex
from dspex._extras import how_to_install
from tests.project.source import ROOT

FOREIGN = {
    "actors": "class Actor:\n    pass\n",
    "supervision": "from supervision.detection import Detections\n",
}


def python(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python in `directory`, whose modules come first, as those beside a script do."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(directory), str(ROOT)]), "NO_COLOR": "1"}
    environ |= {"DSPEX_RUNTIME_DIR": str(directory / "run"), "DSPEX_STORE": str(directory / "store.db")}
    return subprocess.run(
        [sys.executable, *arguments], cwd=directory, env=environ, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("name", sorted(FOREIGN))
def test_a_module_that_hides_ours_is_told_at_import_and_by_the_first_use(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.py").write_text(FOREIGN[name])
    (tmp_path / "script.py").write_text("import dspex\ndspex.System\n")
    done = python(tmp_path, "script.py")
    assert done.returncode == 1
    first, last = done.stderr.splitlines()[0], done.stderr.splitlines()[-1]
    assert "script.py:1: RuntimeWarning: dspex needs its own package" in first
    assert last.startswith(f"ImportError: dspex needs its own package {name!r}, but Python finds another one: ")
    assert f"{name}.py. Rename that file" in last


@pytest.mark.parametrize("name", sorted(FOREIGN))
def test_the_doctor_finds_a_package_that_is_not_ours(name: str, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text(FOREIGN[name])
    done = python(tmp_path, "-m", "dspex", "doctor", "--json")
    found = {each["what"]: each for each in json.loads(done.stdout)}
    assert done.returncode == 1
    assert found[name]["state"] == "bad"
    assert str(tmp_path / name) in found[name]["detail"]


def test_the_doctor_finds_another_distribution_with_a_package_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    info = tmp_path / "supervision-0.25.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: supervision\nVersion: 0.25.0\n")
    (info / "RECORD").write_text("supervision/__init__.py,,\nsupervision/detection.py,,\n")
    found = {each["what"]: each for each in json.loads(python(tmp_path, "-m", "dspex", "doctor", "--json").stdout)}
    assert found["supervision"]["state"] == "bad"
    assert "the distribution supervision has a package of this name too" in found["supervision"]["detail"]
    assert found["actors"]["state"] == "ok"


def test_an_error_of_ours_in_an_import_stays_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(dspex._PLACES, "Nothing", "dspex.lm:nothing_of_that_name")
    with pytest.raises(AttributeError, match="nothing_of_that_name"):
        dspex.Nothing  # type: ignore[attr-defined]


def test_what_only_dspy_has_is_said_to_be_there() -> None:
    with pytest.raises(AttributeError, match=r"dspex has no 'GEPA'\. DSPy has it; docs/from-dspy\.md"):
        dspex.GEPA  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"dspex has no 'Gepa'$"):
        dspex.Gepa  # type: ignore[attr-defined]


def test_nothing_that_is_said_to_be_only_dspys_is_here() -> None:
    from dspex._dspy_only import DSPY_ONLY

    assert [name for name in DSPY_ONLY if hasattr(dspex, name)] == []


def test_how_an_extra_is_installed_is_said_to_users_and_to_checkouts() -> None:
    assert how_to_install("fast") == "pip install 'dspex[fast]', or in a checkout pip install '.[fast]'"
