"""A pipeline may say what a step of it needs."""

from pathlib import Path

import pytest
import yaml
from kfp import compiler, dsl

from pipelines.training import StepResources, train_and_register
from recipes.eights.recipe import RECIPE


def compiled(path: Path, resources: dict[str, StepResources]) -> dict:
    @dsl.pipeline(name="resources")
    def flow(max_trials: int = 10, seed: int = 0):
        train_and_register(RECIPE, max_trials=max_trials, seed=seed, resources=resources)

    compiler.Compiler().compile(flow, str(path))
    executors = yaml.safe_load(path.read_text())["deploymentSpec"]["executors"]
    return {name: e["container"].get("resources") for name, e in executors.items()}


def test_a_step_gets_what_the_pipeline_says_and_the_others_nothing(tmp_path: Path) -> None:
    found = compiled(tmp_path / "p.yaml", {"train": StepResources(cpu="2", memory="4Gi")})
    assert found.pop("exec-train") == {
        "cpuLimit": 2.0,
        "cpuRequest": 2.0,
        "memoryLimit": 4.294967296,
        "memoryRequest": 4.294967296,
        "resourceCpuLimit": "2",
        "resourceCpuRequest": "2",
        "resourceMemoryLimit": "4Gi",
        "resourceMemoryRequest": "4Gi",
    }
    assert set(found.values()) == {None}


def test_a_step_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no step 'fit'; there is: extract, tune"):
        compiled(tmp_path / "p.yaml", {"fit": StepResources(cpu="2")})
