"""The network learns odd from even, and what is served is what was trained."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from platform_ctl.errors import BadParameter
from platform_ctl.recipe.check import check
from recipes.common import judge
from recipes.digits import evaluate, losses, model, predict, train
from recipes.digits.recipe import FEATURES, RECIPE

PARAMS = {"learning_rate": "0.01", "batch_size": "32"}


@pytest.fixture(scope="module")
def rows_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images with a bright line that stands (odd) or lies (even), somewhere."""
    rng = np.random.default_rng(0)
    odd = rng.random(300) < 0.5
    images = rng.integers(0, 5, (300, 8, 8)).astype(np.float64)
    for image, stands, place in zip(images, odd, rng.integers(0, 8, 300), strict=True):
        image[(slice(None), place) if stands else place] = 16
    names = np.repeat(["train", "validation", "golden"], 100)
    columns = dict(zip(FEATURES, images.reshape(300, -1).T, strict=True))
    table = {"row": [str(i) for i in range(300)], "split": names, "label": odd.astype(float)}
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    pq.write_table(pa.table(table | columns), path)
    return path


@pytest.fixture(scope="module")
def net(rows_path: Path) -> model.DigitNet:
    return train.learn(train.plan_of(PARAMS, 10), str(rows_path), train.Worker())[0]


@pytest.fixture(scope="module")
def model_dir(net: model.DigitNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    model.save(net, FEATURES, folder)
    return folder


def test_it_keeps_the_contract() -> None:
    assert check(RECIPE, Path(__file__).parents[3]) == []


def test_numpy_answers_as_torch_does(net: model.DigitNet, model_dir: Path, rows_path: Path) -> None:
    golden = judge.Rows.read(rows_path, FEATURES, "golden")
    with torch.no_grad():
        expected = torch.sigmoid(net(torch.from_numpy(golden.x).float())).numpy()
    served = predict.load(model_dir)
    np.testing.assert_allclose(served.predict(golden.x), expected, atol=1e-5)
    columns = dict(zip(FEATURES, golden.x.T, strict=True))
    assert np.array_equal(served.predict(columns), served.predict(golden.x))
    with pytest.raises(ValueError, match="missing feature 'pixel_0_0'"):
        served.predict({"pixel_0_1": 1.0})


def test_serving_needs_no_torch(model_dir: Path) -> None:
    code = (
        "import sys; from recipes.digits import predict;"
        f"predict.load({str(model_dir)!r});"
        "sys.exit(bool({'torch', 'pandas', 'ray', 'pyarrow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_convolution_sees_what_single_pixels_do_not_say(
    model_dir: Path, rows_path: Path, tmp_path: Path
) -> None:
    found = evaluate.evaluate(str(model_dir), str(rows_path), str(tmp_path), str(model_dir))
    worst = min(b["log_loss"] for b in found["baselines"].values())
    assert found["metrics"]["log_loss"] < worst / 2
    low, high = found["intervals"]["accuracy"]
    assert low <= found["metrics"]["accuracy"] <= high
    assert set(found["slices"]) == {"heavy", "light"}
    assert found["champion"]["log_loss"] == found["metrics"]["log_loss"]


def test_the_same_seed_gives_the_same_bytes(rows_path: Path, tmp_path: Path) -> None:
    digests = set()
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        made, _ = train.learn(train.plan_of(PARAMS, 1, seed), str(rows_path), train.Worker())
        digests.add(model.save(made, FEATURES, tmp_path / name))
    assert len(digests) == 2


def test_a_trial_reports_each_epoch_and_learns(rows_path: Path) -> None:
    seen: list[dict[str, float]] = []
    final = train.trial(PARAMS, str(rows_path), seen.append)
    assert [s["epoch"] for s in seen] == list(range(1, train.TRIAL_EPOCHS + 1))
    label = judge.Rows.read(rows_path, FEATURES, "validation").label
    base = losses.losses(np.full(len(label), label.mean()), label, label).mean()
    assert final["val_loss"] == seen[-1]["val_loss"] < base


def test_workers_that_cannot_share_a_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadParameter, match="cannot be shared by 3 workers"):
        train.fit("/nowhere.parquet", PARAMS, str(tmp_path), num_workers=3)
