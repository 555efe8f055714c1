"""What an approval of a version is about, recomputed from what is there now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from platform_ctl.approvals.request import NO_CHAMPION, SELF, Subject
from platform_ctl.errors import EvidenceMismatch
from platform_ctl.models.model import (
    DIGEST_TAG,
    LOADER,
    PRODUCTION,
    SNAPSHOT_TAG,
    WEIGHTS_DIR,
    ModelVersion,
    content_digest,
    find_version,
    model_digest,
)
from platform_ctl.models.port import Registry
from platform_ctl.models.register import evaluation_digest
from platform_ctl.recipe.recipe import CanaryPlan, Recipe


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
    """The model digest of an MLflow model directory, from its bytes.

    Raises EvidenceMismatch when files are gone, and when other code than the
    predictor's would run.
    """
    predictor = next((mlflow_dir / "code").glob("predictor_*.py"), mlflow_dir / "code")
    described = mlflow_dir / "MLmodel"
    for needed in (predictor, described):
        if not needed.is_file():
            raise _mismatch(f"{needed.name} of the registered model is gone", mlflow_dir)
    try:
        loader, inputs = _described(described.read_text(encoding="utf-8"))
    except (ValueError, KeyError, TypeError) as exc:
        raise _mismatch("MLmodel of the registered model cannot be read", described) from exc
    _check_code(predictor, loader)
    return model_digest(weights_dir, predictor, inputs)


def _described(mlmodel: str) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """What MLflow would load, and (column name, type) of the signature. Raises ValueError."""
    import yaml

    try:
        found = yaml.safe_load(mlmodel)
    except yaml.YAMLError as exc:
        raise ValueError(str(exc)) from exc
    flavor = found["flavors"]["python_function"]
    loaded = {name: flavor[name] for name in ("loader_module", "code", "data")}
    columns = json.loads(found["signature"]["inputs"])
    return loaded, [(column["name"], column["type"]) for column in columns]


def _check_code(predictor: Path, loaded: Mapping[str, str]) -> None:
    """MLflow runs the loader that MLmodel names, with all of ``code`` in reach: only ours."""
    loader = predictor.with_name(predictor.name.replace("predictor_", "loader_", 1))
    expected = {"loader_module": loader.stem, "code": "code", "data": WEIGHTS_DIR}
    text = LOADER.format(predictor=predictor.stem).encode()
    if loaded != expected or not loader.is_file() or loader.read_bytes() != text:
        raise _mismatch("the code that loads the registered model was altered", loader)
    for path in predictor.parent.rglob("*"):
        compiled = path.parent.name == "__pycache__"
        if path.is_file() and path not in (predictor, loader) and not compiled:
            raise _mismatch(f"{path.name} was added to the registered model", path)


def _mismatch(what: str, where: Path) -> EvidenceMismatch:
    return EvidenceMismatch(what, where=str(where), fix="platform-ctl pipeline run train-deploy")


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
