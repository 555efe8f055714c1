"""CI does what `make` does, the same on both forges, with no more rights than it needs."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

import pytest
import yaml

from tests.support.pages import ROOT

FORGES = (".github", ".gitea")
NAMES = ("check.yaml", "compile-upload.yaml")
WORKFLOWS = [ROOT / forge / "workflows" / name for forge in FORGES for name in NAMES]
MAY_DIFFER = {
    "the runner's label": r"runs-on: ubuntu-(24\.04|latest)",
    "the run's number in its page's address": r"RUN: \$\{\{ github\.run_(id|number) \}\}",
    "its own file in the paths": r'- "\.git(hub|ea)/workflows/compile-upload\.yaml"',
    "GitHub's cache of packages": (
        r"cache: pip|cache-dependency-path: \||pyproject\.toml|constraints\.txt"
    ),
}
"""What differs between the forges, as docs/how-to/upload-pipelines.md lists it."""


def read(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(workflow: dict) -> list[dict]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_there_are_no_others() -> None:
    assert sorted(ROOT.glob(".git*/workflows/*")) == sorted(WORKFLOWS)


@pytest.mark.parametrize("name", NAMES)
def test_both_forges_have_one_text_but_for_what_is_listed(name: str) -> None:
    texts = [[line for line in code(ROOT / forge / "workflows" / name) if line] for forge in FORGES]
    differing = [
        line[2:].strip() for line in difflib.ndiff(*texts) if line[0] in "+-" and line[2:].strip()
    ]
    allowed = re.compile("|".join(MAY_DIFFER.values()))
    assert [line for line in differing if not allowed.fullmatch(line)] == []


def code(path: Path) -> list[str]:
    """The lines without those that are comments."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.lstrip().startswith("#")]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: f"{p.parts[-3]}-{p.stem}")
def test_rights_and_pins(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["cancel-in-progress"] is (path.stem == "check")
    for step in steps(workflow):
        if "uses" in step:
            assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", step["uses"])
            assert step.get("with", {}).get("persist-credentials") is False or (
                "checkout" not in step["uses"]
            )
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())
    assert "gitea." not in path.read_text(encoding="utf-8").replace(".gitea", "")


def test_a_pull_request_sees_no_secret() -> None:
    for forge in FORGES:
        check = read(ROOT / forge / "workflows" / "check.yaml")
        jobs = read(ROOT / forge / "workflows" / "compile-upload.yaml")["jobs"]
        for job in [*check["jobs"].values(), jobs["check"]]:
            assert "secrets." not in yaml.safe_dump(job)
        assert jobs["check"]["if"] == "github.event_name == 'pull_request'"
        for name in ("upload", "notify"):
            assert "github.event_name != 'pull_request'" in jobs[name]["if"]


def test_secrets_are_in_the_environment_of_one_step_alone() -> None:
    for path in WORKFLOWS:
        for step in steps(read(path)):
            assert "secrets." not in yaml.safe_dump({k: v for k, v in step.items() if k != "env"})
        workflow = {k: v for k, v in read(path).items() if k != "jobs"}
        assert "secrets." not in yaml.safe_dump(workflow)


def test_ancestry_needs_the_whole_history() -> None:
    for forge in FORGES:
        job = read(ROOT / forge / "workflows" / "compile-upload.yaml")["jobs"]["upload"]
        assert job["steps"][0]["with"]["fetch-depth"] == 0
