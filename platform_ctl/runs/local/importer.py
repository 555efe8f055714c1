"""``dsl.importer``: an artifact that exists already, here or at a remote address."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

from platform_ctl.errors import StepFailed
from platform_ctl.ir.pipeline import Pipeline, plain_numbers
from platform_ctl.runs.local.graph import (
    RunContext,
    TaskInstance,
    placeholder_words,
)
from platform_ctl.runs.local.placeholders import fill
from platform_ctl.runs.local.task_files import TaskFiles
from platform_ctl.runs.record import Artifact, Outputs


def run(
    pipeline: Pipeline, task: TaskInstance, inputs: Outputs, files: TaskFiles, facts: RunContext
) -> Outputs:
    """The imported artifact. Its uri is a local path: a remote one is downloaded to the task.

    Raises StepFailed when there is nothing at the address.
    """
    spec = pipeline.executor_of(task.component).importer
    if spec is None:
        raise StepFailed("not an importer")
    name = next(iter(task.component.output_definitions.artifacts), "artifact")
    uri = spec.artifact_uri.constant
    if spec.artifact_uri.runtime_parameter:
        uri = inputs.parameters.get(spec.artifact_uri.runtime_parameter)
    if not isinstance(uri, str) or not uri:
        raise StepFailed("the importer was given no address")
    artifact = Artifact(
        name=name,
        uri=str(_local(uri, files.artifact(name))),
        schema_title=spec.type_schema.schema_title or "system.Artifact",
        schema_version=spec.type_schema.schema_version or "0.0.1",
        metadata=plain_numbers(
            fill(spec.metadata, placeholder_words(task, facts), inputs.parameters)
        ),
    )
    return Outputs({}, {name: (artifact,)})


def _local(uri: str, destination: Path) -> Path:
    parts = urlsplit(uri)
    if parts.scheme in ("", "file"):
        path = Path(unquote(parts.path) if parts.scheme else uri)
        if not path.exists():
            raise StepFailed(f"there is nothing at {uri}")
        return path.absolute()
    problem = unreadable(uri)
    if problem:
        raise StepFailed(problem)
    return _download(uri.replace("minio://", "s3://", 1), destination)


def unreadable(uri: str) -> str:
    """Why no artifact at the address can be read on this machine; "" when it may be."""
    scheme = uri.partition("://")[0].replace("minio", "s3") if "://" in uri else "file"
    if scheme == "file":
        return ""
    try:
        import fsspec
    except ImportError:
        return f"an importer of {scheme}:// addresses: the package fsspec is not installed"
    try:
        fsspec.get_filesystem_class(scheme)
    except (ImportError, ValueError) as exc:
        return f"an importer of {scheme}:// addresses: {exc}"
    return ""


def _download(uri: str, destination: Path) -> Path:
    import fsspec
    from fsspec.utils import get_protocol

    shutil.rmtree(destination.parent, ignore_errors=True)
    destination.parent.mkdir(parents=True)
    try:
        system = fsspec.filesystem(get_protocol(uri))
        system.get(uri, str(destination), recursive=system.isdir(uri))
    except (OSError, ImportError, ValueError) as exc:
        raise StepFailed(f"{uri} cannot be read: {exc}") from exc
    return destination
