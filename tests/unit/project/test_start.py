"""A new project: what it consists of, and what is left as it is."""

from __future__ import annotations

from pathlib import Path

from platform_ctl.project.start import IGNORED, PARTS, start


def test_state_of_a_new_project_is_not_for_git(tmp_path: Path) -> None:
    made = start(tmp_path / "mine")
    assert [p.name for p in made] == [*PARTS, ".gitignore"]
    assert "/.platform/" in (tmp_path / "mine" / ".gitignore").read_text().splitlines()


def test_a_gitignore_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("mine\n")
    assert [p.name for p in start(tmp_path)] == list(PARTS)
    assert (tmp_path / ".gitignore").read_text() == "mine\n" != IGNORED
