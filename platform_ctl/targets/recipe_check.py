"""``recipe check`` of a folder: its own files, its pipeline, its search, its names."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl.settings import Settings

if TYPE_CHECKING:
    from platform_ctl.recipe.problem import RecipeProblem


def check_recipe(settings: Settings, name: str) -> tuple[str, list[RecipeProblem]]:
    """The name of the recipe that is meant, and everything that keeps it from running.

    Other recipes of the project may be broken. Raises UnknownName, PreconditionMissing.
    """
    from platform_ctl.recipe.check import check_folder, recipe_in
    from platform_ctl.recipe.check_project import project_problems
    from platform_ctl.recipe.check_values import of_declared_types
    from platform_ctl.targets.recipe import pipelines

    root = Path(settings.project_root).resolve()
    folder = _folder(settings, name)
    package = f"{settings.recipes_package}.{folder.name}"
    recipe, problems = recipe_in(package, root)
    problems += check_folder(recipe, package, root)
    if recipe is not None and of_declared_types(recipe):
        listed = {one.name: one for one in pipelines(settings).list()}
        problems += project_problems(recipe, package, root, listed)
    problems += _search(folder, package, root)
    return folder.name, list(dict.fromkeys(problems))


def _folder(settings: Settings, name: str) -> Path:
    """The recipe's folder: one that holds at least one file that only recipes have."""
    from platform_ctl.recipe.check import EXPERIMENT_FILE, RECIPE_FILE
    from platform_ctl.recipe.contract import REQUIRED
    from platform_ctl.targets.recipe import recipe

    wanted = name.replace("-", "_")
    files = (RECIPE_FILE, EXPERIMENT_FILE, *(f"{module}.py" for module in REQUIRED))
    spec = importlib.util.find_spec(settings.recipes_package)
    for root in spec.submodule_search_locations or () if spec else ():
        folder = Path(root) / wanted
        if wanted.isidentifier() and any((folder / file).is_file() for file in files):
            return folder.resolve()
    return Path(recipe(settings, name, command="platform-ctl recipe check").name)


def _search(folder: Path, package: str, root: Path) -> Iterator[RecipeProblem]:
    from platform_ctl.recipe import source
    from platform_ctl.recipe.check import EXPERIMENT_FILE
    from platform_ctl.recipe.problem import RecipeProblem
    from platform_ctl.tuning.check_file import problems

    file = folder / EXPERIMENT_FILE
    if file.is_file():
        metrics = source.reported_metrics(folder / "train.py")
        for line, what in problems(file, metrics=metrics, package=package):
            yield RecipeProblem(str(file.relative_to(root)), line, what)
