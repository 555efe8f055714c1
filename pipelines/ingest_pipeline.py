"""New data into Iceberg, before whatever learns from it."""

from kfp import dsl

from pipelines import ingest_components as step


@dsl.pipeline(name="ingest", description="Bring in what is new from one of the recipe's sources.")
def flow(source: str = "sample", paths: list = []):  # noqa: B006 - KFP reads the default
    """Parameters: a source of the recipe, and the paths that it reads (git: local clones)."""
    step.ingest(source=source, paths=paths).set_caching_options(False)
