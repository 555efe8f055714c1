"""Names of a copied recipe change where they are names, and nowhere else."""

from __future__ import annotations

import ast
import json
import keyword
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from platform_ctl.errors import BadParameter, ConfigError
from platform_ctl.recipe.recipe_copy import (
    MAX_LENGTH,
    Copy,
    RecipeName,
    refuse_taken,
    set_constants,
)
from recipes.train_deploy.recipe import RECIPE

COPY = Copy("load", "load-weekly", RecipeName("energy-load"))
NAMES = st.from_regex(r"[a-z][a-z0-9]{0,9}([-_][a-z0-9]{1,8}){0,2}", fullmatch=True)


@given(NAMES)
def test_a_valid_name_is_a_module_and_a_dns_label(text):
    name = RecipeName.parse(text)
    assert name.module.isidentifier() and not keyword.iskeyword(name.module)
    assert name.word == name.module.replace("_", "-")
    assert len(name.word) <= MAX_LENGTH


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("Energy Load", "energy-load"),
        ("../../etc", "etc"),
        ("2nd-try", "nd-try"),
        ("class", "class-forecast"),
        ("a--b", "a-b"),
        ("-x", "x"),
        ("é", "energy-load"),
        ("", "energy-load"),
        ("x" * 31, "x" * 30),
        ("a\n", "a"),
    ],
)
def test_what_cannot_be_a_name_is_refused_with_the_nearest_that_can(text, near):
    with pytest.raises(BadParameter) as refused:
        RecipeName.parse(text)
    assert refused.value.fix == f"platform-ctl recipe new {near}"
    RecipeName.parse(near)


@pytest.mark.parametrize(
    "name",
    [RECIPE.name, RECIPE.pipeline, RECIPE.model_name, RECIPE.feature_project],
)
def test_a_name_that_another_recipe_keeps_something_under_is_taken(name):
    with pytest.raises(BadParameter, match="is taken"):
        refuse_taken(RecipeName.parse(name), [RECIPE])
    refuse_taken(RecipeName("energy-load"), [RECIPE])


def test_code_follows_and_other_uses_of_the_word_stay():
    source = '''\
from recipes import load, loader
from recipes.load import names
from pipelines import load_components as step
import recipes.load.data  # recipes/load/data.py

def load(load):
    """``recipes.load`` and recipes.loader; load; download; load_pipeline."""
    return load.recipes, f"recipes.load.train{load}", "my_recipes.load", "load"
'''
    assert (
        COPY.python(source)
        == '''\
from recipes import energy_load, loader
from recipes.energy_load import names
from pipelines import energy_load_components as step
import recipes.energy_load.data  # recipes/energy_load/data.py

def load(load):
    """``recipes.energy_load`` and recipes.loader; load; download; energy_load_pipeline."""
    return load.recipes, f"recipes.energy_load.train{load}", "my_recipes.load", "load"
'''
    )


def test_yaml_keeps_its_comments_and_its_data():
    text = """\
# load-weekly stays here
metadata: {name: load-weekly, note: "the load-weekly is heavy"}
image: ghcr.io/x/recipe-load-weekly:0.1.0
command: [python, -m, recipes.load.train]  # recipes.load
load: é load
"""
    changed = COPY.document(text)
    assert yaml.safe_load(changed) == {
        "metadata": {"name": "energy-load", "note": "the load-weekly is heavy"},
        "image": "ghcr.io/x/recipe-energy-load:0.1.0",
        "command": ["python", "-m", "recipes.energy_load.train"],
        "load": "é load",
    }
    assert [line.partition("#")[2] for line in changed.splitlines()] == [
        line.partition("#")[2] for line in text.splitlines()
    ]


def test_notebooks_lose_their_outputs_and_magic_is_left_alone():
    cells = [
        {"cell_type": "markdown", "source": ["see recipes/load\n", "and load"]},
        {
            "cell_type": "code",
            "source": ["from recipes.load import data"],
            "outputs": [{"text": "secret"}],
            "execution_count": 3,
        },
        {"cell_type": "code", "source": ["%%bash\n", "echo 'recipes/load"], "outputs": []},
    ]
    changed = json.loads(COPY.notebook(json.dumps({"cells": cells})))["cells"]
    assert [cell["source"] for cell in changed] == [
        ["see recipes/energy_load\n", "and load"],
        ["from recipes.energy_load import data"],
        ["%%bash\n", "echo 'recipes/energy_load"],
    ]
    assert (changed[1]["outputs"], changed[1]["execution_count"]) == ([], None)


def test_constants_are_set_and_what_is_built_from_them_is_not():
    source = '"""é"""\nA = "x"  # é\nB = f"{A}.rows"\nC = "x"\n'
    assert set_constants(source, {"A": "y"}) == '"""é"""\nA = "y"  # é\nB = f"{A}.rows"\nC = "x"\n'
    with pytest.raises(ConfigError, match="does not set B, D"):
        set_constants(source, {"A": "y", "B": "z", "D": "z"})


@given(NAMES)
def test_every_file_of_the_real_recipe_can_be_copied_under_any_name(text):
    """The sources stay Python and YAML, and nothing of them means the first recipe any more."""
    folder = Path(__file__).parents[3] / "recipes" / RECIPE.name
    copy = Copy(RECIPE.name, RECIPE.pipeline, RecipeName.parse(text))
    for name in ("names.py", "recipe.py", "train.py", "experiment.yaml", "explore.ipynb"):
        changed = copy.file(name, (folder / name).read_bytes()).decode()
        if name.endswith(".py"):
            ast.parse(changed)
        if copy.new.module != RECIPE.name:
            assert "recipes.train_deploy" not in changed and '"train-deploy"' not in changed
