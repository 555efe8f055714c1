"""What the composition root says of a project that it cannot read."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_ctl import targets
from platform_ctl.errors import ConfigError
from platform_ctl.settings import Settings


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("import no_such_package_at_all", "ModuleNotFoundError"),
        ("RECIPE = 1 / 0", "ZeroDivisionError"),
        ("NAME = 'no recipe in it'", "AttributeError"),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_a_recipe_that_cannot_be_imported_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, problem: str
) -> None:
    package = f"recipes_{problem.lower()}"
    folder = tmp_path / package / "forecast"
    folder.mkdir(parents=True)
    (tmp_path / package / "__init__.py").touch()
    (folder / "recipe.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError) as caught:
        targets.recipes(Settings(recipes_package=package))
    assert problem in caught.value.what
    assert caught.value.where == f"{package}/forecast/recipe.py"
    assert caught.value.fix == f"python -c 'import {package}.forecast.recipe'"
