"""A task's folder: what the executor is given, what it left, its log."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from platform_ctl.errors import StepFailed
from platform_ctl.ir.pipeline import Component, OutputArtifact, ParameterType
from platform_ctl.runs.record import ERROR_FILE, Artifact, Outputs

_TAIL_BYTES = 8192


@dataclass(frozen=True)
class TaskFiles:
    """Paths of one task under ``<run>/tasks/<path of the task>/``."""

    folder: Path

    @property
    def input(self) -> Path:
        return self.folder / "executor_input.json"

    @property
    def output(self) -> Path:
        return self.folder / "executor_output.json"

    @property
    def error(self) -> Path:
        """What the platform's own error said, if that is what ended the step."""
        return self.folder / ERROR_FILE

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    def artifact(self, name: str) -> Path:
        return self.folder / "outputs" / name

    def parameter(self, name: str) -> Path:
        return self.folder / "parameters" / name

    def prepare(self, component: Component, inputs: Outputs) -> None:
        """The executor's input and no outputs. The log of earlier attempts stays."""
        for leftover in ("outputs", "parameters"):
            shutil.rmtree(self.folder / leftover, ignore_errors=True)
        self.output.unlink(missing_ok=True)
        self.error.unlink(missing_ok=True)
        (self.folder / "outputs").mkdir(parents=True)
        document = self.executor_input(component, inputs)
        self.input.write_text(json.dumps(document), encoding="utf-8")

    def executor_input(self, component: Component, inputs: Outputs) -> dict[str, Any]:
        """``ExecutorInput`` as JSON, as the cluster's launcher builds it."""
        outputs = component.output_definitions
        return {
            "inputs": {
                "parameterValues": dict(inputs.parameters),
                "artifacts": {
                    name: {"artifacts": [_runtime(artifact) for artifact in artifacts]}
                    for name, artifacts in inputs.artifacts.items()
                },
            },
            "outputs": {
                "parameters": {
                    name: {"outputFile": str(self.parameter(name))} for name in outputs.parameters
                },
                "artifacts": {
                    name: {"artifacts": [_runtime(self._promised(name, spec))]}
                    for name, spec in outputs.artifacts.items()
                },
                "outputFile": str(self.output),
            },
        }

    def _promised(self, name: str, spec: OutputArtifact) -> Artifact:
        return Artifact(
            name=name,
            uri=str(self.artifact(name)),
            schema_title=spec.artifact_type.schema_title or "system.Artifact",
            schema_version=spec.artifact_type.schema_version or "0.0.1",
        )

    def outputs(self, component: Component) -> Outputs:
        """What the step produced. Raises StepFailed when that is not valid JSON or text,
        or when a declared parameter is missing, as the cluster's launcher does."""
        document = self._read_output()
        values = dict(document.get("parameterValues", {}))
        for name, spec in component.output_definitions.parameters.items():
            if name not in values and self.parameter(name).is_file():
                values[name] = _from_file(name, self.parameter(name), spec.parameter_type)
            if name not in values:
                raise StepFailed(f"the step ended without writing its output {name!r}")
        _check_text(values)
        artifacts = {}
        for name, artifact in component.output_definitions.artifacts.items():
            written = document.get("artifacts", {}).get(name, {}).get("artifacts", [])
            promised = self._promised(name, artifact)
            artifacts[name] = tuple(self._written(promised, w) for w in written) or (promised,)
        return Outputs(values, artifacts)

    def _read_output(self) -> dict[str, Any]:
        if not self.output.is_file():
            return {}
        try:
            document = json.loads(self.output.read_bytes())
        except ValueError as exc:
            raise StepFailed(f"the step's outputs are not JSON: {exc}") from exc
        where = _first_non_finite(document)
        if where:
            raise StepFailed(
                f"{where} is no number that JSON has (NaN or infinity); use None or text instead"
            )
        return document

    def _written(self, promised: Artifact, message: Mapping[str, Any]) -> Artifact:
        """The artifact as the component left it; a custom path is moved to its place."""
        custom = message.get("custom_path")
        if custom and os.path.exists(custom) and custom != promised.uri:
            shutil.move(custom, promised.uri)
        metadata = message.get("metadata") or {}
        _check_text(metadata)
        return replace(
            promised,
            name=message.get("name") or promised.name,
            uri=message.get("uri") or promised.uri,
            metadata=metadata,
        )

    def failure(self, status: int) -> str:
        """One line that says why a step failed: the exception, or the signal."""
        if status < 0:
            return f"killed by {signal.Signals(-status).name}"
        if self.error.is_file():
            return json.loads(self.error.read_bytes())["what"]
        last = self._last_line()
        return last if last else f"exit code {status}"

    def _last_line(self) -> str:
        try:
            with self.log.open("rb") as log:
                log.seek(0, os.SEEK_END)
                log.seek(max(0, log.tell() - _TAIL_BYTES))
                text = log.read().decode("utf-8", "replace")
        except OSError:
            return ""
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith(" ")]
        return "".join(c for c in lines[-1][:500] if c.isprintable()) if lines else ""


def _runtime(artifact: Artifact) -> dict[str, Any]:
    return {
        "name": artifact.name,
        "uri": artifact.uri,
        "type": {
            "schemaTitle": artifact.schema_title,
            "schemaVersion": artifact.schema_version,
        },
        "metadata": dict(artifact.metadata),
    }


def _first_non_finite(value: Any, path: str = "") -> str:
    """Where in a document the first NaN or infinity is, as ``a.b[0]``; "" when there is none."""
    if isinstance(value, float):
        return "" if math.isfinite(value) else path
    inside: Iterable[tuple[str, Any]] = ()
    if isinstance(value, dict):
        inside = ((f"{path}.{key}".lstrip("."), item) for key, item in value.items())
    elif isinstance(value, list):
        inside = ((f"{path}[{index}]", item) for index, item in enumerate(value))
    return next(filter(None, (_first_non_finite(item, place) for place, item in inside)), "")


def _not_json(word: str) -> NoReturn:
    raise ValueError(f"{word} has no place in JSON; return None or a string instead")


def _check_text(values: Any) -> None:
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError as exc:
        raise StepFailed(f"an output is not Unicode text: {exc.reason}") from exc


def _from_file(name: str, path: Path, kind: ParameterType) -> Any:
    """An output parameter that was written through ``dsl.OutputPath``."""
    try:
        text = path.read_text(encoding="utf-8")
        if kind is ParameterType.STRING:
            return text
        if kind is ParameterType.BOOLEAN:
            text = text.lower()
        return json.loads(text, parse_constant=_not_json)
    except ValueError as exc:
        raise StepFailed(f"the output {name!r} is not {kind}: {exc}") from exc
