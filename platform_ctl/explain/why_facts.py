"""Gather what ``run why`` and ``model why`` look at. Quick: no vendor SDK is imported."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from platform_ctl.approvals.decide import subject_changes
from platform_ctl.approvals.port import Approvals
from platform_ctl.approvals.request import ApprovalRequest, ApprovalState
from platform_ctl.errors import (
    ClusterForbidden,
    PlatformError,
    PreconditionMissing,
    TargetUnavailable,
)
from platform_ctl.explain.diagnosis import Diagnosis, DiagnosisFacts, RecordedLineage
from platform_ctl.explain.why import diagnose
from platform_ctl.ir.pipeline import Pipeline
from platform_ctl.ir.roles import Role, roles
from platform_ctl.models.model import PRODUCTION, RegisteredModel, find_version, parse_reference
from platform_ctl.models.port import Registry
from platform_ctl.recipe.recipe import Recipe
from platform_ctl.recipe.tables import TableState
from platform_ctl.releases.port import Releases
from platform_ctl.releases.release import Release, ReleaseEvent
from platform_ctl.runs.cache.port import Decisions
from platform_ctl.runs.port import RunReader
from platform_ctl.runs.record import Run
from platform_ctl.serving.service import InferenceService

T = TypeVar("T")
_RUNS = 200
"""Newest runs among which the one of a model, or the promotion of an approval, is looked for."""


class Services(Protocol):
    """What serves models."""

    def list(self) -> Sequence[InferenceService]:
        """As ``serving.port.Serving.list``."""
        ...


@dataclass(frozen=True)
class DiagnosisPorts:
    """The ports of a diagnosis, and what is read without one."""

    runs: RunReader
    cache: Decisions
    registry: Registry
    approvals: Approvals
    releases: Releases
    serving: Services
    recipes: Mapping[str, Recipe]
    registry_uri: str
    read_pipeline: Callable[[Run], Pipeline]
    table: Callable[[str], TableState | None]
    lineage: Callable[[Run], RecordedLineage]
    other_registries: Callable[[str], Mapping[str, Sequence[RegisteredModel]]]
    """Models by URI, of the registries that are not the configured one; given a recorded URI."""


def why_run(ports: DiagnosisPorts, run_id: str) -> Diagnosis:
    """The chain of one run; of a promotion, that of the run which made the model.

    Raises UnknownName.
    """
    run = ports.runs.get(run_id)
    return diagnose(facts_of(ports, run), f"run {run.id[:8]} ({run.pipeline})")


def why_model(ports: DiagnosisPorts, reference: str) -> Diagnosis:
    """The chain of a model as it stands: its newest run, and what serves it.

    ``NAME@alias`` or ``NAME/version`` is about the run that made that version.
    Raises NoSuchModel, PreconditionMissing when it was never trained, UnknownName
    when the run is gone.
    """
    name, alias, number = parse_reference(reference)
    if alias or number:
        version = find_version(ports.registry.models(), reference)
        run = ports.runs.get(version.tags.get("run_id", "") or "-")
        return diagnose(facts_of(ports, run), str(version))
    pipeline = next((r.pipeline for r in ports.recipes.values() if r.model_name == name), "")
    if not pipeline:
        find_version(ports.registry.models(), name)
    newest = next((r for r in ports.runs.list(_RUNS) if r.pipeline == pipeline), None)
    if newest is None:
        raise PreconditionMissing(
            f"no run has trained {name} yet",
            where=f"model {name}",
            fix=f"platform-ctl pipeline run {pipeline or 'NAME'}",
        )
    run = ports.runs.get(newest.id)
    return diagnose(facts_of(ports, run, standing=True), f"model {name}")


@dataclass(frozen=True)
class _Reading:
    """Reads what may be away for a while; a link whose records are away says so, the rest goes on.

    ``unread`` fills: name of the link -> the error of the first reading that failed.
    """

    unread: dict[str, PlatformError] = field(default_factory=dict)

    def of(self, link: str, read: Callable[[], Sequence[T]]) -> Sequence[T]:
        try:
            return read()
        except (TargetUnavailable, ClusterForbidden) as exc:
            self.unread.setdefault(link, exc)
            return ()


def facts_of(ports: DiagnosisPorts, subject: Run, *, standing: bool = False) -> DiagnosisFacts:
    """What is known about a run and what became of its model; of a promotion, about the run
    that trained what it promotes."""
    reading = _Reading()
    requests = reading.of("approval", ports.approvals.list)
    promotion, approval = _as_promotion(requests, subject)
    run = (_trained_by(ports, approval) if approval else None) or subject
    pipeline = ports.read_pipeline(run)
    parts = roles(pipeline)
    recipe = _recipe(ports, run, approval)
    name = approval.model if approval else recipe.model_name if recipe else ""
    models = reading.of("registration", ports.registry.models)
    model = next((m for m in models if m.name == name), None)
    number = _number(run, parts) or (approval.version if approval else "")
    approval = approval or _request(requests, name, number)
    lineage = ports.lineage(run)
    release, events = _release(ports, reading, recipe)
    return DiagnosisFacts(
        run=run,
        now=time.time(),
        roles=parts,
        conditions=_conditions(pipeline),
        decisions=ports.cache.decisions(run.id),
        number=number,
        recipe=recipe,
        table=ports.table(recipe.table) if recipe and recipe.table else None,
        model=model,
        registry_uri=ports.registry_uri,
        elsewhere=_elsewhere(ports, lineage, run, name, number) if number else {},
        moves=reading.of("alias", ports.registry.history),
        approval=approval,
        changes=_changes(ports, model, approval),
        promotion=promotion or (_promotion(ports, approval) if approval else None),
        release=release,
        events=events,
        service=_service(reading.of("service", ports.serving.list), recipe),
        lineage=lineage,
        standing=standing,
        unread=reading.unread,
    )


def _release(
    ports: DiagnosisPorts, reading: _Reading, recipe: Recipe | None
) -> tuple[Release | None, Sequence[ReleaseEvent]]:
    """The newest release of the recipe's service, and what happened in it."""
    if recipe is None:
        return None, ()
    service = recipe.inference_service
    newest = reading.of("release", lambda: [r for r in [ports.releases.latest(service)] if r])
    if not newest:
        return None, ()
    return newest[0], reading.of("release", lambda: ports.releases.events(newest[0].id))


def _as_promotion(
    requests: Sequence[ApprovalRequest], run: Run
) -> tuple[Run | None, ApprovalRequest | None]:
    """The run and its request, when it is a promotion."""
    request_id = run.parameters.get("approval_id")
    if not isinstance(request_id, str) or not request_id:
        return None, None
    return run, next((r for r in requests if r.id == request_id), None)


def _trained_by(ports: DiagnosisPorts, approval: ApprovalRequest) -> Run | None:
    """The run that made what an approval is about; None when either is gone."""
    try:
        version = find_version(ports.registry.models(), approval.reference)
        return ports.runs.get(version.tags.get("run_id", "") or "-")
    except PlatformError:
        return None


def _recipe(ports: DiagnosisPorts, run: Run, approval: ApprovalRequest | None) -> Recipe | None:
    candidates = (r for r in ports.recipes.values() if r.pipeline and r.pipeline == run.pipeline)
    return next(candidates, ports.recipes.get(approval.recipe) if approval else None)


def _number(run: Run, parts: Mapping[Role, str]) -> str:
    path = parts.get(Role.REGISTRATION)
    task = next((t for t in run.tasks if t.path == path), None)
    return str(task.outputs.parameters.get("version", "")) if task else ""


def _conditions(pipeline: Pipeline) -> dict[str, str]:
    """Path of a task -> its condition, outside loops."""
    conditions = ((p.path, p.task.trigger_policy.condition) for p in pipeline.walk())
    return {path: condition for path, condition in conditions if condition}


def _request(requests: Sequence[ApprovalRequest], name: str, number: str) -> ApprovalRequest | None:
    """The approved request of a version, else its newest one."""
    mine = [r for r in requests if (r.model, r.version) == (name, number)]
    approved = (r for r in mine if r.state is ApprovalState.APPROVED)
    return next(approved, mine[0] if mine else None)


def _changes(
    ports: DiagnosisPorts, model: RegisteredModel | None, request: ApprovalRequest | None
) -> Sequence[str]:
    """What an answer that still counts would be void for; not asked once it was acted upon."""
    if request is None or model is None or model.aliases.get(PRODUCTION) == request.version:
        return ()
    return subject_changes(ports.registry, ports.recipes, request)


def _promotion(ports: DiagnosisPorts, request: ApprovalRequest) -> Run | None:
    runs = ports.runs.list(_RUNS)
    newest = next((r for r in runs if r.parameters.get("approval_id") == request.id), None)
    return ports.runs.get(newest.id) if newest else None


def _elsewhere(
    ports: DiagnosisPorts, lineage: RecordedLineage, run: Run, name: str, number: str
) -> dict[str, str]:
    """Registries other than the configured one that hold what this run registered."""
    versions = {}
    for uri, models in ports.other_registries(lineage.registry_uri).items():
        model = next((m for m in models if m.name == name), None)
        version = model.version(number) if model else None
        if version is not None and version.created_at <= (run.ended_at or version.created_at):
            versions[uri] = str(version)
    return versions


def _service(
    services: Sequence[InferenceService], recipe: Recipe | None
) -> InferenceService | None:
    if recipe is None:
        return None
    return next((s for s in services if s.name == recipe.inference_service), None)
