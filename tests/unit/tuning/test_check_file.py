"""Every mistake in a recipe's Experiment file is named at once, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_ctl.tuning.check_file import Found, problems
from tests.support.small_recipe import EXPERIMENT


def found_in(tmp_path: Path, *changes: tuple[str, str], metrics=frozenset({"val_loss"})):
    text = EXPERIMENT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    file = tmp_path / "experiment.yaml"
    file.write_text(text)
    return problems(file, metrics=metrics, package="recipes.one")


def test_a_good_file_has_none(tmp_path):
    assert found_in(tmp_path) == []


SPACE = ('{min: "0.01", max', '{min: "0.5", max')
MISTAKES: dict[str, tuple[tuple[str, str], Found]] = {
    "no YAML": (("objective: {", "objective: {{"), (6, "it is no YAML")),
    "algorithm": (("Name: tpe", "Name: tpee"), (6, "there is no 'tpee' for spec.algorithm; use")),
    "setting": (("random_state", "seed"), (6, "spec.algorithm.algorithmSettings.seed: not a")),
    "setting's type": (('"42"', "42"), (6, "spec.algorithm.algorithmSettings[0].value: expected")),
    "space": (SPACE, (10, "spec.parameters.rate: min 0.5 must be below max 0.3")),
    "number": (('"0.01"', "0.01"), (11, "spec.parameters[0].feasibleSpace.min: expected `str`")),
    "field": (("maxTrialCount", "maxTrials"), (7, "spec: object contains unknown field `maxTri")),
    "type": (("Type: int", "Type: whole"), (12, "spec.parameters[1].parameterType: invalid enum")),
    "metric": (("Name: val_loss", "Name: loss"), (5, "trial in train.py reports no 'loss'; did")),
    "other recipe": (("recipes.one", "recipes.two"), (26, "the trial runs recipes.two.train, whi")),
    "reference": (("reference: leaves", "reference: x"), (17, "spec.trialTemplate.trialParameter")),
    "counts": (("TrialCount: 2", "TrialCount: 9"), (8, "spec.parallelTrialCount: must not exce")),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_mistake_has_its_line(tmp_path, kind):
    change, (line, what) = MISTAKES[kind]
    found = found_in(tmp_path, change)
    assert any(at == line and said.startswith(what) for at, said in found), found


def test_all_of_them_are_named_at_once(tmp_path):
    kinds = ("algorithm", "setting's type", "field", "space", "metric", "other recipe")
    found = found_in(tmp_path, *(MISTAKES[kind][0] for kind in kinds))
    for kind in kinds:
        line, what = MISTAKES[kind][1]
        assert any(at == line and said.startswith(what) for at, said in found), (kind, found)
    assert len(found) == len(kinds)


def test_a_metric_of_code_that_does_not_tell_is_left_alone(tmp_path):
    assert found_in(tmp_path, MISTAKES["metric"][0], metrics=None) == []


@pytest.mark.parametrize("text", ["", "- a\n", "7\n", "# nothing\n"])
def test_a_file_that_holds_something_else(tmp_path, text):
    file = tmp_path / "experiment.yaml"
    file.write_text(text)
    assert problems(file, metrics=None, package="recipes.one") == [(0, "it holds no Experiment")]


def test_a_file_that_is_no_text(tmp_path):
    file = tmp_path / "experiment.yaml"
    file.write_bytes(b"\xff\xfe")
    ((line, what),) = problems(file, metrics=None, package="recipes.one")
    assert line == 0 and what.startswith("it cannot be read: ")
