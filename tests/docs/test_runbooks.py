"""Runbooks: none missing, none left over, all of one shape, every error id in its family's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from platform_ctl.cli import reference
from tests.support.pages import ROOT

RUNBOOKS = ROOT / "runbooks"
HEADINGS = ["Meaning", "Impact", "Diagnosis", "Mitigation", "Verify"]
MAX_LINES = 80
PROCEDURES = {"approve-a-model", "free-a-stuck-run", "roll-back-a-release"}


def pages() -> list[Path]:
    return sorted(
        p for kind in ("alerts", "errors", "procedures") for p in (RUNBOOKS / kind).glob("*.md")
    )


def test_none_is_missing_and_none_is_left_over() -> None:
    families = {Path(f.runbook).stem for f in reference.families()}
    assert {p.stem for p in (RUNBOOKS / "errors").iterdir()} == families
    assert {p.stem for p in (RUNBOOKS / "alerts").iterdir()} == named_by_alerts()
    assert {p.stem for p in (RUNBOOKS / "procedures").iterdir()} == PROCEDURES
    kinds = {p.name for p in RUNBOOKS.iterdir() if p.is_dir()}
    assert kinds <= set(reference.RUNBOOK_KINDS)


@pytest.mark.parametrize("page", pages(), ids=lambda p: p.stem)
def test_shape(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert [line[3:] for line in lines if line.startswith("## ")] == HEADINGS
    # One row an error id is no prose: a family grows with its errors.
    assert len([line for line in lines if not line.startswith("|")]) <= MAX_LINES
    for heading, body in sections(page).items():
        assert body.strip(), f"{heading} is empty"


@pytest.mark.parametrize("page", pages(), ids=lambda p: p.stem)
def test_diagnosis_and_verify_hold_commands(page: Path) -> None:
    for heading in ("Diagnosis", "Verify"):
        assert "```sh" in sections(page)[heading], f"{heading} has nothing to type"


@pytest.mark.parametrize("family", reference.families(), ids=lambda c: c.id)
def test_every_error_id_has_its_line(family: type) -> None:
    page = ROOT / family.runbook
    listed = re.findall(r"^\| `(err-[a-z-]+)` \| \S", page.read_text(encoding="utf-8"), re.M)
    wanted = [c.id for c in reference.leaves(family)]
    assert sorted(listed) == sorted(wanted), f"the table under Mitigation of {family.runbook}"


@pytest.mark.parametrize("page", pages(), ids=lambda p: p.stem)
def test_the_model_is_the_recipe_s(page: Path) -> None:
    """Commands can be copied as they stand: their names are the recipe's."""
    from recipes.train_deploy.recipe import RECIPE

    text = page.read_text(encoding="utf-8")
    named = re.findall(r"platform-ctl (?:model|release|service) [a-z]+ ([a-z][\w-]*)", text)
    assert set(named) <= {RECIPE.model_name, RECIPE.inference_service}


def named_by_alerts() -> set[str]:
    """Runbooks of the alert rules: each alert has one, each page has an alert."""
    groups = yaml.safe_load((ROOT / "infra/monitoring/alerts.yml").read_text())["groups"]
    urls = [rule["annotations"]["runbook_url"] for group in groups for rule in group["rules"]]
    assert len(urls) == len(set(urls))
    assert {str(Path(url).parent) for url in urls} == {"runbooks/alerts"}
    return {Path(url).stem for url in urls}


def sections(page: Path) -> dict[str, str]:
    _, *parts = page.read_text(encoding="utf-8").split("\n## ")
    return {part.partition("\n")[0]: part.partition("\n")[2] for part in parts}
