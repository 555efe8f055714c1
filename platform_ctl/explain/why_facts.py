"""Gather what ``run why`` and ``model why`` look at. Quick: no vendor SDK is imported."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from platform_ctl.approvals.decide import subject_changes
from platform_ctl.approvals.port import Approvals
from platform_ctl.approvals.request import ApprovalRequest, ApprovalState
from platform_ctl.errors import PlatformError, PreconditionMissing
from platform_ctl.explain.diagnosis import Diagnosis, DiagnosisFacts, RecordedLineage
from platform_ctl.explain.why import diagnose
from platform_ctl.ir.pipeline import Pipeline
from platform_ctl.ir.roles import Role, roles
from platform_ctl.models.model import PRODUCTION, RegisteredModel, find_version, parse_reference
from platform_ctl.models.port import Registry
from platform_ctl.recipe.recipe import Recipe
from platform_ctl.recipe.tables import TableState
from platform_ctl.releases.port import Releases
from platform_ctl.runs.cache.values import CacheDecision
from platform_ctl.runs.port import RunReader
from platform_ctl.runs.record import Run
from platform_ctl.serving.service import InferenceService

_RUNS = 200
"""Newest runs among which the one of a model, or the promotion of an approval, is looked for."""


class Decisions(Protocol):
    """What the step cache decided; nothing on a target whose cache does not tell."""

    def decisions(self, run_id: str) -> Sequence[CacheDecision]: ...


class Services(Protocol):
    """What serves models."""

    def list(self) -> Sequence[InferenceService]: ...


@dataclass(frozen=True)
class NoRecords:
    """A target that does not tell: no decision, no service."""

    def decisions(self, run_id: str) -> Sequence[CacheDecision]:
        return ()

    def list(self) -> Sequence[InferenceService]:
        return ()


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


def why_run(looking: DiagnosisPorts, run_id: str) -> Diagnosis:
    """The chain of one run; of a promotion, that of the run which made the model.

    Raises UnknownName.
    """
    run = looking.runs.get(run_id)
    return diagnose(facts_of(looking, run), f"run {run.id[:8]} ({run.pipeline})")


def why_model(looking: DiagnosisPorts, reference: str) -> Diagnosis:
    """The chain of a model as it stands: its newest run, and what serves it.

    ``NAME@alias`` or ``NAME/version`` is about the run that made that version.
    Raises NoSuchModel, PreconditionMissing when it was never trained, UnknownName
    when the run is gone.
    """
    name, alias, number = parse_reference(reference)
    if alias or number:
        version = find_version(looking.registry.models(), reference)
        run = looking.runs.get(version.tags.get("run_id", "") or "-")
        return diagnose(facts_of(looking, run), str(version))
    pipeline = next((r.pipeline for r in looking.recipes.values() if r.model_name == name), "")
    if not pipeline:
        find_version(looking.registry.models(), name)
    newest = next((r for r in looking.runs.list(_RUNS) if r.pipeline == pipeline), None)
    if newest is None:
        raise PreconditionMissing(
            f"no run has trained {name} yet",
            where=f"model {name}",
            fix=f"platform-ctl pipeline run {pipeline or 'NAME'}",
        )
    run = looking.runs.get(newest.id)
    return diagnose(facts_of(looking, run, standing=True), f"model {name}")


def facts_of(looking: DiagnosisPorts, asked: Run, *, standing: bool = False) -> DiagnosisFacts:
    """What is known about a run and what became of its model; of a promotion, about the run
    that trained what it promotes."""
    promotion, approval = _as_promotion(looking, asked)
    run = (_trained_by(looking, approval) if approval else None) or asked
    pipeline = looking.read_pipeline(run)
    parts = roles(pipeline)
    recipe = _recipe(looking, run, approval)
    name = approval.model if approval else recipe.model_name if recipe else ""
    models = looking.registry.models()
    model = next((m for m in models if m.name == name), None)
    number = _number(run, parts) or (approval.version if approval else "")
    approval = approval or _request(looking.approvals.list(), name, number)
    lineage = looking.lineage(run)
    release = looking.releases.latest(recipe.inference_service) if recipe else None
    return DiagnosisFacts(
        run=run,
        now=time.time(),
        roles=parts,
        conditions=_conditions(pipeline),
        decisions=looking.cache.decisions(run.id),
        number=number,
        recipe=recipe,
        table=looking.table(recipe.table) if recipe and recipe.table else None,
        model=model,
        registry_uri=looking.registry_uri,
        elsewhere=_elsewhere(looking, lineage, run, name, number) if number else {},
        moves=looking.registry.history(),
        approval=approval,
        changes=_changes(looking, model, approval),
        promotion=promotion or (_promotion(looking, approval) if approval else None),
        release=release,
        events=looking.releases.events(release.id) if release else (),
        service=_service(looking, recipe),
        lineage=lineage,
        standing=standing,
    )


def _as_promotion(looking: DiagnosisPorts, run: Run) -> tuple[Run | None, ApprovalRequest | None]:
    """The run and its request, when it is a promotion."""
    request_id = run.parameters.get("approval_id")
    if not isinstance(request_id, str) or not request_id:
        return None, None
    return run, next((r for r in looking.approvals.list() if r.id == request_id), None)


def _trained_by(looking: DiagnosisPorts, approval: ApprovalRequest) -> Run | None:
    """The run that made what an approval is about; None when either is gone."""
    try:
        version = find_version(looking.registry.models(), approval.reference)
        return looking.runs.get(version.tags.get("run_id", "") or "-")
    except PlatformError:
        return None


def _recipe(looking: DiagnosisPorts, run: Run, approval: ApprovalRequest | None) -> Recipe | None:
    found = (r for r in looking.recipes.values() if r.pipeline and r.pipeline == run.pipeline)
    return next(found, looking.recipes.get(approval.recipe) if approval else None)


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
    looking: DiagnosisPorts, model: RegisteredModel | None, request: ApprovalRequest | None
) -> Sequence[str]:
    """What an answer that still counts would be void for; not asked once it was acted upon."""
    if request is None or model is None or model.aliases.get(PRODUCTION) == request.version:
        return ()
    return subject_changes(looking.registry, looking.recipes, request)


def _promotion(looking: DiagnosisPorts, request: ApprovalRequest) -> Run | None:
    runs = looking.runs.list(_RUNS)
    found = next((r for r in runs if r.parameters.get("approval_id") == request.id), None)
    return looking.runs.get(found.id) if found else None


def _elsewhere(
    looking: DiagnosisPorts, lineage: RecordedLineage, run: Run, name: str, number: str
) -> dict[str, str]:
    """Registries other than the configured one that hold what this run registered."""
    found = {}
    for uri, models in looking.other_registries(lineage.registry_uri).items():
        model = next((m for m in models if m.name == name), None)
        version = model.version(number) if model else None
        if version is not None and version.created_at <= (run.ended_at or version.created_at):
            found[uri] = str(version)
    return found


def _service(looking: DiagnosisPorts, recipe: Recipe | None) -> InferenceService | None:
    if recipe is None:
        return None
    return next((s for s in looking.serving.list() if s.name == recipe.inference_service), None)
