"""What a registered version becomes when released: service, revision, evidence."""

from __future__ import annotations

from platform_ctl.domain.models import ModelVersion
from platform_ctl.domain.recipe import Recipe
from platform_ctl.domain.release import Evidence, Target
from platform_ctl.operations.release import revision_of
from platform_ctl.ports.registry import Registry

ROWS_FILE = "rows.parquet"
"""In the evaluation's folder: the golden and recent rows that a canary is judged on."""


def target_of(registry: Registry, recipe: Recipe, version: ModelVersion) -> Target:
    """The recipe's InferenceService with ``version`` as candidate.

    The evidence is what was registered with the version, not what a run left
    behind: the approval binds its digest. Raises EvidenceMismatch when it is gone.
    """
    evaluation = registry.local_dir(version, "evaluation")
    return Target(
        service=recipe.inference_service,
        model=version.name,
        candidate=revision_of(registry, version),
        features=recipe.features,
        entity=recipe.entity,
        online_features=recipe.online_features,
        evidence=Evidence(rows=str(evaluation / ROWS_FILE), evaluation=str(evaluation)),
    )
