"""What an approver needs to see: the candidate beside the champion and the baselines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from platform_ctl.approvals.request import NO_CHAMPION, SELF, ApprovalRequest
from platform_ctl.errors import EvidenceMismatch, NoSuchModel
from platform_ctl.models.model import SNAPSHOT_TAG, find_version
from platform_ctl.models.port import Registry
from platform_ctl.models.training_age import training_age_days
from platform_ctl.recipe.scores import EVALUATION_FILE

AGE_ROW = "days since its newest training row"


@dataclass(frozen=True)
class ComparisonRow:
    """One figure on the golden set; None where there is none."""

    name: str
    candidate: float | None
    champion: float | None
    baseline: float | None


def compare(registry: Registry, request: ApprovalRequest) -> list[ComparisonRow]:
    """Headline figures, then the loss of each slice; empty when the evaluation is gone."""
    try:
        version = find_version(registry.models(), request.reference)
        folder = registry.local_dir(version, "evaluation")
    except (NoSuchModel, EvidenceMismatch):
        return []
    return list(_rows(json.loads((folder / EVALUATION_FILE).read_text(encoding="utf-8"))))


def same_data(registry: Registry, request: ApprovalRequest) -> str:
    """A sentence when the champion knows the same data, else "": no worse is then no reason."""
    number = request.subject.champion.split(" ")[0]
    if number in (NO_CHAMPION, SELF):
        return ""
    try:
        champion = find_version(registry.models(), f"{request.model}/{number}")
    except NoSuchModel:
        return ""
    snapshot = request.subject.data_snapshot
    if not snapshot or champion.tags.get(SNAPSHOT_TAG) != snapshot:
        return ""
    return (
        f"{champion} in production was trained on the same data: "
        "what differs is code, parameters or chance"
    )


def _rows(evaluation: Mapping[str, Any]) -> Iterator[ComparisonRow]:
    loss = evaluation["loss"]["name"]
    mine, champion = evaluation["metrics"], evaluation.get("champion") or {}
    known = [m for m in evaluation["baselines"].values() if m.get(loss) is not None]
    best: Mapping[str, Any] = min(known, key=lambda metrics: metrics[loss], default={})
    for name in mine:
        yield ComparisonRow(name, mine.get(name), champion.get(name), best.get(name))
    for name, figures in evaluation.get("slices", {}).items():
        label = f"{loss}, {name} ({figures['rows']} rows)"
        yield ComparisonRow(label, figures.get(loss), None, figures.get(f"baseline_{loss}"))
    if (age := training_age_days(evaluation)) is not None:
        yield ComparisonRow(AGE_ROW, age, None, None)
