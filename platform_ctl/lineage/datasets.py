"""Derives the datasets that a task reads and writes from its artifacts and parameters.

Names follow OpenLineage's naming: Iceberg tables ``iceberg``, Feast by its project,
files by their path. An artifact of a run is one dataset across runs
(``PIPELINE.TASK.OUTPUT``) with its digest as version; where the bytes lie is a
symlink. What a parameter stands for, and what columns there are, is in the recipe.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from platform_ctl.lineage import columns
from platform_ctl.lineage.facets import SERVING, Dataset, Producer, physical, text
from platform_ctl.recipe.recipe import DatasetColumns, Recipe
from platform_ctl.runs.cache.key import ABSENT
from platform_ctl.runs.record import Artifact, Outputs, Run, Task

_OF_A_RUN = re.compile(r"/runs/(?P<run>[0-9a-f-]{36})/tasks/(?P<task>[^/]+)/outputs/(?P<name>.+)$")

Told = Mapping[str, DatasetColumns]


def inputs(run: Run, task: Task, by: Producer) -> list[Dataset]:
    """What the task read: artifacts, the pinned table, feature views, a model version."""
    return list(_read(run, task, recipe_of(run, task, by), by).values())


def outputs(run: Run, task: Task, by: Producer) -> list[Dataset]:
    """What a successful task wrote: artifacts, a model version, an InferenceService."""
    recipe = recipe_of(run, task, by)
    documented = by.naming.columns(recipe) if recipe else {}
    written = []
    for name, artifact in _all(task.outputs):
        dataset = _artifact(run, artifact, by)
        if name in documented:
            read = _read(run, task, recipe, by)
            dataset["facets"] |= columns.schema(documented[name], by)
            dataset["facets"] |= columns.lineage(documented[name], read, by)
        if statistics := _statistics(artifact, by):
            dataset["outputFacets"] = statistics
        written.append(dataset)
    return written + (_released(task, recipe, by) if recipe else [])


def recipe_of(run: Run, task: Task, by: Producer) -> Recipe | None:
    """The recipe that the task works for."""
    return by.naming.recipe(run.pipeline, text(task.inputs.parameters.get("model", "")))


def materialised(run: Run, task: Task, by: Producer) -> dict[str, tuple[Dataset, Dataset]]:
    """Feature view -> (table, view) of a task that brought views in step with its snapshot."""
    recipe, values = recipe_of(run, task, by), task.inputs.parameters
    snapshot = text(values.get("snapshot_id", ""))
    if not (recipe and recipe.table and snapshot and "feature_service" in task.outputs.parameters):
        return {}
    documented = by.naming.columns(recipe)
    table = _table(recipe.table, snapshot, by)
    views = {}
    for name in recipe.feature_views:
        view = _feature(recipe, name, documented, by, snapshot)
        lineage = (
            columns.lineage(documented[name], {recipe.table: table}, by)
            if name in documented
            else {}
        )
        if lineage:
            view["facets"] |= lineage
            views[name] = (table, view)
    return views


def model_version(name: str, number: str, by: Producer) -> Dataset:
    """A registered version: the model is the dataset, its number the version."""
    facets = {**_version(number, by), **_kind("MODEL", by)}
    return {"namespace": by.naming.models, "name": f"models/{name}", "facets": facets}


def written_at(run: Run, path: str, by: Producer) -> Dataset | None:
    """The artifact of the run that lies at ``path``; None when there is none."""
    for task in run.tasks:
        for _, artifact in _all(task.outputs):
            if artifact.uri == path:
                return _artifact(run, artifact, by)
    return None


def run_of(path: str) -> str:
    """The run whose artifact would lie at ``path``, or ""."""
    match = _OF_A_RUN.search(path)
    return match["run"] if match else ""


def table_at(recipe: Recipe, snapshot: str, by: Producer) -> Dataset:
    """The recipe's table at a snapshot."""
    return _table(recipe.table, snapshot, by)


def reference(dataset: Dataset) -> Dataset:
    """The same dataset at the same version, without what else is known of it."""
    facets = {k: v for k, v in dataset["facets"].items() if k == "version"}
    return {"namespace": dataset["namespace"], "name": dataset["name"], "facets": facets}


# ---- what a task reads and writes -----------------------------------------------


def _read(run: Run, task: Task, recipe: Recipe | None, by: Producer) -> dict[str, Dataset]:
    """As the recipe calls it -> dataset; of several called alike the later ones have a number."""
    documented = by.naming.columns(recipe) if recipe else {}
    asserted = columns.assertions(task, by)
    read: dict[str, Dataset] = {}
    for input_name, artifact in _all(task.inputs):
        dataset, name = _artifact(run, artifact, by), _output_name(artifact)
        if name in documented:
            dataset["facets"] |= columns.schema(documented[name], by)
        facets = {**columns.quality(artifact, by), **asserted.get(input_name, {})}
        if facets:
            dataset["inputFacets"] = facets
        read[name if name not in read else f"{name} {len(read)}"] = dataset
    return read | (_of_recipe(task, recipe, documented, by) if recipe else {})


def _of_recipe(task: Task, recipe: Recipe, documented: Told, by: Producer) -> dict[str, Dataset]:
    """What the task's parameters stand for."""
    values, written = task.inputs.parameters, task.outputs.parameters
    read: dict[str, Dataset] = {}
    snapshot = text(values.get("snapshot_id") or written.get("snapshot_id") or "")
    extracts = "feature_service" in written
    if recipe.table and snapshot and (extracts or "snapshot_id" in written):
        read[recipe.table] = _table(recipe.table, snapshot, by)
    if recipe.feature_project and extracts:
        for view in recipe.feature_views:
            read[view] = _feature(recipe, view, documented, by, snapshot)
        service = text(written["feature_service"])
        read[service] = _feature(recipe, service, documented, by)
    if "model" in values and "version" in values:
        name, number = text(values["model"]), text(values["version"])
        read[f"models/{name}"] = model_version(name, number, by)
    return read


def _released(task: Task, recipe: Recipe, by: Producer) -> list[Dataset]:
    values, written = task.inputs.parameters, task.outputs.parameters
    if "verdict" in written and "version" in written:
        return [model_version(recipe.model_name, text(written["version"]), by)]
    if "release_id" in written:
        version = _version(text(values.get("version", "")), by)
        facets = {**version, **_kind("INFERENCE_SERVICE", by)}
        return [{"namespace": SERVING, "name": recipe.inference_service, "facets": facets}]
    return []


# ---- artifacts, tables, features ------------------------------------------------


def _all(some: Outputs) -> list[tuple[str, Artifact]]:
    return [(name, one) for name, artifacts in some.artifacts.items() for one in artifacts]


def _output_name(artifact: Artifact) -> str:
    """Under which it was written, whatever the task that reads it calls it."""
    match = _OF_A_RUN.search(artifact.uri)
    return match["name"] if match else artifact.name


def _artifact(run: Run, artifact: Artifact, by: Producer) -> Dataset:
    namespace, name = physical(artifact.uri)
    facets: dict[str, Any] = {
        "dataSource": by.facet(
            "1-0-1/DatasourceDatasetFacet", name=namespace, uri=_uri(namespace, name)
        ),
        **(_version(artifact.digest, by) if artifact.digest not in ("", ABSENT) else {}),
        **_kind(artifact.schema_title, by),
    }
    match = _OF_A_RUN.search(artifact.uri)
    if match:
        link = {"namespace": namespace, "name": name, "type": "LOCATION"}
        facets["symlinks"] = by.facet("1-0-1/SymlinksDatasetFacet", identifiers=[link])
        namespace, name = by.naming.namespace, f"{run.pipeline}.{match['task']}.{match['name']}"
    return {"namespace": namespace, "name": name, "facets": facets}


def _statistics(artifact: Artifact, by: Producer) -> dict[str, Any]:
    rows = artifact.metadata.get("rows")
    counted = {"rowCount": rows} if isinstance(rows, int) else {}
    size = {"size": artifact.size_bytes} if artifact.size_bytes else {}
    if not (counted or size):
        return {}
    facet = by.facet("1-0-2/OutputStatisticsOutputDatasetFacet", **counted, **size)
    return {"outputStatistics": facet}


def _uri(namespace: str, name: str) -> str:
    return f"file://{name}" if namespace == "file" else f"{namespace}/{name}"


def _table(name: str, snapshot: str, by: Producer) -> Dataset:
    """An Iceberg table at a snapshot, with its columns and rows where they are known."""
    state, catalog = by.naming.table(name), by.naming.catalog
    facets: dict[str, Any] = {
        **_version(snapshot, by),
        **_kind("TABLE", by),
        "catalog": by.facet(
            "1-1-0/CatalogDatasetFacet",
            framework="iceberg",
            type=catalog.get("type", "rest"),
            name=catalog.get("name", "default"),
            warehouseUri=catalog.get("warehouse", ""),
        ),
        "storage": by.facet(
            "1-0-1/StorageDatasetFacet", storageLayer="iceberg", fileFormat="parquet"
        ),
    }
    dataset = {"namespace": "iceberg", "name": name, "facets": facets}
    if state is not None and state.columns:
        fields = [{"name": c.name, "type": c.type} for c in state.columns]
        facets["schema"] = by.facet("1-2-0/SchemaDatasetFacet", fields=fields)
    pinned = state.snapshot(snapshot) if state is not None else None
    if pinned is not None:
        dataset["inputFacets"] = columns.metrics(by, rowCount=pinned.total_rows)
    return dataset


def _feature(
    recipe: Recipe, name: str, documented: Told, by: Producer, snapshot: str = ""
) -> Dataset:
    """A Feast view or service; a view is versioned by the snapshot that it was computed from."""
    facets = _version(snapshot, by) if snapshot else {}
    if name in documented:
        facets |= columns.schema(documented[name], by)
    return {"namespace": recipe.feature_project, "name": name, "facets": facets}


def _version(version: str, by: Producer) -> dict[str, Any]:
    return {"version": by.facet("1-0-1/DatasetVersionDatasetFacet", datasetVersion=version)}


def _kind(kind: str, by: Producer) -> dict[str, Any]:
    return {"datasetType": by.facet("1-0-1/DatasetTypeDatasetFacet", datasetType=kind)}
