"""The final fit, by the target's training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from platform_ctl import targets
from platform_ctl.recipe.recipe import resolve

if TYPE_CHECKING:
    from kfp import dsl


def run(
    function: str,
    rows: dsl.Dataset,
    parameters: dict[str, Any],
    model: dsl.Model,
    *,
    workers: int,
    epochs: int,
    **options: Any,
) -> tuple[str]:
    """``function``: the recipe's ``fit``, by reference.

    -> one line about the fit. ``model.path`` becomes the model's folder.

    ``options``: what else the recipe's ``fit`` takes. Of what it returns, ``summary`` is the line,
    and the rest the model's metadata.
    """
    metrics = targets.train(
        targets.current_settings(),
        function,
        inputs={"rows_path": rows.path},
        arguments={"params": parameters, "epochs": epochs, **options},
        out=model.path,
        workers=workers,
        epochs=epochs,
    )
    return _told(metrics, model)


def run_here(
    function: str,
    rows: dsl.Dataset,
    parameters: dict[str, Any],
    model: dsl.Model,
    **options: Any,
) -> tuple[str]:
    """``run`` for a fit that needs no workers: it runs in the step's own process."""
    targets.begin_step()
    return _told(resolve(function)(rows.path, parameters, model.path, **options), model)


def _told(metrics: dict[str, Any], model: dsl.Model) -> tuple[str]:
    line = metrics.pop("summary")
    model.metadata.update(metrics)
    return (line,)
