"""What an approval of a version is about, recomputed from what is there now."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from platform_ctl.domain.approvals import NO_CHAMPION, SELF, Subject
from platform_ctl.domain.models import (
    DIGEST_TAG,
    PRODUCTION,
    SNAPSHOT_TAG,
    ModelVersion,
    content_digest,
    find_version,
    model_digest,
)
from platform_ctl.domain.recipe import CanaryPlan, Recipe
from platform_ctl.errors import EvidenceMismatch
from platform_ctl.operations.register import evaluation_digest
from platform_ctl.ports.registry import Registry


def current_subject(registry: Registry, recipe: Recipe, version: ModelVersion) -> Subject:
    """Digests of the files themselves, not of what their tags say.

    Raises EvidenceMismatch when files of the version are gone or were altered.
    """
    model = stored_digest(registry.local_dir(version), registry.local_dir(version, "weights"))
    if model != version.digest:
        raise EvidenceMismatch(
            f"the files of {version} are not the ones that were registered",
            where=str(registry.local_dir(version)),
            fix=f"platform-ctl model show {version}",
        )
    return Subject(
        model=model,
        evaluation=evaluation_digest(registry.local_dir(version, "evaluation")),
        data_snapshot=version.tags.get(SNAPSHOT_TAG, ""),
        canary_plan=canary_digest(recipe.canary),
        champion=_champion(registry, version),
    )


def stored_digest(mlflow_dir: Path, weights_dir: Path) -> str:
    """The model digest of an MLflow model directory, from its bytes."""
    predictor = next((mlflow_dir / "code").glob("predictor_*.py"), mlflow_dir / "code")
    described = mlflow_dir / "MLmodel"
    for needed in (predictor, described):
        if not needed.is_file():
            raise EvidenceMismatch(
                f"{needed.name} of the registered model is gone",
                where=str(mlflow_dir),
                fix="platform-ctl pipeline run train-deploy",
            )
    inputs = _signature_inputs(described.read_text(encoding="utf-8"))
    return model_digest(weights_dir, predictor, inputs)


def canary_digest(plan: CanaryPlan) -> str:
    return content_digest({"canary": json.dumps(asdict(plan), sort_keys=True).encode()})


def _champion(registry: Registry, version: ModelVersion) -> str:
    number = registry.aliases(version.name).get(PRODUCTION, "")
    if not number:
        return NO_CHAMPION
    if number == version.version:
        return SELF
    champion = find_version(registry.models(), f"{version.name}/{number}")
    return f"{number} {champion.tags.get(DIGEST_TAG, '')}"


def _signature_inputs(mlmodel: str) -> list[tuple[str, str]]:
    """(column name, type) of the signature in an MLmodel file."""
    import yaml

    inputs = yaml.safe_load(mlmodel)["signature"]["inputs"]
    return [(column["name"], column["type"]) for column in json.loads(inputs)]
