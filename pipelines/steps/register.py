"""Into MLflow as Staging, with what it came from."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl import targets
from platform_ctl.evidence.write import RUN_FILE, describe_run
from platform_ctl.models.model import find_version
from platform_ctl.models.register import register_model
from platform_ctl.recipe.gate import GateDecision

if TYPE_CHECKING:
    from kfp import dsl

    from platform_ctl.recipe.recipe import Recipe
    from platform_ctl.settings import Settings

ENVIRONMENT_FILE = "environment.txt"
"""What was installed when it was registered, beside the pins."""


def run(
    recipe: Recipe,
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
    registry = targets.registry(settings)
    version = register_model(
        registry,
        recipe=recipe,
        model_dir=Path(model.path),
        evaluation_dir=Path(evaluation.path),
        decision=GateDecision.from_dict(json.loads(Path(decision.path).read_text())),
        provenance={
            "run_id": os.environ.get("PLATFORM_RUN_ID", ""),
            "data_snapshot": snapshot_id,
            "golden_digest": golden_digest,
            "feature_service": feature_service,
            **targets.provenance(settings),
        },
        attachments=_evidence(settings, search.path, decision.path),
    )
    stage = find_version(registry.models(), str(version)).stage
    line = f"{version} is registered; its stage is {stage}"
    if stage == "Production":
        line = (
            f"{version} is what is in production: this is the same model, nothing new to register"
        )
    return version.version, "successful", line


def _evidence(settings: Settings, search: str, decision: str) -> dict[str, Path]:
    """Name -> file of what goes into the evidence pack; outside a run there is no run to tell."""
    files = {
        "search.json": Path(search),
        "gate.json": Path(decision),
        "constraints.txt": Path(settings.project_root) / "constraints.txt",
    }
    if folder := os.environ.get("PLATFORM_RUN_DIR"):
        environment = Path(folder) / ENVIRONMENT_FILE
        environment.write_text(targets.installed_packages(), encoding="utf-8")
        made_by = Path(folder) / RUN_FILE
        run = targets.orchestrator(settings).get(os.environ["PLATFORM_RUN_ID"])
        made_by.write_bytes(describe_run(run))
        files |= {
            RUN_FILE: made_by,
            ENVIRONMENT_FILE: environment,
            "pipeline.yaml": Path(folder) / "pipeline.yaml",
        }
    return {name: path for name, path in files.items() if path.is_file()}
