"""Training, the model's files, and the numpy forward pass that serves it."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from platform_ctl.errors import BadParameter, TooLittleHistory
from recipes.common.optimise import Worker
from recipes.train_deploy import model, predict, rows, train
from recipes.train_deploy.features import FEATURE_NAMES
from tests.support.rows import write_rows

PARAMS = {"learning_rate": "0.003", "batch_size": "64", "epochs": "3"}


@pytest.fixture(scope="module")
def rows_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.parquet", FEATURE_NAMES)


@pytest.fixture(scope="module")
def trained(rows_path: Path) -> model.CommitsNet:
    return train.train_here(train.Hyperparameters.parse(PARAMS), rows_path)[0]


@pytest.fixture(scope="module")
def model_dir(trained: model.CommitsNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    model.save(trained, folder)
    return folder


def test_numpy_forward_pass_equals_the_torch_module(
    trained: model.CommitsNet, model_dir: Path, rows_path: Path
) -> None:
    features = rows.read(rows_path, FEATURE_NAMES).features
    extreme = np.array([[0.0] * len(FEATURE_NAMES), [1e7] * len(FEATURE_NAMES)], np.float32)
    x = np.vstack([features, extreme])
    with torch.no_grad():
        expected = trained(torch.from_numpy(x)).clamp(min=0).mean(0).numpy()
    found = predict.load(model_dir).predict(x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_serving_needs_no_torch(model_dir: Path) -> None:
    code = (
        "import sys; from recipes.train_deploy import predict;"
        f"predict.load({str(model_dir)!r});"
        "sys.exit(bool({'torch', 'pandas', 'ray', 'pyarrow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_recipe_imports_nothing_heavy() -> None:
    code = (
        "import sys; import recipes.train_deploy.recipe;"
        "sys.exit(bool({'torch', 'feast', 'pyiceberg', 'numpy', 'ray'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_same_seed_gives_the_same_bytes(rows_path: Path, tmp_path: Path) -> None:
    digests = set()
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        hp = train.Hyperparameters.parse({**PARAMS, "epochs": 1, "seed": seed})
        digests.add(model.save(train.train_here(hp, rows_path)[0], tmp_path / name))
    assert len(digests) == 2


def test_digest_names_every_byte(model_dir: Path, tmp_path: Path) -> None:
    before = predict.model_digest(model_dir)
    for name in (predict.WEIGHTS_FILE, predict.SPEC_FILE):
        content = bytearray((model_dir / name).read_bytes())
        content[-2] ^= 1
        for other in (predict.WEIGHTS_FILE, predict.SPEC_FILE):
            (tmp_path / other).write_bytes((model_dir / other).read_bytes())
        (tmp_path / name).write_bytes(content)
        assert predict.model_digest(tmp_path) != before


def test_predict_takes_what_callers_have(model_dir: Path, rows_path: Path) -> None:
    predictor = predict.load(model_dir)
    table = pq.read_table(rows_path).slice(0, 3)
    frame = table.to_pandas()
    expected = predictor.predict(table)
    assert expected.shape == (3,)
    assert (predictor.predict(frame) == expected).all()
    assert (predictor.predict(frame[list(FEATURE_NAMES)].to_numpy()) == expected).all()
    one = {name: float(frame[name].iloc[0]) for name in FEATURE_NAMES}
    assert predictor.predict(one) == expected[:1]
    assert predictor.predict(frame[list(reversed(frame.columns))]) == pytest.approx(expected)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), "many", None])
def test_predict_names_the_feature_that_is_wrong(model_dir: Path, bad: object) -> None:
    values = dict.fromkeys(FEATURE_NAMES, 1.0) | {FEATURE_NAMES[3]: bad}
    with pytest.raises(ValueError, match=FEATURE_NAMES[3]):
        predict.load(model_dir).predict(values)


def test_predict_names_the_feature_that_is_missing_or_short(model_dir: Path) -> None:
    predictor = predict.load(model_dir)
    values = {name: [1.0, 2.0] for name in FEATURE_NAMES}
    with pytest.raises(ValueError, match=f"missing feature '{FEATURE_NAMES[2]}'"):
        predictor.predict({k: v for k, v in values.items() if k != FEATURE_NAMES[2]})
    with pytest.raises(ValueError, match=FEATURE_NAMES[5]):
        predictor.predict(values | {FEATURE_NAMES[5]: [1.0]})
    with pytest.raises(ValueError, match=r"shape \(n, \d+\)"):
        predictor.predict(np.ones((2, 2)))
    assert len(predictor.predict(pd.DataFrame(columns=list(FEATURE_NAMES)))) == 0


def test_training_beats_the_naive_forecasts_and_shuffled_labels_do_not(
    rows_path: Path, tmp_path: Path
) -> None:
    validation = rows.read(rows_path, FEATURE_NAMES).of(rows.VALIDATION)
    naive = min(
        (np.abs(f - validation.label) / validation.scale).mean()
        for f in (validation.naive_last_week, validation.naive_mean_4w)
    )
    params = {**PARAMS, "epochs": 10}
    assert train.trial(params, str(rows_path))["val_mase"] < naive
    table = pq.read_table(rows_path)
    order = np.random.default_rng(0).permutation(table.num_rows)
    index = table.schema.get_field_index("label")
    pq.write_table(
        table.set_column(index, "label", table["label"].take(order)), tmp_path / "shuffled.parquet"
    )
    assert train.trial(params, str(tmp_path / "shuffled.parquet"))["val_mase"] > naive


def test_a_trial_reports_each_epoch_and_may_be_stopped(rows_path: Path) -> None:
    seen: list[dict[str, float]] = []
    final = train.trial(PARAMS, str(rows_path), seen.append)
    assert [s["epoch"] for s in seen] == [1, 2, 3]
    assert final["val_mase"] == seen[-1]["val_mase"]

    def stop(figures: dict[str, float]) -> None:
        raise InterruptedError(str(figures["epoch"]))

    with pytest.raises(InterruptedError, match="1"):
        train.trial(PARAMS, str(rows_path), stop)


def test_the_command_prints_what_katib_collects(
    rows_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--rows", str(rows_path), "--learning-rate=0.003", "--batch-size=64"]
    assert train.main([*arguments, "--epochs=2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all("val_mase=0." in line or "val_mase=1." in line for line in lines)


@pytest.mark.parametrize(
    ("name", "value"),
    [("learning_rate", "fast"), ("learning_rate", "-1"), ("batch_size", "0"), ("depth", "3")],
)
def test_parameters_are_checked_before_anything_is_read(name: str, value: str) -> None:
    with pytest.raises(BadParameter, match=name):
        train.trial({name: value}, "/nowhere.parquet")


@pytest.mark.parametrize("epochs", [0, -1])
def test_a_fit_of_no_epochs_is_refused(tmp_path: Path, epochs: int) -> None:
    with pytest.raises(BadParameter, match="epochs"):
        train.fit("/nowhere.parquet", PARAMS, str(tmp_path / "model"), epochs=epochs)


def test_too_few_rows_are_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.parquet", FEATURE_NAMES, repos=1, weeks=40)
    with pytest.raises(TooLittleHistory):
        train.trial(PARAMS, str(path))


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_fit_that_goes_on_ends_where_it_would_have_ended(rows_path: Path, epoch: int) -> None:
    """Weights, optimiser, learning rate and shuffle are as they were after the kept epoch."""
    hp = train.Hyperparameters(epochs=4)
    data = train.Split.read(rows_path)
    kept: list[dict] = []
    whole = model.build(train.spec_of(data, hp), hp.seed)

    history = train.learn(
        whole, data, hp, Worker(keep=lambda state: kept.append(copy.deepcopy(state)))
    )
    again = model.build(train.spec_of(data, hp), hp.seed)
    reported: list[dict] = []
    resumed = train.learn(again, data, hp, Worker(begin=kept[epoch - 1], report=reported.append))
    assert resumed == history
    assert [figures["epoch"] for figures in reported] == list(range(epoch + 1, 5))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
