"""The step of ``ingest_pipeline``."""

from typing import NamedTuple

from pipelines.components import component


@component
def ingest(source: str, paths: list) -> NamedTuple("Ingested", [("appended", int), ("summary", str)]):
    """Bring in what is new."""
    from pipelines.steps import ingest
    from platform_ctl.recipe.recipe import resolve
    from recipes.train_deploy.recipe import RECIPE

    return ingest.run(resolve(RECIPE.sources[source]), paths)
