"""CI for the world does what `make` does, with no more rights than it needs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.support.pages import ROOT

WORKFLOWS = sorted(ROOT.glob(".git*/workflows/*.yaml"))


def steps(workflow: dict) -> list[dict]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_github_and_gitea_run_the_same_commands() -> None:
    assert [p.parts[-3] for p in WORKFLOWS] == [".gitea", ".github"]
    github, gitea = (
        [s["run"] for s in steps(yaml.safe_load(p.read_text(encoding="utf-8"))) if "run" in s]
        for p in WORKFLOWS
    )
    assert github == gitea == ["make setup", "make lint", "make test"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.parts[-3])
def test_rights_and_pins(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["cancel-in-progress"] is True
    assert "secrets." not in text
    for step in steps(workflow):
        if "uses" in step:
            assert re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"])
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())
