"""True error of real traffic: logged predictions joined with labels that arrived since."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from platform_ctl.errors import NothingYet, PreconditionMissing, UnknownName
from platform_ctl.recipe.recipe import DataAccess, resolve
from platform_ctl.recipe.truth import Truth, entities_of
from platform_ctl.releases import replay
from platform_ctl.releases.release import Release, Target
from platform_ctl.releases.steps import ReleasePorts
from platform_ctl.releases.target import evidence_here
from platform_ctl.serving.service import RequestObservation

Losses = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(prediction, label, scale) of rows (n,) -> loss of each."""


@dataclass(frozen=True)
class LabelledPrediction:
    """One prediction of a logged request, and what came true."""

    observation: RequestObservation
    index: int
    """Of the prediction in its request."""
    entity: str
    truth: Truth

    @property
    def question(self) -> str:
        """What was asked: the same question twice is no new evidence."""
        return f"{self.entity}@{self.truth.period}"


@dataclass(frozen=True)
class RevisionError:
    """How wrong a revision was about what callers asked it."""

    revision: str
    forecasts: int
    """Different questions with a label; the last answer to each counts."""
    last_period: str
    loss: float | None
    """Mean, over those whose entity has a scale in the evaluation; None when none has."""


def labelled(
    data: DataAccess, target: Target, seen: Sequence[RequestObservation]
) -> list[LabelledPrediction]:
    """Predictions of real traffic whose label is known; empty without the recipe's data."""
    if not target.labels:
        return []
    predicted = [
        (o, i, name)
        for o in seen
        if o.source == "traffic" and o.status == 200 and not o.failure
        for names in [entities_of(o.request, target.entity)]
        if len(names) == len(o.predictions)
        for i, name in enumerate(names)
    ]
    if not predicted:
        return []
    questions = [(name, datetime.fromtimestamp(o.at, UTC)) for o, _, name in predicted]
    try:
        truths = resolve(target.labels)(data, questions)
    except PreconditionMissing:
        return []
    return [
        LabelledPrediction(*a, t) for a, t in zip(predicted, truths, strict=True) if t is not None
    ]


def units(rows: replay.HeldOut) -> Callable[[str], float | None]:
    """Entity -> unit of its error, as in the evaluation; None for one that has none there. 1.0 for
    everybody where the loss needs no unit."""
    if not rows.scaled:
        return lambda entity: 1.0
    entities = (key.rpartition("@")[0] for key in rows.keys)
    return dict(zip(entities, rows.scales.tolist(), strict=True)).get


def true_errors(ports: ReleasePorts, release: Release) -> list[RevisionError]:
    """Of each revision that answered real traffic since the release started."""
    since = datetime.fromisoformat(release.created_at).timestamp()
    try:
        seen = ports.serving.observations(release.target.service, since=since)
    except (
        NothingYet,
        UnknownName,
    ):  # the service's files are gone; the release is still to be shown
        return []
    predictions = labelled(ports.data, release.target, seen)
    if not predictions:
        return []
    rows = evidence_here(ports.registry, release).rows
    unit = units(replay.read_replayed(rows, release.target.features))
    by_revision: dict[str, dict[str, LabelledPrediction]] = defaultdict(dict)
    for one in predictions:
        by_revision[one.observation.revision][one.question] = one
    return [
        _error(name, list(ones.values()), unit, release.target)
        for name, ones in sorted(by_revision.items())
    ]


def _error(
    revision: str,
    ones: Sequence[LabelledPrediction],
    unit: Callable[[str], float | None],
    target: Target,
) -> RevisionError:
    known = [(o, scale) for o in ones if (scale := unit(o.entity)) is not None]
    loss = None
    if known:
        columns = np.array(
            [(o.observation.predictions[o.index], o.truth.label, scale) for o, scale in known]
        )
        loss = float(losses_of(target)(*columns.T).mean())
    return RevisionError(
        revision=revision,
        forecasts=len(ones),
        last_period=max(o.truth.period for o in ones),
        loss=loss,
    )


def losses_of(target: Target) -> Losses:
    """The recipe's ``losses``; absolute error over scale where it has none."""
    return resolve(target.losses) if target.losses else absolute_scaled


def absolute_scaled(prediction: np.ndarray, label: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """|label - prediction| / scale of each row (n,)."""
    return np.abs(label - prediction) / scale
