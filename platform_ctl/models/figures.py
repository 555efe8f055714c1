"""What the registry holds of a version's evaluation, read back by the recipe's loss.

``register._figures`` writes the metrics: ``golden_LOSS`` of the model itself and
``golden_NAME_LOSS`` of each baseline and of the champion that it was compared with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from platform_ctl.models.model import RECIPE_TAG, ModelVersion
from platform_ctl.recipe.recipe import Loss, NamedLoss, Recipe

_GOLDEN = "golden_"
_CHAMPION = "champion"


@dataclass(frozen=True)
class Figures:
    """Losses on the version's golden set; None where the registry holds none."""

    model: NamedLoss | None = None
    baseline: NamedLoss | None = None
    """The best one."""
    baseline_name: str = ""
    champion: NamedLoss | None = None
    """What was in production when the version was evaluated."""


def figures(version: ModelVersion, recipes: Mapping[str, Recipe]) -> Figures:
    """The figures of a version; empty for one whose recipe the project does not have."""
    recipe = recipes.get(version.tags.get(RECIPE_TAG, ""))
    return _figures(version.metrics, recipe.loss) if recipe else Figures()


def _figures(metrics: Mapping[str, float], loss: Loss) -> Figures:
    own, others = metrics.get(f"{_GOLDEN}{loss.name}"), {}
    for name, value in metrics.items():
        if name.startswith(_GOLDEN) and name.endswith(f"_{loss.name}"):
            others[name.removeprefix(_GOLDEN).removesuffix(loss.name).rstrip("_")] = value
    others.pop("", None)
    champion = others.pop(_CHAMPION, None)
    best = min(others, key=lambda name: others[name], default="")
    return Figures(_named(loss, own), _named(loss, others.get(best)), best, _named(loss, champion))


def _named(loss: Loss, value: float | None) -> NamedLoss | None:
    return None if value is None else NamedLoss(loss, value)
