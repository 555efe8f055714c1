"""Which datasets a task reads and writes, told by its artifacts and parameters.

Names follow OpenLineage's naming: Iceberg tables ``iceberg`` or the warehouse's
bucket, Feast by its project, files by their path. An artifact of a run is one
dataset across runs (``PIPELINE.TASK.OUTPUT``) with its digest as version; where
the bytes lie is a symlink. What a parameter stands for is in the recipe.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

import msgspec

from platform_ctl.domain.cache_key import ABSENT
from platform_ctl.domain.recipe import Recipe
from platform_ctl.domain.runs import Artifact, Outputs, Run, Task
from platform_ctl.domain.tables import TableState

if TYPE_CHECKING:
    from platform_ctl.domain.lineage import Producer

Dataset = dict[str, Any]

_OF_A_RUN = re.compile(r"/runs/(?P<run>[0-9a-f-]{36})/tasks/(?P<task>[^/]+)/outputs/(?P<name>.+)$")
_PARAMETERS = {"snapshot_id", "feature_service", "version", "release_id"}
"""Parameters that stand for a dataset; only a task with one of them asks for the recipe."""
SERVING = "kserve"
"""Namespace of InferenceServices."""


@dataclass(frozen=True)
class Naming:
    """How this home's datasets are called. The functions are asked only when they are needed."""

    namespace: str
    """Of jobs and of the artifacts of runs."""
    models: str
    """Of registered models: ``mlflow://host:port``."""
    recipe: Callable[[str, str], Recipe | None]
    """(pipeline, model name) -> the recipe that one of them belongs to."""
    table: Callable[[str], TableState | None]
    catalog: Mapping[str, str]


def inputs(run: Run, task: Task, by: Producer) -> list[Dataset]:
    """What the task read: artifacts, the pinned table, feature views, a model version."""
    read = [_artifact(run, a, by, read=True) for a in _all(task.inputs)]
    given, written = task.inputs.parameters, task.outputs.parameters
    if not _PARAMETERS & {*given, *written}:
        return read
    recipe = by.naming.recipe(run.pipeline, text(given.get("model", "")))
    if recipe is None:
        return read
    snapshot = given.get("snapshot_id") or written.get("snapshot_id")
    extracts = "feature_service" in written
    if recipe.table and snapshot and (extracts or "snapshot_id" in written):
        read.append(_table(recipe.table, text(snapshot), by))
    if recipe.feature_project and extracts:
        names = (*recipe.feature_views, text(written["feature_service"]))
        read += [{"namespace": recipe.feature_project, "name": n, "facets": {}} for n in names]
    if "model" in given and "version" in given:
        read.append(model_version(text(given["model"]), text(given["version"]), by))
    return read


def outputs(run: Run, task: Task, by: Producer) -> list[Dataset]:
    """What a successful task wrote: artifacts, a model version, an InferenceService."""
    made = [_artifact(run, a, by, read=False) for a in _all(task.outputs)]
    given, written = task.inputs.parameters, task.outputs.parameters
    registers = "verdict" in written and "version" in written
    if not registers and "release_id" not in written:
        return made
    recipe = by.naming.recipe(run.pipeline, text(given.get("model", "")))
    if recipe is None:
        return made
    if registers:
        made.append(model_version(recipe.model_name, text(written["version"]), by))
    else:
        version = _version(text(given.get("version", "")), by)
        kind = _kind("INFERENCE_SERVICE", by)
        facets = {**version, **kind}
        made.append({"namespace": SERVING, "name": recipe.inference_service, "facets": facets})
    return made


def model_version(name: str, number: str, by: Producer) -> Dataset:
    """A registered version: the model is the dataset, its number the version."""
    facets = {**_version(number, by), **_kind("MODEL", by)}
    return {"namespace": by.naming.models, "name": f"models/{name}", "facets": facets}


def text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


# ---- artifacts and tables -------------------------------------------------------


def _all(some: Outputs) -> list[Artifact]:
    return [artifact for artifacts in some.artifacts.values() for artifact in artifacts]


def _artifact(run: Run, artifact: Artifact, by: Producer, *, read: bool) -> Dataset:
    namespace, name = physical(artifact.uri)
    facets: dict[str, Any] = {
        "dataSource": by.facet(
            "1-0-1/DatasourceDatasetFacet", name=namespace, uri=_uri(namespace, name)
        ),
        **(_version(artifact.digest, by) if artifact.digest not in ("", ABSENT) else {}),
        **_kind(artifact.schema_title, by),
    }
    made = _OF_A_RUN.search(artifact.uri)
    if made:
        link = {"namespace": namespace, "name": name, "type": "LOCATION"}
        facets["symlinks"] = by.facet("1-0-1/SymlinksDatasetFacet", identifiers=[link])
        namespace, name = by.naming.namespace, f"{run.pipeline}.{made['task']}.{made['name']}"
    dataset = {"namespace": namespace, "name": name, "facets": facets}
    rows = artifact.metadata.get("rows")
    counted = {"rowCount": rows} if isinstance(rows, int) else {}
    size = {"size": artifact.size_bytes} if artifact.size_bytes else {}
    if read and counted:
        dataset["inputFacets"] = {
            "dataQualityMetrics": by.facet(
                "1-0-3/DataQualityMetricsInputDatasetFacet", **counted, columnMetrics={}
            )
        }
    elif not read and (counted or size):
        dataset["outputFacets"] = {
            "outputStatistics": by.facet(
                "1-0-2/OutputStatisticsOutputDatasetFacet", **counted, **size
            )
        }
    return dataset


def physical(uri: str) -> tuple[str, str]:
    """(namespace, name) of a place by OpenLineage's naming: ``file``, ``s3://bucket``, …"""
    parsed = urlparse(uri)
    if parsed.scheme in ("", "file"):
        return "file", parsed.path or uri
    return f"{parsed.scheme}://{parsed.netloc}", parsed.path.lstrip("/") or "/"


def _uri(namespace: str, name: str) -> str:
    return f"file://{name}" if namespace == "file" else f"{namespace}/{name}"


def _table(name: str, snapshot: str, by: Producer) -> Dataset:
    """An Iceberg table at a snapshot, with its columns where they are known."""
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
    if state is not None and state.columns:
        columns = [{"name": c.name, "type": c.type} for c in state.columns]
        facets["schema"] = by.facet("1-2-0/SchemaDatasetFacet", fields=columns)
    return {"namespace": "iceberg", "name": name, "facets": facets}


def _version(version: str, by: Producer) -> dict[str, Any]:
    return {"version": by.facet("1-0-1/DatasetVersionDatasetFacet", datasetVersion=version)}


def _kind(kind: str, by: Producer) -> dict[str, Any]:
    return {"datasetType": by.facet("1-0-1/DatasetTypeDatasetFacet", datasetType=kind)}
