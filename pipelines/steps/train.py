"""The final fit, by the target's training."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from platform_ctl import targets
from platform_ctl.training.call import reference

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
    metrics = targets.train(
        targets.current_settings(),
        reference(fit),
        inputs={"rows_path": rows.path},
        arguments={"params": parameters, "epochs": epochs, "seed": seed},
        out=model.path,
        workers=num_workers,
        epochs=epochs,
    )
    model.metadata.update(metrics)
    return (f"val_mase {metrics['val_mase']:.3f} with {num_workers} workers, {epochs} epochs",)
