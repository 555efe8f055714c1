"""Whoever makes the first file of a home makes the home: for its owner alone."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from platform_ctl.folders import make_private

ROOT = Path(__file__).parents[2]


@pytest.fixture
def no_umask():
    before = os.umask(0)
    yield
    os.umask(before)


def test_every_folder_that_was_missing_is_private(tmp_path: Path, no_umask: None) -> None:
    there = tmp_path / "projects"
    there.mkdir(mode=0o755)
    make_private(there / "home" / "iceberg" / "warehouse")
    made = [there / "home", there / "home" / "iceberg", there / "home" / "iceberg" / "warehouse"]
    assert {path.stat().st_mode & 0o777 for path in made} == {0o700}
    assert there.stat().st_mode & 0o777 == 0o755
    make_private(made[-1])


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_in_the_way_is_an_os_error(tmp_path: Path, below: str) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(OSError, match="home"):
        make_private(tmp_path / "home" / below)


def test_no_mode_is_given_to_the_last_folder_alone() -> None:
    """``mkdir(parents=True, mode=0o700)`` reads as if it made private folders."""
    folders = [ROOT / name for name in ("platform_ctl", "recipes", "pipelines", "learning")]
    files = [file for folder in folders for file in folder.rglob("*.py")]
    wrong = re.compile(r"mkdir\([^)]*parents=True[^)]*mode=")
    assert [str(f) for f in files if wrong.search(f.read_text(encoding="utf-8"))] == []
