"""The gate before models that were really trained: on the data, and on shuffled labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_ctl.recipe import gate, scores
from platform_ctl.recipe.gate import GateDecision
from platform_ctl.recipe.verdict import Verdict
from recipes.train_deploy import evaluate, rows
from recipes.train_deploy.features import FEATURE_NAMES
from recipes.train_deploy.recipe import RECIPE
from tests.support.rows import write_rows

pytestmark = pytest.mark.e2e

PARAMETERS = {"learning_rate": 0.003, "batch_size": 128, "epochs": 4}
SEEDS = 20


def train(rows_path: Path, folder: Path, seed: int) -> Path:
    from recipes.train_deploy import model
    from recipes.train_deploy.train import Hyperparameters, train_here

    net, _ = train_here(Hyperparameters.parse({**PARAMETERS, "seed": seed}), rows_path)
    model.save(net, folder)
    return folder


def judge(model_dir: Path, rows_path: Path, champion: Path | None = None) -> GateDecision:
    out = model_dir / "evaluation"
    evaluate.evaluate(str(model_dir), str(rows_path), str(out), str(champion) if champion else None)
    return gate.decide(*scores.read(out), RECIPE.gate)


@pytest.fixture(scope="module")
def rows_path(tmp_path_factory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.parquet", FEATURE_NAMES, repos=12)


def shuffled(rows_path: Path, target: Path, seed: int) -> Path:
    """The same rows; what was to be learned from belongs to other rows."""
    table = pq.read_table(rows_path)
    label = table["label"].to_numpy().copy()
    split = table["split"].to_numpy(zero_copy_only=False).astype(str)
    seen = np.flatnonzero(np.isin(split, [rows.TRAIN, rows.VALIDATION]))
    label[seen] = label[np.random.default_rng(seed).permutation(seen)]
    position = table.schema.get_field_index("label")
    pq.write_table(table.set_column(position, "label", pa.array(label)), target)
    return target


def test_twenty_retrainings_never_flip_between_successful_and_failed(rows_path, tmp_path):
    champion = train(rows_path, tmp_path / "champion", seed=99)
    candidates = [train(rows_path, tmp_path / f"seed-{s}", seed=s) for s in range(SEEDS)]
    decisions = [judge(c, rows_path, champion) for c in candidates]
    verdicts = {d.verdict for d in decisions}
    assert not {Verdict.SUCCESSFUL, Verdict.FAILED} <= verdicts
    assert all(d.figures["champion"]["verdict"] == "successful" for d in decisions)


@pytest.mark.parametrize("seed", range(3))
def test_a_model_trained_on_shuffled_labels_does_not_pass(rows_path, tmp_path, seed):
    nonsense = shuffled(rows_path, tmp_path / "rows.parquet", seed)
    candidate = train(nonsense, tmp_path / "model", seed=seed)
    assert judge(candidate, nonsense).verdict is not Verdict.SUCCESSFUL
