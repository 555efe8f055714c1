"""What KFP's driver decided for a task, from the log of its pod.

The driver (KFP 2.17.0, ``backend/src/v2/driver/container.go``) prints the execution that it made in
ML Metadata, in protobuf's text format, and the inputs that it resolved, as JSON. Both escape quotes
and ends of lines, so no value of a step can pass for a line or for a property of the driver's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from platform_ctl.ir.pipeline import plain_numbers
from platform_ctl.runs.record import Artifact, Outputs

_HEAD = r"^I\d{4} [\d:.]+ +\d+ \w+\.go:\d+\] "
_CREATED = re.compile(_HEAD + r"Created execution:\s+id:(\d+)\s(.*)$", re.MULTILINE)
_INPUT = re.compile(_HEAD + r"output ExecutorInput:(?=\{)", re.MULTILINE)
_PROPERTY = re.compile(
    # Between fields protobuf's text format has one or two spaces, as a build of the driver pleases.
    r'custom_properties:\s*\{\s*key:\s*"(\w+)"\s+value:\s*\{\s*string_value:\s*"([^"\\]*)"\s*\}'
)
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Driver:
    """One task's. Ids are those of executions in ML Metadata."""

    execution_id: str
    fingerprint: str = ""
    """Key in KFP's cache: a SHA-256 in hexadecimal; empty where caching is off for the task."""
    cached_execution_id: str = ""
    """The execution whose outputs serve; empty where the cache had none."""
    inputs: Outputs = field(default_factory=Outputs)


def read_driver(log: bytes) -> Driver | None:
    """None for a log that does not say what was made: of a driver at work, or of another version"""
    text = log.decode("utf-8", "replace")
    created = list(_CREATED.finditer(text))
    if not created:
        return None
    execution_id, properties = created[-1].groups()
    values = dict(_PROPERTY.findall(properties))
    return Driver(
        execution_id,
        values.get("cache_fingerprint", ""),
        values.get("cached_execution_id", ""),
        _inputs(text),
    )


def _inputs(text: str) -> Outputs:
    heads = list(_INPUT.finditer(text))
    if not heads:
        return Outputs()
    try:
        inputs: Mapping[str, Any] = _DECODER.raw_decode(text[heads[-1].end() :])[0].get(
            "inputs", {}
        )
    except ValueError:
        return Outputs()
    artifacts = {
        name: tuple(_artifact(name, one) for one in listed.get("artifacts", []))
        for name, listed in inputs.get("artifacts", {}).items()
    }
    parameters = {k: plain_numbers(v) for k, v in inputs.get("parameterValues", {}).items()}
    return Outputs(parameters, artifacts)


def _artifact(name: str, document: Mapping[str, Any]) -> Artifact:
    return Artifact(
        document.get("name") or name,
        document.get("uri", ""),
        document.get("type", {}).get("schemaTitle") or "system.Artifact",
        metadata=plain_numbers(document.get("metadata") or {}),
    )
