"""Into MLflow as Staging, with what it came from."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl import targets
from platform_ctl.domain.gate import GateDecision
from platform_ctl.operations.register import register_model
from recipes.train_deploy.recipe import RECIPE

if TYPE_CHECKING:
    from kfp import dsl


def run(
    model: dsl.Model,
    evaluation: dsl.Artifact,
    decision: dsl.Artifact,
    search: dsl.Artifact,
    snapshot_id: str,
    golden_digest: str,
    feature_service: str,
) -> tuple[str, str, str]:
    """-> version, verdict of the registration, one line."""
    settings = targets.current_settings()
    version = register_model(
        targets.registry(settings),
        recipe=RECIPE,
        model_dir=Path(model.path),
        evaluation_dir=Path(evaluation.path),
        decision=GateDecision.from_dict(json.loads(Path(decision.path).read_text())),
        provenance={
            "run_id": os.environ.get("PLATFORM_RUN_ID", ""),
            "data_snapshot": snapshot_id,
            "golden_digest": golden_digest,
            "feature_service": feature_service,
        },
        attachments={"search.json": Path(search.path), "gate.json": Path(decision.path)},
    )
    return version.version, "successful", f"{version} is registered as {RECIPE.model_name}@staging"
