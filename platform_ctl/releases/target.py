"""What a registered version becomes when released: service, revision, evidence."""

from __future__ import annotations

import json
from pathlib import Path

from platform_ctl.errors import EvidenceMismatch
from platform_ctl.models.model import PRODUCTION, ModelVersion, find_version
from platform_ctl.models.port import Registry
from platform_ctl.recipe.recipe import Recipe
from platform_ctl.recipe.scores import ROWS_FILE
from platform_ctl.releases.release import Evidence, Release, Target
from platform_ctl.releases.steps import revision_of
from platform_ctl.serving.service import Revision


def target_of(registry: Registry, recipe: Recipe, version: ModelVersion) -> Target:
    """The recipe's InferenceService with ``version`` as candidate.

    The evidence is what was registered with the version, not what a run left
    behind: the approval binds its digest. Raises EvidenceMismatch when it is gone.
    """
    return Target(
        service=recipe.inference_service,
        model=version.name,
        candidate=revision_of(registry, version),
        features=signature_columns(registry.local_dir(version)),
        entity=recipe.entity,
        online_features=recipe.online_features,
        live_features=recipe.live_features,
        labels=recipe.labels,
        losses=recipe.losses,
        loss_title=recipe.loss.label,
        evidence=_evidence(registry, version),
    )


def signature_columns(model_dir: Path) -> tuple[str, ...]:
    """The features a model takes, in order: its own signature, not what the recipe has become."""
    import yaml

    described = yaml.safe_load((model_dir / "MLmodel").read_text(encoding="utf-8"))
    return tuple(column["name"] for column in json.loads(described["signature"]["inputs"]))


def evidence_here(registry: Registry, release: Release) -> Evidence:
    """The evidence of a release as files of this machine.

    The record names folders of the machine that started the release; on a cluster each step has
    a disk of its own. Raises EvidenceMismatch when the registry has none any more.
    """
    recorded = release.target.evidence
    if not recorded.evaluation or Path(recorded.evaluation).is_dir():
        return recorded
    return _evidence(registry, _version(registry, release, release.target.candidate))


def features_of(registry: Registry, release: Release, revision: Revision) -> tuple[str, ...]:
    """What a revision of the release takes; nothing where it is no registered model."""
    folder = Path(revision.model_dir)
    if not (folder / "MLmodel").is_file():
        if not revision.model_uri or not revision.model_version:
            return ()
        folder = registry.local_dir(_version(registry, release, revision))
    return signature_columns(folder)


def _version(registry: Registry, release: Release, revision: Revision) -> ModelVersion:
    return find_version(registry.models(), f"{release.target.model}/{revision.model_version}")


def _evidence(registry: Registry, version: ModelVersion) -> Evidence:
    try:
        evaluation = registry.local_dir(version, "evaluation")
    except EvidenceMismatch:
        if registry.aliases(version.name).get(PRODUCTION) == version.version:
            return Evidence()  # it is in production: nothing is judged any more
        raise
    return Evidence(rows=str(evaluation / ROWS_FILE), evaluation=str(evaluation))
