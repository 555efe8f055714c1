"""Into MLflow as Staging, with what it came from."""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl import targets
from platform_ctl.errors import PlatformError
from platform_ctl.evidence.write import PIPELINE_FILE, RUN_FILE, describe_run
from platform_ctl.models.model import find_version
from platform_ctl.models.register import register_model
from platform_ctl.recipe.gate import GateDecision
from platform_ctl.report.gather import run_report
from platform_ctl.runs.learning_curves import learning_curves

if TYPE_CHECKING:
    from kfp import dsl

    from platform_ctl.settings import Settings

logger = logging.getLogger(__name__)
MODEL_TYPE = "system.Model"
REPORT_FILE = "report.html"
ENVIRONMENT_FILE = "environment.txt"
"""What was installed when it was registered, beside the pins."""


def run(
    recipe: str,
    model: dsl.Model,
    evaluation: dsl.Artifact,
    decision: dsl.Artifact,
    search: dsl.Artifact,
    snapshot_id: str,
    golden_digest: str,
    feature_service: str,
    run_id: str = "",
) -> tuple[str, str, str]:
    """-> version, verdict of the registration, one line."""
    settings = targets.current_settings()
    registry = targets.registry(settings)
    with tempfile.TemporaryDirectory() as folder:
        version = register_model(
            registry,
            recipe=targets.recipe(settings, recipe, command="platform-ctl recipe check"),
            model_dir=Path(model.path),
            evaluation_dir=Path(evaluation.path),
            decision=GateDecision.from_dict(json.loads(Path(decision.path).read_text())),
            provenance={
                "run_id": run_id,
                "data_snapshot": snapshot_id,
                "golden_digest": golden_digest,
                "feature_service": feature_service,
                **targets.provenance(settings),
            },
            parameters=_fit_parameters(settings, run_id),
            curves=learning_curves(model.metadata.get("history")),
            attachments={
                **_files(settings, search.path, decision.path),
                **_told_of_run(settings, run_id, Path(folder)),
            },
            report=_report(settings, run_id, Path(folder)),
        )
    stage = find_version(registry.models(), str(version)).stage
    return version.version, "successful", _line(str(version), stage)


def _line(version: str, stage: str) -> str:
    if stage == "Production":
        return (
            f"{version} is what is in production: this is the same model, nothing new to register"
        )
    return f"{version} is registered; its stage is {stage}"


def _files(settings: Settings, search: str, decision: str) -> dict[str, Path]:
    """Name -> file of what the run's earlier steps and the project leave in the evidence pack."""
    files = {
        "search.json": Path(search),
        "gate.json": Path(decision),
        "constraints.txt": Path(settings.project_root) / "constraints.txt",
    }
    return {name: path for name, path in files.items() if path.is_file()}


def _fit_parameters(settings: Settings, run_id: str) -> dict[str, str]:
    """What the step that made the model was called with; outside a run, nothing."""
    tasks = targets.orchestrator(settings).get(run_id).tasks if run_id else ()
    fits = [t for t in tasks if any(a.schema_title == MODEL_TYPE for a in t.artifacts)]
    parameters: dict[str, str] = {}
    for name, value in (pair for task in fits for pair in task.inputs.parameters.items()):
        nested = value if isinstance(value, dict) else {name: value}
        parameters |= {key: str(one) for key, one in nested.items()}
    return parameters


def _report(settings: Settings, run_id: str, folder: Path) -> Path | None:
    """The run's report as it is now, for those who look in MLflow; None where it cannot be made."""
    if not run_id:
        return None
    try:
        page = targets.report_page(run_report(targets.reporting(settings), run_id))
    except PlatformError as exc:
        logger.warning("no report beside the model: %s", exc.what)
        return None
    path = folder / REPORT_FILE
    path.write_text(page, encoding="utf-8")
    return path


def _told_of_run(settings: Settings, run_id: str, folder: Path) -> dict[str, Path]:
    """What the pack says of the run, written to ``folder``; outside a run there is none to tell."""
    if not run_id:
        return {}
    runs = targets.run_reader(settings)
    contents = {
        RUN_FILE: describe_run(runs.get(run_id)),
        ENVIRONMENT_FILE: targets.installed_packages().encode(),
        PIPELINE_FILE: runs.pipeline_file(run_id),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in contents}
