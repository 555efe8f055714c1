"""What a step's result depends on, and nothing else: the key of the step cache.

The key has two parts. The *cluster part* is the fingerprint that the KFP
driver computes (``backend/src/v2/driver/cache.go``, ``cacheutils/cache.go``),
so that both targets agree on what counts; the name of an input artifact is
its MLMD id there and the digest of its bytes here. *Our part* adds what the
driver does not see: exact parameter values (Go holds 2**53 + 1 and 2**53 for
one number), type and metadata of input artifacts, environment variables, the
first-party code that the component imports, and third-party versions. Outside
data is declared by an input that identifies it (an Iceberg snapshot id).

Not in the key: task and display name, step order, ``comp-x-2`` suffixes, run
id, any path of this machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from platform_ctl.runs.cache import gojson

ABSENT = "absent"
"""Digest of an artifact that was declared and never written."""


@dataclass(frozen=True, kw_only=True)
class CodeDigest:
    """First-party code that a component reaches. Keys are names, never absolute paths."""

    modules: Mapping[str, str] = field(default_factory=dict)
    """Dotted name (``module`` or ``module:function``) -> digest of its normalised code."""
    data: Mapping[str, str] = field(default_factory=dict)
    """Path relative to the project root -> digest of the bytes."""
    packages: Mapping[str, str] = field(default_factory=dict)
    """Distribution (and ``python``) -> version."""


@dataclass(frozen=True, kw_only=True)
class KeyedArtifact:
    """One input artifact, by what it is and not by where it lies."""

    digest: str
    """Of its bytes (``fingerprint.digest_path``); for bytes elsewhere, their declared identity."""
    type: str = "system.Artifact@0.0.1"
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class OutputArtifactSpec:
    """A declared output: ``ArtifactTypeSchema`` as the IR has it, and declared metadata."""

    type: Mapping[str, str]
    metadata: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class CacheKeyInputs:
    """Everything the result of one task depends on."""

    component: str
    """``componentRef.name`` of the IR."""
    image: str = ""
    command: tuple[str, ...] = ()
    """As in the IR: placeholders unresolved."""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    """The container's own variables; not those the orchestrator adds."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Resolved and typed, defaults filled in."""
    artifacts: Mapping[str, tuple[KeyedArtifact, ...]] = field(default_factory=dict)
    output_artifacts: Mapping[str, OutputArtifactSpec] = field(default_factory=dict)
    output_parameters: Mapping[str, str] = field(default_factory=dict)
    """Name -> ParameterTypeEnum (``STRING``, ``NUMBER_INTEGER``, …)."""
    pvc_names: tuple[str, ...] = ()
    code: CodeDigest = field(default_factory=CodeDigest)
    cache_key: str = ""
    """``set_caching_options(cache_key=…)``: replaces everything else, as on the cluster."""


@dataclass(frozen=True)
class CacheKey:
    """Where a result is filed. ``digest`` decides; ``fingerprint`` is the cluster's."""

    inputs: CacheKeyInputs

    @cached_property
    def digest(self) -> str:
        """sha256 hex over both parts."""
        i = self.inputs
        if i.cache_key:
            own: dict[str, Any] = {
                "cache_key": i.cache_key,
                "component": self.component,
                "outputs": _output_spec(i),
            }
        else:
            own = {
                "fingerprint": self.fingerprint,
                "parameters": exact_json(i.parameters),
                "artifacts": {n: [_artifact(a) for a in v] for n, v in i.artifacts.items()},
                "env": i.env,
                "code": _code(i.code),
            }
        return hashlib.sha256(gojson.encode(own)).hexdigest()

    @cached_property
    def fingerprint(self) -> str:
        """The KFP driver's fingerprint of this task, sha256 hex."""
        if self.inputs.cache_key:
            return custom_fingerprint(self.inputs.component, self.inputs.cache_key)
        return cluster_fingerprint(cluster_document(self.inputs))

    @property
    def component(self) -> str:
        """The component's name without what the compiler adds: the function's, if it has one."""
        return function_name(self.inputs.args) or self.inputs.component.removeprefix("comp-")


def compute(inputs: CacheKeyInputs) -> CacheKey:
    return CacheKey(inputs)


def cluster_document(inputs: CacheKeyInputs) -> dict[str, Any]:
    """The driver's CacheKey message as protojson: empty fields left out."""
    container = {
        "image": inputs.image,
        "cmdArgs": [*inputs.command, *inputs.args],
        "pvcNames": sorted(set(inputs.pvc_names)),
    }
    names = {
        name: _without_empty({"artifactNames": [a.digest for a in artifacts]})
        for name, artifacts in inputs.artifacts.items()
    }
    document = {
        "inputArtifactNames": names,
        "inputParameterValues": dict(inputs.parameters),
        **_output_spec(inputs),
    }
    return {**_without_empty(document), "containerSpec": _without_empty(container)}


def cluster_fingerprint(document: Mapping[str, Any]) -> str:
    """sha256 hex of the message as Go's encoding/json writes it."""
    return hashlib.sha256(gojson.encode(document)).hexdigest()


def custom_fingerprint(component: str, cache_key: str) -> str:
    """The driver's fingerprint of a task with a cache key of its own (``getFingerPrint``)."""
    scope = f"{component}\0" if component else ""
    return hashlib.sha256(f"{scope}{cache_key}".encode()).hexdigest()


def function_name(args: tuple[str, ...]) -> str:
    """The function of a Python component, '' for any other container."""
    if "--function_to_execute" not in args[:-1]:
        return ""
    return args[args.index("--function_to_execute") + 1]


def component_source(inputs: CacheKeyInputs) -> str:
    """The Python source embedded in the IR, '' for any other container."""
    return inputs.command[-1] if inputs.command and function_name(inputs.args) else ""


def exact_json(value: Any) -> str:
    """Canonical JSON that keeps 1, 1.0 and True apart and integers exact."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _output_spec(inputs: CacheKeyInputs) -> dict[str, Any]:
    artifacts: dict[str, Any] = {}
    for name, spec in inputs.output_artifacts.items():
        artifacts[name] = {"name": name, "type": dict(spec.type)}
        if spec.metadata is not None:
            artifacts[name]["metadata"] = dict(spec.metadata)
    return {
        "outputArtifactsSpec": artifacts,
        "outputParametersSpec": dict(inputs.output_parameters),
    }


def _without_empty(message: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in message.items() if v}


def _artifact(artifact: KeyedArtifact) -> list[Any]:
    return [artifact.digest, artifact.type, exact_json(artifact.metadata)]


def _code(code: CodeDigest) -> dict[str, Any]:
    return {"modules": code.modules, "data": code.data, "packages": code.packages}
