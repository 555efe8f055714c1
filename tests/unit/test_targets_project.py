"""What the composition root says of a project that it cannot read."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_ctl import targets
from platform_ctl.errors import BadParameter, ConfigError
from platform_ctl.settings import Settings, TrainingSettings

ROOT = Path(__file__).parents[2]


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


def workers_of(training: TrainingSettings, target: str = "local") -> object:
    settings = Settings(project_root=str(ROOT), target=target, training=training)
    return targets.allowed_parameters(settings, "digits")["num_workers"]


def test_gpus_that_this_machine_lacks_are_refused_before_a_run_begins() -> None:
    """A search took minutes before its fit was refused."""
    with pytest.raises(BadParameter, match="a worker is to have 1000 GPUs: this machine has"):
        workers_of(TrainingSettings(worker_gpus=1000))


def test_what_this_machine_holds_is_no_limit_of_another_one() -> None:
    declared = workers_of(TrainingSettings(), "kubernetes")
    assert workers_of(TrainingSettings(worker_gpus=1000), "kubernetes") == declared
    cluster = TrainingSettings(worker_gpus=1000, ray_address="ray://head:10001")
    assert workers_of(cluster) == declared
