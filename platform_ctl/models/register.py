"""Register a model that passed the gate, with its provenance, and call it Staging."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from platform_ctl.errors import ConfigError, EvidenceMismatch, GateNotPassed
from platform_ctl.models.evaluation import finite
from platform_ctl.models.model import (
    EVALUATION_TAG,
    INPUT_TYPE,
    OUTSIDE,
    PRODUCTION,
    RECIPE_TAG,
    SNAPSHOT_TAG,
    STAGING,
    VERDICT_TAG,
    DatasetUse,
    ModelCandidate,
    ModelVersion,
    content_digest,
    model_digest,
)
from platform_ctl.models.port import Registry
from platform_ctl.recipe.gate import GateDecision
from platform_ctl.recipe.recipe import Recipe, resolve
from platform_ctl.recipe.scores import EVALUATION_FILE
from platform_ctl.recipe.verdict import Verdict

PLATFORM = "platform-ctl"
GATE_TAGS = "gate."
"""Before the name of each criterion."""


def register_model(
    registry: Registry,
    *,
    recipe: Recipe,
    model_dir: Path,
    evaluation_dir: Path,
    decision: GateDecision,
    provenance: Mapping[str, str],
    parameters: Mapping[str, str] | None = None,
    curves: Mapping[str, Sequence[float]] | None = None,
    attachments: Mapping[str, Path] | None = None,
    report: Path | None = None,
    actor: str = PLATFORM,
) -> ModelVersion:
    """Register ``model_dir``; idempotent by digest, and ``staging`` points at it afterwards.

    A version that is in production, or has been, is not staged again: it is no
    newer than what took its place. ``provenance`` becomes tags (``run_id``, ``code_digest``,
    ``data_snapshot``, ``feature_service``, ``environment``, …). ``parameters``, ``curves`` and
    ``report`` are for those who look at the model in MLflow. Raises
    GateNotPassed, EvidenceMismatch when the evaluation is of another model, and
    ConfigError for a predictor that cannot travel with the model.
    """
    _refuse_unless_passed(decision, model_dir)
    candidate = _candidate(recipe, Path(model_dir), Path(evaluation_dir))
    tags = _people_first({**candidate.tags, **gate_tags(decision), **provenance})
    candidate = replace(
        candidate,
        tags=tags,
        metrics={**candidate.metrics, **gate_metrics(decision)},
        parameters=parameters or {},
        curves=curves or {},
        attachments=attachments or {},
        report=report,
        description=description(recipe, candidate.metrics, decision, tags),
        datasets=tuple(_datasets(recipe, tags)),
    )
    version = registry.register(candidate)
    if not been_in_production(registry, version):
        reason = f"passed the gate: {decision.reasons[0]}" if decision.reasons else "passed"
        registry.move_aliases(version.name, {STAGING: version.version}, actor=actor, reason=reason)
    return version


def _refuse_unless_passed(decision: GateDecision, model_dir: Path) -> None:
    if decision.verdict is not Verdict.SUCCESSFUL:
        raise GateNotPassed(
            f"the gate's verdict is {decision.verdict}: {'; '.join(decision.reasons)}",
            where=str(model_dir),
            fix="platform-ctl run show latest",
        )


def been_in_production(registry: Registry, version: ModelVersion) -> bool:
    """Whether the platform has put this version in production, now or before."""
    return any(
        (m.model, m.alias, m.to_version) == (version.name, PRODUCTION, version.version)
        and m.actor != OUTSIDE
        for m in registry.history()
    )


def _people_first(tags: dict[str, str]) -> dict[str, str]:
    """Digests last: MLflow's page of a run shows tags in the order in which they were written."""
    return dict(sorted(tags.items(), key=lambda tag: tag[0].endswith("_digest")))


def gate_tags(decision: GateDecision) -> dict[str, str]:
    """The verdict, the first reason, and each criterion with its figures, as tags for MLflow.

    Values stay within the 500 bytes that every store of MLflow takes.
    """
    tags = {VERDICT_TAG: str(decision.verdict)}
    if decision.reasons:
        tags[f"{GATE_TAGS}reason"] = decision.reasons[0]
    for criterion, figures in decision.figures.items():
        parts = [str(figures.get("verdict", ""))]
        parts += [f"{n} {_short(v)}" for n, v in figures.items() if n != "verdict"]
        tags[f"{GATE_TAGS}{criterion}"] = ", ".join(parts)
    return {name: value.encode()[:500].decode(errors="ignore") for name, value in tags.items()}


def gate_metrics(decision: GateDecision) -> dict[str, float]:
    """The figures of each criterion as MLflow metrics: ``gate_baseline_point`` and so on."""
    return {
        f"gate_{criterion}_{name}": float(figures[name])
        for criterion, figures in decision.figures.items()
        for name in ("point", "low", "high")
        if (finite(figures.get(name))) is not None
    }


def description(
    recipe: Recipe,
    metrics: Mapping[str, float],
    decision: GateDecision,
    tags: Mapping[str, str],
) -> str:
    """Markdown for the pages of MLflow: how good the model is, and where to look further."""
    loss, model = recipe.loss, recipe.model_name
    value = metrics.get(f"golden_{loss.name}")
    lines = [f"**{recipe.title}**"]
    if value is not None:
        unit = f" {loss.unit}" if loss.unit else ""
        lines.append(f"{loss.label} {value:.4g}{unit} on the golden set.")
    if decision.reasons:
        lines.append(
            "\n".join([f"Gate: {decision.verdict}", *(f"- {r}" for r in decision.reasons)])
        )
    run_id = tags.get("run_id", "")[:8]
    if run_id:
        lines.append(f"Made by run {run_id}: `platform-ctl run report {run_id}`")
    lines.append(f"What serves now, and why: `platform-ctl model why {model}`")
    return "\n\n".join(lines)


def _datasets(recipe: Recipe, tags: Mapping[str, str]) -> Iterator[DatasetUse]:
    """The snapshot that the rows come from, and the golden set."""
    if snapshot := tags.get(SNAPSHOT_TAG):
        yield DatasetUse(recipe.table or f"{recipe.name} rows", snapshot, "training")
    if golden := tags.get("golden_digest"):
        yield DatasetUse(f"{recipe.name} golden set", golden, "evaluation", kind="parquet")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _candidate(recipe: Recipe, model_dir: Path, evaluation_dir: Path) -> ModelCandidate:
    predictor = resolve(recipe.predictor).load(model_dir)
    evaluation = json.loads((evaluation_dir / EVALUATION_FILE).read_text(encoding="utf-8"))
    if evaluation.get("model_digest") != predictor.digest:
        raise EvidenceMismatch(
            f"the evaluation is of {evaluation.get('model_digest')}, the model is "
            f"{predictor.digest}",
            where=str(evaluation_dir),
            fix=f"platform-ctl pipeline run {recipe.pipeline} --no-cache",
        )
    source = predictor_source(recipe)
    inputs = tuple(predictor.features)
    return ModelCandidate(
        name=recipe.model_name,
        experiment=recipe.name,
        model_dir=model_dir,
        evaluation_dir=evaluation_dir,
        predictor=source,
        inputs=inputs,
        source=recipe.package.replace(".", "/"),
        title=recipe.title,
        digest=model_digest(model_dir, source, [(name, INPUT_TYPE) for name in inputs]),
        tags={
            RECIPE_TAG: recipe.name,
            EVALUATION_TAG: evaluation_digest(evaluation_dir),
            "weights_digest": predictor.digest,
            "golden_digest": str(evaluation.get("golden_digest", "")),
        },
        metrics=_figures(evaluation),
    )


def predictor_source(recipe: Recipe) -> Path:
    """The file of the recipe's predictor. Raises ConfigError."""
    spec = importlib.util.find_spec(recipe.predictor)
    if not spec or not spec.origin:
        raise ConfigError(
            f"recipe {recipe.name} names the predictor {recipe.predictor}, which is no module",
            where=f"recipe {recipe.name}",
            fix="platform-ctl pipeline compile --check",
        )
    return Path(spec.origin)


def evaluation_digest(evaluation_dir: Path) -> str:
    """``sha256:…`` over every file of an evaluation."""
    files = {
        p.relative_to(evaluation_dir).as_posix(): p
        for p in evaluation_dir.rglob("*")
        if p.is_file()
    }
    return content_digest(files)


def _figures(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """The evaluation's headline figures as MLflow metrics."""
    groups = {
        "golden": evaluation.get("metrics"),
        **{f"golden_{name}": m for name, m in (evaluation.get("baselines") or {}).items()},
        "golden_champion": evaluation.get("champion"),
    }
    return {
        f"{group}_{name}": float(value)
        for group, metrics in groups.items()
        for name, value in (metrics or {}).items()
        if isinstance(value, int | float)
    }
