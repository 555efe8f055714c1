"""What a new recipe may be called."""

from __future__ import annotations

import keyword

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_ctl.errors import BadParameter
from platform_ctl.recipe.recipe_name import MAX_LENGTH, RecipeName, refuse_taken
from recipes.train_deploy.recipe import RECIPE

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
