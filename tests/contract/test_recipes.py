"""What every recipe of the project promises: it says where its code is, and shares no name."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import yaml

from platform_ctl import targets
from platform_ctl.recipe.check import check
from platform_ctl.recipe.recipe import Recipe
from platform_ctl.settings import Settings

ROOT = Path(__file__).parents[2]
SETTINGS = Settings(project_root=str(ROOT))
RECIPES = targets.recipes(SETTINGS)


@pytest.fixture(params=RECIPES)
def recipe(request) -> Recipe:
    return RECIPES[request.param]


def test_its_name_is_its_folder(recipe):
    assert (ROOT / "recipes" / recipe.name / "recipe.py").is_file()


def test_it_keeps_the_contract(recipe):
    assert check(recipe, ROOT) == []


def test_its_pipeline_is_compiled(recipe):
    names = [listed.name for listed in targets.pipelines(SETTINGS).list()]
    assert recipe.pipeline in names


def test_its_search_is_labelled_with_it(recipe):
    file = ROOT / "recipes" / recipe.name / "experiment.yaml"
    search = yaml.safe_load(file.read_text())
    assert search["metadata"]["name"] == recipe.pipeline
    assert search["metadata"]["labels"]["recipe"] == recipe.pipeline
    pod = search["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]
    module = f"{recipe.package}.train"
    assert any(module in container["command"] for container in pod["containers"])


@pytest.mark.parametrize(
    "what", ["name", "model_name", "inference_service", "pipeline", "table", "feature_project"]
)
def test_no_two_keep_something_under_one_name(what):
    kept = [name for recipe in RECIPES.values() if (name := getattr(recipe, what))]
    assert all(a != b for a, b in itertools.combinations(kept, 2)), kept
