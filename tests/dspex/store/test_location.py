from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dspex._errors import DspexError, MissingExtraError
from dspex.store import Store, StoreError, StoreURLError, project_directory, store_url


@pytest.mark.parametrize("mark", ["dspex.toml", "pyproject.toml", ".git"])
def test_the_project_is_the_nearest_parent_with_a_mark(tmp_path: Path, mark: str) -> None:
    deep = tmp_path / "project" / "src" / "package"
    deep.mkdir(parents=True)
    (tmp_path / "project" / mark).touch()
    (tmp_path / "pyproject.toml").touch()
    assert project_directory(deep) == tmp_path / "project"
    assert project_directory(tmp_path / "project") == tmp_path / "project"


def test_the_default_is_a_file_in_the_project(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "src").mkdir()
    assert store_url(environ={}, start=tmp_path / "src") == f"sqlite:///{tmp_path}/.dspex/dspex.db"


def test_the_argument_comes_before_the_environment_and_that_before_the_default(tmp_path: Path) -> None:
    environ = {"DSPEX_STORE": "/somewhere/env.db"}
    assert store_url(environ=environ) == "sqlite:////somewhere/env.db"
    assert store_url("/arg.db", environ=environ) == "sqlite:////arg.db"
    assert store_url("rel.db", environ=environ, start=tmp_path) == f"sqlite:///{tmp_path}/rel.db"
    assert store_url("", environ=environ, start=tmp_path) == f"sqlite:///{tmp_path}"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_spelling_of_postgresql_means_the_same_driver(scheme: str) -> None:
    assert store_url(f"{scheme}://u@h/d") == "postgresql+psycopg://u@h/d"


def test_another_database_is_refused_by_name_without_its_password() -> None:
    with pytest.raises(StoreURLError, match=r"not mysql://") as caught:
        Store("mysql://user:password@host/db")
    assert "password" not in str(caught.value)
    assert isinstance(caught.value, StoreError)
    assert isinstance(caught.value, DspexError)


def test_a_store_in_a_fresh_project_is_private_and_ignored_by_git(tmp_path: Path) -> None:
    path = tmp_path / ".dspex" / "dspex.db"
    with Store.open(path) as store:
        assert store.path == path
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert (path.parent / ".gitignore").read_text() == "*\n"


def test_a_password_in_the_url_is_never_shown() -> None:
    pytest.importorskip("psycopg")
    store = Store("postgresql://user:very-secret-pw@host/db")
    assert "very-secret-pw" not in repr(store) + store.url
    assert store.database.codec.encode({"url": "very-secret-pw"}, "x") == '{"url":"[redacted]"}'
    store.close()


def test_without_the_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'dspex\[postgres\]'") as caught:
        Store("postgresql://user@host/db")
    assert caught.value.extra == "postgres"


def test_importing_the_package_loads_no_database_library() -> None:
    code = (
        "import sys, dspex.store as s; s.Evaluation; s.StoreError; s.Held\n"
        "assert 'sqlalchemy' not in sys.modules, 'sqlalchemy was imported'\n"
        "s.Store; assert 'sqlalchemy' in sys.modules and 'psycopg' not in sys.modules\n"
        "assert all(getattr(s, name) is not None for name in s.__all__) and s.__all__ == sorted(s.__all__)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


def test_a_name_that_the_package_does_not_have_is_an_attribute_error() -> None:
    import dspex.store

    with pytest.raises(AttributeError, match="Nope"):
        dspex.store.Nope  # type: ignore[attr-defined]
