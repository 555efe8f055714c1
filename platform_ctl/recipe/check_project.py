"""What a recipe says of the project around it: its pipeline, and names that are its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from platform_ctl.errors import did_you_mean
from platform_ctl.ir.catalogue import Listed
from platform_ctl.recipe import source
from platform_ctl.recipe.check import RECIPE_FILE, recipe_in
from platform_ctl.recipe.problem import RecipeProblem
from platform_ctl.recipe.recipe import Recipe

_OWN = ("model_name", "pipeline", "table", "feature_project")
"""Under which a recipe keeps something in a home that others share."""


def project_problems(
    recipe: Recipe, package: str, root: Path, pipelines: Mapping[str, Listed]
) -> Iterator[RecipeProblem]:
    """``package``: of the recipe's folder; ``pipelines``: the compiled ones, by name.

    Imports the other recipes of the project, which may be broken.
    """
    file = root / package.replace(".", "/") / RECIPE_FILE
    shown = str(file.relative_to(root))
    pipeline = pipelines.get(recipe.pipeline)
    if pipeline is not None and pipeline.problem:
        yield RecipeProblem(pipeline.compiled, 0, pipeline.problem)
    for argument, what in (*_pipeline(recipe, pipelines), *_shared(recipe, package, root)):
        yield RecipeProblem(shown, source.line_of(file, argument), what)


def _pipeline(recipe: Recipe, pipelines: Mapping[str, Listed]) -> Iterator[tuple[str, str]]:
    """(argument of ``Recipe``, what is wrong) of the pipeline's name and its parameters."""
    if not recipe.pipeline:
        yield "pipeline", "no pipeline is named: nothing would train the model"
        return
    pipeline = pipelines.get(recipe.pipeline)
    if pipeline is None:
        known = did_you_mean(recipe.pipeline, pipelines)
        yield "pipeline", f"no pipeline {recipe.pipeline!r} is compiled; {known}"
    elif not pipeline.problem:
        for name in recipe.parameters:
            if name not in pipeline.parameters:
                known = did_you_mean(name, pipeline.parameters)
                yield (
                    "parameters",
                    f"pipeline {pipeline.name} has no parameter {name!r}; {known}",
                )


def _shared(recipe: Recipe, package: str, root: Path) -> Iterator[tuple[str, str]]:
    """(argument of ``Recipe``, what is wrong) of names that another recipe has too."""
    parent, _, own = package.rpartition(".")
    for other in sorted((root / parent.replace(".", "/")).glob(f"*/{RECIPE_FILE}")):
        name = other.parent.name
        theirs = recipe_in(f"{parent}.{name}", root)[0] if name != own else None
        for argument in _OWN if theirs is not None else ():
            value = getattr(recipe, argument)
            if value and value == getattr(theirs, argument, ""):
                yield argument, f"{argument} {value!r} is that of recipe {name} too"
