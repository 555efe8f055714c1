"""A run's IR becomes one that repeats it: lookups are constants, effects are gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from platform_ctl.evidence.reproduction import reproduction
from platform_ctl.ir import file as ir_file

COMPILED = Path(__file__).parents[3] / "pipelines" / "compiled" / "train-deploy.yaml"
RECORDED = {
    "resolve": {"snapshot_id": "7", "as_of": "2026-03-02", "golden_digest": "abc", "champion": ""},
    "tune": {"parameters": {"learning_rate": "0.003", "batch_size": "64"}, "summary": ""},
}


@pytest.fixture
def ir() -> dict[str, Any]:
    return yaml.safe_load(COMPILED.read_text())


def test_lookups_are_constants_and_effects_are_gone(ir: dict[str, Any]) -> None:
    repeated = reproduction(ir, RECORDED, repeat_search=True)
    tasks = repeated["root"]["dag"]["tasks"]
    assert set(tasks) == {"extract", "tune", "train", "evaluate", "gate"}
    given = tasks["extract"]["inputs"]["parameters"]
    assert given["snapshot_id"] == {"runtimeValue": {"constant": "7"}}
    assert "dependentTasks" not in tasks["extract"]


def test_the_choice_of_the_search_is_put_in_unless_it_is_to_be_repeated(
    ir: dict[str, Any],
) -> None:
    tasks = reproduction(ir, RECORDED, repeat_search=False)["root"]["dag"]["tasks"]
    assert set(tasks) == {"extract", "train", "evaluate", "gate"}
    chosen = tasks["train"]["inputs"]["parameters"]["parameters"]
    assert chosen == {"runtimeValue": {"constant": RECORDED["tune"]["parameters"]}}
    assert tasks["train"]["dependentTasks"] == ["extract"]


def test_it_is_a_pipeline_of_its_own_and_the_original_stays(
    ir: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "repeated.yaml"
    path.write_text(yaml.safe_dump(reproduction(ir, RECORDED, repeat_search=False)))
    assert ir_file.read(path).name == "train-deploy-reproduction"
    assert ir == yaml.safe_load(COMPILED.read_text())


def test_what_was_not_recorded_is_named(ir: dict[str, Any]) -> None:
    with pytest.raises(KeyError, match="resolve"):
        reproduction(ir, {"tune": RECORDED["tune"]}, repeat_search=False)
