"""Is an event what OpenLineage says it is? Against openlineage-python's own typed classes.

A field that upstream's classes do not have, lack, or have with another type raises. Our own
facets are held against the JSON schemas in ``docs/schemas``.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import types
import typing
from functools import cache
from pathlib import Path
from typing import Any

import attr
from jsonschema import Draft202012Validator
from openlineage.client import event_v2, generated
from openlineage.client.generated.base import (
    BaseFacet,
    DatasetFacet,
    InputDatasetFacet,
    JobFacet,
    OutputDatasetFacet,
    RunFacet,
)

from platform_ctl.lineage.facets import SCHEMAS

FOLDER = Path(__file__).parents[2] / "docs" / "schemas"


def check(event: dict[str, Any]) -> int:
    """Raises TypeError, ValueError or ValidationError for what is wrong; how many facets it has."""
    run, job = event["run"], event["job"]
    facets = [(f, RunFacet) for f in run["facets"].items()]
    facets += [(f, JobFacet) for f in job["facets"].items()]
    for side, kind in (("inputs", InputDatasetFacet), ("outputs", OutputDatasetFacet)):
        for dataset in event[side]:
            facets += [(f, DatasetFacet) for f in dataset["facets"].items()]
            facets += [(f, kind) for f in dataset.get(f"{side[:-1]}Facets", {}).items()]
    for (name, facet), base in facets:
        check_facet(name, facet, base)
    event_v2.RunEvent(
        eventType=event_v2.RunState(event["eventType"]),
        eventTime=event["eventTime"],
        run=event_v2.Run(runId=run["runId"], facets=run["facets"]),
        job=event_v2.Job(**_only(job, "namespace", "name", "facets")),
        inputs=[
            event_v2.InputDataset(**_only(d, "namespace", "name", "facets", "inputFacets"))
            for d in event["inputs"]
        ],
        outputs=[
            event_v2.OutputDataset(**_only(d, "namespace", "name", "facets", "outputFacets"))
            for d in event["outputs"]
        ],
        producer=event["producer"],
    )
    return len(facets)


def check_facet(name: str, facet: dict[str, Any], base: type) -> None:
    """One facet at its place; ``base`` is upstream's class of facets that may stand there."""
    url = facet["_schemaURL"]
    if url.startswith(SCHEMAS):
        Draft202012Validator(own_schemas()[url]).validate(facet)
        return
    cls = upstream_classes()[url]
    if not issubclass(cls, base):
        raise TypeError(f"{name} may not stand where a {base.__name__} does")
    word = {"version": "datasetVersion"}.get(name, name).replace("_", "")
    if cls.__name__.lower() not in {
        f"{word}{end}".lower()
        for end in ("RunFacet", "JobFacet", "DatasetFacet", "InputDatasetFacet",
                    "OutputDatasetFacet")
    }:  # fmt: skip
        raise ValueError(f"{name} is not the key of {cls.__name__}")
    build(cls, {k: v for k, v in facet.items() if not k.startswith("_")})


def build(hint: Any, value: Any) -> Any:
    """``value`` (JSON) as ``hint``. Raises TypeError where it is none."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if attr.has(hint):
        hints = typing.get_type_hints(hint)
        return hint(**{k: build(hints.get(k, Any), v) for k, v in value.items()})
    if origin in (typing.Union, types.UnionType):
        return build(next(h for h in inside if h is not type(None)), value)
    if origin is list:
        return [build(inside[0], v) for v in value]
    if origin is dict:
        return {k: build(inside[1], v) for k, v in value.items()}
    plain = {float: (int, float), int: int, str: str, bool: bool}.get(hint)
    if plain and (not isinstance(value, plain) or (hint is not bool and isinstance(value, bool))):
        raise TypeError(f"{value!r} is no {hint.__name__}")
    return value


@cache
def upstream_classes() -> dict[str, type]:
    """The spec's facets as openlineage-python has them, by schema URL. Its transports, once they
    are imported, have classes of their own below the same bases."""
    for module in pkgutil.iter_modules(generated.__path__):
        importlib.import_module(f"{generated.__name__}.{module.name}")
    todo, found = [BaseFacet], {}
    while todo:
        cls = todo.pop()
        todo += cls.__subclasses__()
        if cls.__module__.startswith(f"{generated.__name__}."):
            found[cls._get_schema()] = cls
    return found


@cache
def own_schemas() -> dict[str, Any]:
    loaded = (json.loads(p.read_text()) for p in FOLDER.glob("*.json"))
    return {schema["$id"]: schema for schema in loaded}


def _only(value: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Everything: a key that is not one of ``keys`` is an error of the constructor."""
    unknown = set(value) - set(keys)
    if unknown:
        raise TypeError(f"there is no {', '.join(sorted(unknown))} in OpenLineage")
    return value
