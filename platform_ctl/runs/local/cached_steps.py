"""The step cache as the local orchestrator asks it: tasks of a run in, outputs out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import msgspec

from platform_ctl.ir.pipeline import Pipeline
from platform_ctl.runs.cache import fingerprint
from platform_ctl.runs.cache.code_digest import CodeDigester
from platform_ctl.runs.cache.computing import Computations
from platform_ctl.runs.cache.key import (
    CacheKey,
    CacheKeyInputs,
    KeyedArtifact,
    OutputArtifactSpec,
    component_source,
)
from platform_ctl.runs.cache.port import Cache
from platform_ctl.runs.cache.values import Hit
from platform_ctl.runs.local.graph import TaskInstance
from platform_ctl.runs.local.reuse import Reused
from platform_ctl.runs.local.task_files import TaskFiles
from platform_ctl.runs.record import Artifact, CacheUse, Outputs, Usage


class CachedSteps:
    """Implements ``orchestrator.reuse.Reuse`` for one run.

    ``warn`` is given one line for the user when an entry was quarantined or
    could not be kept; ``saved`` a task's path and the hit that answered for it.
    """

    def __init__(
        self,
        cache: Cache,
        digester: CodeDigester,
        pipeline: Pipeline,
        run_id: str,
        *,
        computations: Computations,
        use_cache: bool,
        warn: Callable[[str], None],
        saved: Callable[[str, Hit], None] = lambda task, hit: None,
    ) -> None:
        self._cache, self._digester, self._pipeline = cache, digester, pipeline
        self._run_id = run_id
        self._computations = computations
        self._use_cache = use_cache
        self._warn = warn
        self._saved = saved
        self._keys: dict[str, CacheKey] = {}

    def lookup(self, task: TaskInstance, inputs: Outputs, files: TaskFiles) -> Reused:
        """The task's outputs from the cache, in its own folder, or why it must run."""
        reason = self._why_not(task)
        if reason:
            self._cache.bypass(run_id=self._run_id, task=task.path, reason=reason)
            return Reused(None, reason, CacheUse.BYPASS)
        key = self._keys[task.path] = self.key(task, inputs)
        return self._found(task, key, files)

    def _found(self, task: TaskInstance, key: CacheKey, files: TaskFiles) -> Reused:
        names = task.component.output_definitions.artifacts
        result = self._cache.lookup(
            key,
            run_id=self._run_id,
            task=task.path,
            places={name: files.artifact(name) for name in names},
        )
        if isinstance(result, Hit):
            self._saved(task.path, result)
            return Reused(result.outputs, f"result of run {result.run_id[:8]}", CacheUse.HIT)
        if result.warning:
            self._warn(result.warning)
        return Reused(None, result.reason, CacheUse.MISS)

    def begin(self, task: TaskInstance, inputs: Outputs, files: TaskFiles) -> Reused:
        """See ``Reuse.begin``."""
        key = self._keys.get(task.path)
        if key is None:
            return Reused(None, "", CacheUse.BYPASS)
        computed_by = self._computations.begin(task.path, key.digest)
        if computed_by:
            return Reused(None, "", CacheUse.MISS, computed_by)
        if not self._cache.holds(key):
            return Reused(None, "", CacheUse.MISS)
        reused = self._found(task, key, files)
        if reused.outputs is not None:
            self.abandon(task)
        return reused

    def abandon(self, task: TaskInstance) -> None:
        """See ``Reuse.abandon``."""
        self._keys.pop(task.path, None)
        self._computations.end(task.path)

    def store(self, task: TaskInstance, inputs: Outputs, outputs: Outputs, usage: Usage) -> Outputs:
        """The outputs with digests; kept when the task may be cached.

        The key is that of the lookup: the code may have been edited while the task ran.
        """
        key = self._keys.pop(task.path, None)
        if key is None:
            return fingerprint.digest_outputs(outputs)
        try:
            stored = self._cache.store(
                key,
                outputs,
                run_id=self._run_id,
                task=task.path,
                wall_s=usage.wall_s,
                cpu_s=usage.cpu_s,
            )
        finally:
            self._computations.end(task.path)
        if stored.warning:
            self._warn(stored.warning)
        return stored.outputs

    def key(self, task: TaskInstance, inputs: Outputs) -> CacheKey:
        """What the task's result depends on."""
        container = self._pipeline.executor_of(task.component).container
        if container is None:
            raise ValueError(f"{task.path} has no container and is never cached")
        definitions = task.component.output_definitions
        without_code = CacheKeyInputs(
            component=task.spec.component_ref.name,
            image=container.image,
            command=tuple(container.command),
            args=tuple(container.args),
            env={variable.name: variable.value for variable in container.env},
            parameters=inputs.parameters,
            artifacts={n: tuple(map(_input, a)) for n, a in inputs.artifacts.items()},
            output_artifacts={
                name: OutputArtifactSpec(
                    type={k: v for k, v in msgspec.to_builtins(spec.artifact_type).items() if v},
                    metadata=spec.metadata or None,
                )
                for name, spec in definitions.artifacts.items()
            },
            output_parameters={
                name: spec.parameter_type.value for name, spec in definitions.parameters.items()
            },
            cache_key=task.spec.caching_options.cache_key,
        )
        code = self._digester.digest(component_source(without_code), inputs.parameters.values())
        return CacheKey(dataclasses.replace(without_code, code=code))

    def _why_not(self, task: TaskInstance) -> str:
        if not self._use_cache:
            return "caching is off for this run"
        if not task.spec.caching_options.enable_cache:
            return "caching is off for this task"
        return ""


def _input(artifact: Artifact) -> KeyedArtifact:
    known = artifact if artifact.digest else fingerprint.digest_artifact(artifact)
    return KeyedArtifact(
        digest=known.digest,
        type=f"{artifact.schema_title}@{artifact.schema_version}",
        metadata=artifact.metadata,
    )
