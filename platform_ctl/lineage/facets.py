"""How a home names things in OpenLineage, and the envelope of every facet it writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlparse

import msgspec

from platform_ctl.recipe.recipe import DatasetColumns, Recipe
from platform_ctl.recipe.tables import TableState

SPEC = "https://openlineage.io/spec/"
PRODUCER = "urn:platform-ctl:"
"""The version is appended. No web address: forks of the project need not change it."""
SCHEMAS = "urn:platform-ctl:schema:"
SERVING = "kserve"
"""Namespace of InferenceServices."""

Dataset = dict[str, Any]
Event = dict[str, Any]


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
    columns: Callable[[Recipe], Mapping[str, DatasetColumns]] = lambda recipe: {}
    """Dataset (as the recipe calls it) -> what it says of its columns."""


@dataclass(frozen=True)
class CodeSource:
    """Where a pipeline's code is; all empty when it is in no git repository."""

    repo_url: str = ""
    version: str = ""
    """Commit."""
    path: str = ""

    @property
    def url(self) -> str:
        return f"{self.repo_url.removesuffix('.git')}/blob/{self.version}/{self.path}"


@dataclass(frozen=True)
class Producer:
    """What every event of this platform says about it."""

    version: str
    naming: Naming
    target: str = "local"
    registry_uri: str = ""
    money_per_cpu_hour: float = 0.0
    sources: Mapping[str, CodeSource] = field(default_factory=dict)
    """Pipeline -> where its code is."""

    def facet(self, schema: str, /, **values: Any) -> dict[str, Any]:
        """One of the spec's facets; ``schema`` is ``1-0-1/NameFacet``."""
        name = schema.partition("/")[2]
        return {
            "_producer": PRODUCER + self.version,
            "_schemaURL": f"{SPEC}facets/{schema}.json#/$defs/{name}",
            **values,
        }

    def own(self, name: str, /, **values: Any) -> dict[str, Any]:
        """One of our facets; values of None are left out."""
        return {
            "_producer": PRODUCER + self.version,
            "_schemaURL": f"{SCHEMAS}{name}:1-0-0",
            **{k: v for k, v in values.items() if v is not None},
        }


def text(value: Any) -> str:
    """A parameter as text: what is no string is JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def physical(uri: str) -> tuple[str, str]:
    """(namespace, name) of a place by OpenLineage's naming: ``file``, ``s3://bucket``, …"""
    parsed = urlparse(uri)
    if parsed.scheme in ("", "file"):
        return "file", parsed.path or uri
    return f"{parsed.scheme}://{parsed.netloc}", parsed.path.lstrip("/") or "/"
