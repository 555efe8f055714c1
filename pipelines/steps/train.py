"""The final fit: Ray Train, data-parallel."""

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
    epochs: int,
    num_workers: int,
    seed: int,
    model: dsl.Model,
) -> tuple[str]:
    """-> one line about the fit. ``model.path`` becomes the model's folder."""
    with targets.training(targets.current_settings()).connect():
        metrics = fit(
            rows.path, parameters, model.path, num_workers=num_workers, epochs=epochs, seed=seed
        )
    model.metadata.update(metrics)
    return (f"val_mase {metrics['val_mase']:.3f} with {num_workers} workers, {epochs} epochs",)
