"""The final fit, on the Ray of the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from platform_ctl import targets

if TYPE_CHECKING:
    from kfp import dsl


def run(
    fit: Callable[..., dict[str, Any]],
    rows: dsl.Dataset,
    parameters: dict[str, Any],
    model: dsl.Model,
    **options: Any,
) -> tuple[str]:
    """-> one line about the fit. ``model.path`` becomes the model's folder.

    ``options``: what else the recipe's ``fit`` takes. Of what it returns, ``summary`` is the line,
    and the rest the model's metadata.
    """
    with targets.training(targets.current_settings()).connect():
        metrics = fit(rows.path, parameters, model.path, **options)
    line = metrics.pop("summary")
    model.metadata.update(metrics)
    return (line,)
