"""What of the IR this target runs: recognise thin components, name everything else.

``findings`` lists what a local run ignores (harmless, one visible line each)
and what it refuses (before anything starts).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from platform_ctl.ir.pipeline import Component, Container, Importer, Pipeline, TaskSpec

_RUNS_EXECUTOR = re.compile(r"ephemeral_component\.py.*kfp\.dsl\.executor_main", re.DOTALL)

_HARMLESS_PLATFORM = {
    "imagePullPolicy": "the image pull policy",
    "imagePullSecret": "the image pull secret",
    "nodeSelector": "the node selector",
    "nodeAffinity": "the node affinity",
    "podAffinity": "the pod affinity",
    "tolerations": "the tolerations",
    "podMetadata": "the pod's labels and annotations",
    "securityContext": "the security context",
    "enabledSharedMemory": "shared memory",
}
_REFUSED_PLATFORM = {
    "secretAsEnv": "an environment variable from a Kubernetes secret",
    "secretAsVolume": "a volume from a Kubernetes secret",
    "configMapAsEnv": "an environment variable from a ConfigMap",
    "configMapAsVolume": "a volume from a ConfigMap",
    "fieldPathAsEnv": "an environment variable from a pod field",
    "pvcMount": "a PersistentVolumeClaim",
    "genericEphemeralVolume": "an ephemeral volume",
    "emptyDirMounts": "an emptyDir volume",
}
_HONOURED_PLATFORM = {"activeDeadlineSeconds"}


@dataclass(frozen=True)
class UnsupportedUse:
    """One thing the IR asks for that this target does not do."""

    action: Literal["ignored", "refused"]
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True)
class ThinComponent:
    """A lightweight Python component: its source, its function, its pip requirements."""

    source: str
    function: str
    requirements: tuple[str, ...] = ()


def thin_component(container: Container) -> ThinComponent | None:
    """Recognise the command that the SDK writes for a Python function, else None.

    ``[sh -c <pip install …>] sh -ec '… executor_main …' <source>``, then
    ``--executor_input {{$}} --function_to_execute <name>``.
    """
    command = container.command
    position = next((i for i, word in enumerate(command) if _RUNS_EXECUTOR.search(word)), -1)
    if position < 0:
        return None
    prefix, rest = command[: position - 2], command[position + 1 :]
    known_shell = command[position - 2 : position] in (["sh", "-ec"], ["sh", "-c"])
    known_prefix = not prefix or (len(prefix) == 3 and prefix[:2] == ["sh", "-c"])
    args = dict(zip(container.args[::2], container.args[1::2], strict=False))
    function = args.get("--function_to_execute", "")
    if not (known_shell and known_prefix and len(rest) == 1 and function.isidentifier()):
        return None
    requirements = tuple(_pip_requirements(prefix[2])) if prefix else ()
    return ThinComponent(rest[0], function, requirements)


_PIP_OPTION_WITH_VALUE = {"--index-url", "--extra-index-url", "--trusted-host", "--find-links"}


def _pip_requirements(script: str) -> Iterator[str]:
    """What the ``pip install`` lines of the SDK's script ask for."""
    for call in re.findall(r"pip install (.*?)(?:&&|\n|$)", script):
        words = iter(shlex.split(call))
        for word in words:
            if word in _PIP_OPTION_WITH_VALUE:
                next(words, None)
            elif not word.startswith("-"):
                yield word


@dataclass(frozen=True)
class Environment:
    """What this machine has, as questions."""

    satisfied: Callable[[str], str]
    """Why a pip requirement need not be installed; "" when it must be."""
    unreadable: Callable[[str], str]
    """Why artifacts at an address cannot be read here; "" when they can."""


def findings(pipeline: Pipeline, environment: Environment) -> list[UnsupportedUse]:
    """Everything ignored or refused, in the order of the file."""
    uses: list[UnsupportedUse] = []
    used = _used_components(pipeline)
    for name in used:
        component = pipeline.components[name]
        if component.executor_label:
            uses += _executor_findings(pipeline, name, component, environment)
    for place in pipeline.declared_tasks():
        if place.dag == "root" or place.dag in used:
            uses += _task_findings(pipeline, place.name, place.task)
    uses += _pipeline_findings(pipeline)
    return list(dict.fromkeys(uses))


def _used_components(pipeline: Pipeline) -> list[str]:
    used = {place.task.component_ref.name for place in pipeline.walk()}
    return [name for name in pipeline.components if name in used]


def _executor_findings(
    pipeline: Pipeline, name: str, component: Component, environment: Environment
) -> Iterator[UnsupportedUse]:
    executor = pipeline.executor_of(component)
    if executor.importer:
        yield from _importer_findings(name, executor.importer, environment)
        return
    if executor.container is None:
        yield UnsupportedUse(
            "refused", name, "an executor that is neither a container nor an importer"
        )
        return
    yield from _container_findings(name, executor.container, environment)
    for key in pipeline.kubernetes(component.executor_label):
        if key in _HONOURED_PLATFORM:
            continue
        if key in _HARMLESS_PLATFORM:
            yield UnsupportedUse("ignored", name, _HARMLESS_PLATFORM[key])
        else:
            yield UnsupportedUse(
                "refused", name, _REFUSED_PLATFORM.get(key, f"the setting {key!r}")
            )


def _container_findings(
    name: str, container: Container, environment: Environment
) -> Iterator[UnsupportedUse]:
    thin = thin_component(container)
    if thin is None:
        image = container.image or "no image"
        yield UnsupportedUse(
            "refused", name, f"a container component ({image}): it needs a cluster"
        )
        return
    for requirement in thin.requirements:
        reason = environment.satisfied(requirement)
        if reason:
            yield UnsupportedUse("ignored", name, f"pip install {requirement!r}: {reason}")
        else:
            what = f"pip install {requirement!r}: not installed here, and a step installs nothing"
            yield UnsupportedUse("refused", name, what)
    for key in container.resources:
        if key == "accelerator":
            yield UnsupportedUse("refused", name, f"an accelerator ({container.resources[key]})")
        else:
            yield UnsupportedUse("ignored", name, f"{key} = {container.resources[key]}")
    if container.lifecycle:
        yield UnsupportedUse("refused", name, "a container lifecycle hook")


def _importer_findings(
    name: str, importer: Importer, environment: Environment
) -> Iterator[UnsupportedUse]:
    uri = importer.artifact_uri.constant
    problem = environment.unreadable(uri) if isinstance(uri, str) else ""
    if problem:
        yield UnsupportedUse("refused", name, problem)
    if importer.reimport:
        yield UnsupportedUse("ignored", name, "reimport: an importer always looks again")
    if importer.download_to_workspace:
        yield UnsupportedUse(
            "ignored", name, "the download to the workspace: it is downloaded to the run"
        )


def _task_findings(pipeline: Pipeline, name: str, task: TaskSpec) -> Iterator[UnsupportedUse]:
    component = pipeline.component_of(task)
    if task.retry_policy.max_retry_count and component.dag:
        yield UnsupportedUse(
            "ignored", name, "retries of a whole pipeline: its tasks have their own"
        )
    for binding in task.inputs.parameters.values():
        value = binding.runtime_value
        if value is not None and value.runtime_parameter:
            yield UnsupportedUse(
                "refused", name, f"the runtime parameter {value.runtime_parameter!r}"
            )


def _pipeline_findings(pipeline: Pipeline) -> Iterator[UnsupportedUse]:
    for name, artifact in pipeline.root.input_definitions.artifacts.items():
        if not artifact.is_optional:
            yield UnsupportedUse(
                "refused", "pipeline", f"the input artifact {name!r} of the whole pipeline"
            )
    for key in pipeline.kubernetes_pipeline:
        if key.startswith("resourceTtl"):
            yield UnsupportedUse("ignored", "pipeline", f"{key}: see platform-ctl run prune")
        elif key == "workspace":
            yield UnsupportedUse("ignored", "pipeline", "the workspace volume: a folder of the run")
        elif key != "activeDeadlineSeconds":
            yield UnsupportedUse("refused", "pipeline", f"the pipeline configuration {key!r}")
    for platform in pipeline.platforms:
        if platform != "kubernetes":
            yield UnsupportedUse("refused", "pipeline", f"the platform {platform!r}")
