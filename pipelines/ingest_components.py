"""The step of ``ingest_pipeline``."""

from typing import NamedTuple

from pipelines.components import component


@component
def ingest(source: str, paths: list) -> NamedTuple(
    "Ingested", [("new_rows", int), ("summary", str)]
):
    """Bring in what is new."""
    from pipelines.steps import ingest as step
    from recipes.train_deploy import data

    return step.run(getattr(data, f"ingest_{source}"), paths)
