"""The checkout itself: its layout, its versions, and what no file of it may say."""

from __future__ import annotations

import re
import tomllib

from tests.project.source import ROOT, tracked_files

TOP_LEVEL = {
    *("actors", "dspex", "supervision", "docs", "examples", "tests"),
    *("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "pyproject.toml"),
}

MACHINE_PATH = re.compile(r"(?<![\w.}/-])/(?:" + "|".join(("work", "root", "home", "Users", "opt")) + r")/\w+")

LOCAL_ONLY = {"/home/user", "/home/you", "/Users/you", "/opt/dspex"}


def test_the_top_level_is_what_the_readme_describes() -> None:
    names = {path.relative_to(ROOT).parts[0] for path in tracked_files()}
    assert {name for name in names if not name.startswith(".")} <= TOP_LEVEL


def test_the_changelog_starts_with_the_version_of_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.M)
    assert headings[0] == version


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    strays = []
    for path in tracked_files():
        if path.suffix in {".png", ".gz", ".ico"}:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            found = set(MACHINE_PATH.findall(line)) - LOCAL_ONLY
            if found and "test_files.py" not in path.name:
                strays.append(f"{path.relative_to(ROOT)}:{number}: {sorted(found)}")
    assert strays == []


def test_no_tracked_file_is_large() -> None:
    large = {str(path.relative_to(ROOT)) for path in tracked_files() if path.stat().st_size > 2_000_000}
    assert large == set()
