"""What is known of a dataset's columns: schema, where they come from, counts, assertions.

The recipe says which columns its datasets have and what they are made from. Counts and
assertions travel with the artifacts, in metadata that a step writes:
``rows``, ``columns`` = {column: {nulls, distinct, min, max}} and ``assertions`` =
[{dataset: input artifact, assertion, success, …}].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from platform_ctl.lineage.facets import Dataset, Producer
from platform_ctl.recipe.recipe import Column, DatasetColumns
from platform_ctl.runs.record import Artifact, Task

_COUNTS = {"nulls": "nullCount", "distinct": "distinctCount", "min": "min", "max": "max"}
_ASSERTION = ("assertion", "success", "column", "severity", "name", "description", "expected",
              "actual")  # fmt: skip
"""What a step may say of an assertion: the fields of upstream's facet."""

Known = Mapping[str, Dataset]
"""Dataset, as the recipe calls it -> as the task read it."""


def schema(documented: DatasetColumns, by: Producer) -> dict[str, Any]:
    """The schema facet of a dataset whose columns the recipe declares."""
    return {
        "schema": by.facet(
            "1-2-0/SchemaDatasetFacet", fields=[_field(c) for c in documented.columns]
        )
    }


def lineage(documented: DatasetColumns, read: Known, by: Producer) -> dict[str, Any]:
    """The columnLineage facet; {} when no column comes from what the task read."""
    fields = {c.name: _made_from(c, read) for c in documented.columns}
    fields = {name: origin for name, origin in fields.items() if origin["inputFields"]}
    if not fields:
        return {}
    rows = [
        _input(read[dataset], column, "INDIRECT", how)
        for dataset, column, how in documented.decided_by
        if dataset in read
    ]
    return {
        "columnLineage": by.facet(
            "1-2-0/ColumnLineageDatasetFacet", fields=fields, **({"dataset": rows} if rows else {})
        )
    }


def quality(artifact: Artifact, by: Producer) -> dict[str, Any]:
    """Input facet with the counts that came with an artifact; {} when there are none."""
    rows, columns = artifact.metadata.get("rows"), artifact.metadata.get("columns")
    if not _is_count(rows):
        return {}
    figures = columns if isinstance(columns, Mapping) else {}
    size = {"bytes": artifact.size_bytes} if artifact.size_bytes else {}
    return metrics(
        by, rowCount=rows, **size, columnMetrics={n: _counts(c) for n, c in figures.items()}
    )


def metrics(by: Producer, **values: Any) -> dict[str, Any]:
    """The dataQualityMetrics input facet; ``columnMetrics`` is required by upstream."""
    facet = {"columnMetrics": {}, **values}
    return {"dataQualityMetrics": by.facet("1-0-3/DataQualityMetricsInputDatasetFacet", **facet)}


def assertions(task: Task, by: Producer) -> dict[str, dict[str, Any]]:
    """Input artifact -> input facet with what the task asserted of it.

    A task that gives a verdict with reasons asserts it of everything it read.
    """
    by_dataset: dict[str, list[dict[str, Any]]] = {}
    for artifact in task.artifacts:
        for one in _asserted(artifact.metadata.get("assertions")):
            known = {k: one[k] for k in _ASSERTION if k in one}
            by_dataset.setdefault(one.get("dataset", ""), []).append(known)
    verdict, reasons = (task.outputs.parameters.get(n) for n in ("verdict", "reasons"))
    if isinstance(verdict, str) and isinstance(reasons, list):
        for name in task.inputs.artifacts:
            by_dataset.setdefault(name, []).append(_verdict(verdict, reasons))
    schema_name = "1-1-0/DataQualityAssertionsDatasetFacet"
    return {
        name: {"dataQualityAssertions": by.facet(schema_name, assertions=checks)}
        for name, checks in by_dataset.items()
    }


# ---- parts ----------------------------------------------------------------------


def _field(column: Column) -> dict[str, str]:
    entry = {"name": column.name, "type": column.type, "description": column.doc}
    return {k: v for k, v in entry.items() if v}


def _made_from(column: Column, read: Known) -> dict[str, Any]:
    return {
        "inputFields": [
            _input(read[dataset], name, "DIRECT", column.how)
            for dataset, name in column.sources
            if dataset in read
        ]
    }


def _input(dataset: Dataset, column: str, kind: str, how: str) -> dict[str, Any]:
    return {
        "namespace": dataset["namespace"],
        "name": dataset["name"],
        "field": column,
        "transformations": [{"type": kind, "subtype": how}],
    }


def _counts(figures: Any) -> dict[str, Any]:
    if not isinstance(figures, Mapping):
        return {}
    return {_COUNTS[k]: v for k, v in figures.items() if k in _COUNTS and _is_number(v)}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _asserted(figures: Any) -> Sequence[Mapping[str, Any]]:
    """Those that are whole; what a step writes as metadata is not ours to trust."""
    if not isinstance(figures, list):
        return []
    return [
        one
        for one in figures
        if isinstance(one, Mapping)
        and isinstance(one.get("assertion"), str)
        and isinstance(one.get("success"), bool)
        and all(isinstance(one[k], str) for k in _ASSERTION if k in one and k != "success")
    ]


def _verdict(verdict: str, reasons: Sequence[Any]) -> dict[str, Any]:
    return {
        "assertion": "verdict",
        "success": verdict == "successful",
        "severity": "warn" if verdict == "inconclusive" else "error",
        "expected": "successful",
        "actual": verdict,
        "description": "; ".join(map(str, reasons)),
    }
