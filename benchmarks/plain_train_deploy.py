"""What ``pipeline run train-deploy`` does, as one plain script.

The same functions in one process with a Ray of its own, without pipeline,
isolation, cache, resume, records or live progress. Prints the seconds of each
part as JSON. ``benchmarks.train_deploy`` starts it; the home is PLATFORM_HOME
and must hold data.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from platform_ctl import targets
from platform_ctl.approvals.ask import request
from platform_ctl.models.register import register_model
from platform_ctl.recipe import gate, scores
from platform_ctl.targets.tuning import local_training
from platform_ctl.training.call import reference
from platform_ctl.tuning import document
from recipes.train_deploy import data, evaluate, train
from recipes.train_deploy import extract as extract_rows
from recipes.train_deploy.recipe import BUDGET, EXPERIMENT_FILE, GATE, RECIPE

EPOCHS, WORKERS, SEED = 30, 2, 0
"""Defaults of the pipeline."""

seconds: dict[str, float] = {}


@contextlib.contextmanager
def timed(part: str) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    seconds[part] = seconds.get(part, 0.0) + time.perf_counter() - begun


def main(folder: Path) -> None:
    settings = targets.current_settings()
    access = targets.data_access(settings)
    rows, model, evaluation = (str(folder / n) for n in ("rows.parquet", "model", "evaluation"))
    with timed("resolve"):
        found = data.resolve(access)
    with timed("extract"):
        extract_rows.extract(access, found.snapshot_id, found.as_of, found.golden_digest, rows)
    with contextlib.ExitStack() as stack:
        with timed("ray"):
            stack.enter_context(local_training(settings).connect())
        with timed("tune"):
            record = targets.tune(
                settings,
                document.load(Path(train.__file__).with_name(EXPERIMENT_FILE)),
                reference(train.trial),
                inputs={"rows_path": rows},
                budget=BUDGET,
                seed=SEED,
            )
        with timed("train"):
            best = record.status.best_parameters()
            train.fit(rows, best, model, num_workers=WORKERS, epochs=EPOCHS, seed=SEED)
    with timed("evaluate"):
        evaluate.evaluate(model, rows, evaluation, None)
    with timed("gate"):
        decision = gate.decide(*scores.read(evaluation), GATE)
    registry = targets.registry(settings)
    with timed("register"):
        version = register_model(
            registry,
            recipe=RECIPE,
            model_dir=Path(model),
            evaluation_dir=Path(evaluation),
            decision=decision,
            provenance={"data_snapshot": found.snapshot_id, **targets.provenance(settings)},
        )
    with timed("request-approval"):
        request(
            registry,
            targets.approvals(settings),
            recipe=RECIPE,
            version=version,
            requested_by=targets.local_user(),
            settings=settings.approval,
            notifier=targets.notifier(settings),
        )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary))
    print(json.dumps(seconds))
