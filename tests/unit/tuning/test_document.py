"""Experiment files are read by the rules of the cluster that takes the same file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from platform_ctl.errors import BadExperiment
from platform_ctl.tuning import document
from tests.support import experiments


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "experiment.yaml"
    path.write_text(text)
    return path


def text(*parameters: dict, **options: Any) -> str:
    return yaml.safe_dump(experiments.document(*parameters, **options))


X = experiments.double("x", 0, 1)


@pytest.mark.parametrize("goal", ["1e-3", "1E-3", "1.0e-3", "0.001"])
def test_a_goal_with_an_exponent_is_a_number(tmp_path: Path, goal: str) -> None:
    asked = text(X, objective={"goal": 7.5}).replace("goal: 7.5", f"goal: {goal}")
    assert document.load(written(tmp_path, asked)).spec.objective.goal == 0.001


def test_a_quoted_goal_is_refused(tmp_path: Path) -> None:
    asked = text(X, objective={"goal": 7.5}).replace("goal: 7.5", "goal: '1e-3'")
    with pytest.raises(BadExperiment, match="goal"):
        document.load(written(tmp_path, asked))


@pytest.mark.parametrize("values", ["[1e-4, 1e-3]", "[1, 2]", "[true]"])
def test_numbers_where_katib_wants_strings_are_refused(tmp_path: Path, values: str) -> None:
    asked = text(experiments.choice("x", "here")).replace("list:\n      - here", f"list: {values}")
    assert values in asked
    with pytest.raises(BadExperiment, match="list"):
        document.load(written(tmp_path, asked))


def test_json_is_read_as_json(tmp_path: Path) -> None:
    asked = experiments.document(X, objective={"goal": 1e-05})
    asked["metadata"]["annotations"] = {"note": "\N{WHITE SMILING FACE} \N{GRINNING FACE}"}
    read = document.load(written(tmp_path, json.dumps(asked)))
    assert read.spec.objective.goal == 1e-05
    assert read.metadata["annotations"]["note"].endswith("\N{GRINNING FACE}")


def test_json_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadExperiment, match="cannot be read"):
        document.load(written(tmp_path, '{"kind": '))
