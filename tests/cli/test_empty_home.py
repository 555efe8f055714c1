"""An empty home: a list is empty and says what fills it, a name cannot be right, nothing is made.

Exit code 0 for a list, 3 where something has to be there before (docs/reference/errors.md), and 2
only for words that would be wrong in any home.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from platform_ctl.cli import app
from tests.support.commands import platform_ctl

ROOT = Path(__file__).parents[2]
LISTS = (
    "run list",
    "run prune",
    "cache verify",
    "model list",
    "approval list",
    "service list",
    "pipeline list",
    "data golden show",
    "doctor",
)
NAMES = (
    "run show",
    "run show abc",
    "run logs",
    "run resume",
    "run cancel",
    "run why",
    "run diff",
    "cache explain",
    "experiment show",
    "experiment show x",
    "model show weekly-commits",
    "model predict weekly-commits",
    "model why weekly-commits",
    "model verify weekly-commits/1",
    "approval show",
    "approval show abc",
    "approval approve latest --reason x",
    "approval request weekly-commits/1",
    "release show weekly-commits",
    "release continue weekly-commits",
    "release abort weekly-commits",
    "release rollback weekly-commits",
    "service start weekly-commits",
    "service stop weekly-commits",
    "service logs weekly-commits",
    "data show",
    "data audit",
    "lineage show latest",
)


@pytest.mark.parametrize("words", LISTS)
def test_a_list_of_nothing_is_no_error(words: str, tmp_path: Path) -> None:
    done = platform_ctl(tmp_path / "home", *words.split())
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("words", NAMES)
def test_what_has_to_be_there_first_is_a_missing_precondition(words: str, tmp_path: Path) -> None:
    done = platform_ctl(tmp_path / "home", *words.split())
    assert done.returncode == 3, done.stderr
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert [line.split(":")[0] for line in lines] == ["error", "where", "fix", "see"]
    program, noun, *_ = shlex.split(lines[2].removeprefix("fix:"))
    assert program == "platform-ctl" and noun in app.GROUPS
