"""Evaluation on the golden rows: figures, slices, champion, leaks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

from platform_ctl.errors import ChampionNotComparable, TooLittleHistory
from platform_ctl.models.training_age import training_age_days
from recipes.train_deploy import evaluate, model, predict, rows, train
from recipes.train_deploy.features import FEATURE_NAMES
from tests.support.rows import GOLDEN_DIGEST, write_rows


@pytest.fixture(scope="module")
def rows_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.parquet", FEATURE_NAMES)


@pytest.fixture(scope="module")
def model_dir(rows_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    model.save(train.train_here(train.Hyperparameters(epochs=3), rows_path)[0], folder)
    return folder


@pytest.fixture(scope="module")
def evaluation(rows_path: Path, model_dir: Path, tmp_path_factory) -> dict:
    out = tmp_path_factory.mktemp("evaluation")
    found = evaluate.evaluate(str(model_dir), str(rows_path), str(out))
    assert json.loads((out / "evaluation.json").read_text()) == found
    errors = pq.read_table(out / "errors.parquet").to_pandas()
    return found | {"errors": errors}


def test_figures_are_over_live_repositories(evaluation: dict) -> None:
    errors = evaluation["errors"]
    live = errors[errors["slice"] != "dormant"]
    error = (live.prediction - live.label).abs()
    assert evaluation["rows"] == len(live) == 60
    assert evaluation["not_judged"]["rows"] == len(errors) - len(live) == 12
    assert evaluation["metrics"]["mae"] == pytest.approx(error.mean())
    assert evaluation["metrics"]["rmse"] == pytest.approx(np.sqrt((error**2).mean()))
    assert evaluation["metrics"]["mase"] == pytest.approx(live.loss.mean())
    naive = live["loss:mean_4w"].mean()
    assert evaluation["baselines"]["mean_4w"]["mase"] == pytest.approx(naive)
    assert sum(s["rows"] for s in evaluation["slices"].values()) == len(live)


def test_it_says_what_it_is_about(evaluation: dict, model_dir: Path) -> None:
    assert evaluation["golden_digest"] == GOLDEN_DIGEST
    assert evaluation["model_digest"] == predict.model_digest(model_dir)
    assert evaluation["finite"] is True
    assert evaluation["champion"] is None
    assert evaluation["leak_check"]["ok"] is True
    assert evaluation["loss"] == {"name": "mase", "title": "MASE", "unit": ""}
    assert training_age_days(evaluation) == (12 + 12 + 1) * 7


def test_intervals_hold_the_figure_and_shrink_for_a_paired_difference(evaluation: dict) -> None:
    low, high = evaluation["intervals"]["mase"]
    assert low < evaluation["metrics"]["mase"] < high
    below, above = evaluation["intervals"]["mase_minus_mean_4w"]
    assert above - below < high - low


def test_a_champion_that_is_the_candidate_differs_by_nothing(
    rows_path: Path, model_dir: Path, tmp_path: Path
) -> None:
    found = evaluate.evaluate(str(model_dir), str(rows_path), str(tmp_path), str(model_dir))
    assert found["champion"]["mase"] == found["metrics"]["mase"]
    assert found["intervals"]["mase_minus_champion"] == [0.0, 0.0]
    errors = pq.read_table(tmp_path / "errors.parquet")
    assert errors["champion_prediction"].equals(errors["prediction"])


def test_a_champion_with_a_feature_that_is_gone_is_an_error(
    rows_path: Path, model_dir: Path, tmp_path: Path
) -> None:
    table = pq.read_table(rows_path).drop_columns(["authors_4w"])
    path = tmp_path / "rows.parquet"
    pq.write_table(table, path)
    with pytest.raises(ChampionNotComparable, match="authors_4w"):
        evaluate._champion_forecast(str(model_dir), str(path))


def test_a_model_of_nans_has_no_figures(rows_path: Path, model_dir: Path, tmp_path: Path) -> None:
    broken = tmp_path / "model"
    shutil.copytree(model_dir, broken)
    weights = load_file(broken / predict.WEIGHTS_FILE)
    weights["w3"] = weights["w3"] * np.float32("nan")
    save_file(weights, broken / predict.WEIGHTS_FILE)
    found = evaluate.evaluate(str(broken), str(rows_path), str(tmp_path / "out"))
    assert found["finite"] is False
    assert found["metrics"] == {"mase": None, "mae": None, "rmse": None}


def test_without_golden_rows_there_is_nothing_to_score(
    rows_path: Path, model_dir: Path, tmp_path: Path
) -> None:
    table = pq.read_table(rows_path)
    path = tmp_path / "rows.parquet"
    pq.write_table(table.filter(pc.not_equal(table["split"], rows.GOLDEN)), path)
    with pytest.raises(TooLittleHistory):
        evaluate.evaluate(str(model_dir), str(path), str(tmp_path / "out"))


def _findings(table: pa.Table, model_dir: Path, tmp_path: Path) -> list[str]:
    path = tmp_path / "planted.parquet"
    pq.write_table(table, path)
    return evaluate.evaluate(str(model_dir), str(path), str(tmp_path / "out"))["leak_check"][
        "findings"
    ]


def _replace(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values)


def test_a_planted_golden_row_is_found(rows_path: Path, model_dir: Path, tmp_path: Path) -> None:
    table = pq.read_table(rows_path)
    golden = table.filter(pc.equal(table["split"], rows.GOLDEN)).slice(0, 1)
    planted = _replace(golden, "split", pa.array([rows.TRAIN]))
    found = _findings(pa.concat_tables([table, planted]), model_dir, tmp_path)
    assert any("golden and training at once" in f for f in found)
    assert any("reach into the golden weeks" in f for f in found)


def test_a_golden_row_under_another_date_is_found(
    rows_path: Path, model_dir: Path, tmp_path: Path
) -> None:
    table = pq.read_table(rows_path)
    busy = pc.and_(pc.equal(table["split"], rows.GOLDEN), pc.greater(table["label"], 0))
    planted = _replace(table.filter(busy).slice(0, 1), "split", pa.array([rows.TRAIN]))
    for name in ("event_timestamp", "week_start"):
        planted = _replace(planted, name, table[name].slice(0, 1).combine_chunks())
    found = _findings(pa.concat_tables([table, planted]), model_dir, tmp_path)
    assert found and all("stand in the training rows" in f for f in found)


def test_a_model_trained_on_later_weeks_is_found(
    rows_path: Path, model_dir: Path, tmp_path: Path
) -> None:
    late = tmp_path / "late"
    shutil.copytree(model_dir, late)
    spec = json.loads((late / predict.SPEC_FILE).read_text())
    spec["training"]["newest_week"] = str(rows.read(rows_path, FEATURE_NAMES).week_start.max())
    (late / predict.SPEC_FILE).write_text(json.dumps(spec))
    found = _findings(pq.read_table(rows_path), late, tmp_path)
    assert any("was trained on the week of" in f for f in found)


def test_slices_say_small_and_bursty(rows_path: Path) -> None:
    data = rows.read(rows_path, FEATURE_NAMES)
    golden = data.of(rows.GOLDEN)
    scaled = {name: getattr(data, name) for name in rows._COLUMNS}
    first = data.repo == golden.repo[0]
    scaled["label"] = np.where(first, np.where(np.arange(len(data)) % 10 == 0, 200.0, 0.0), 1.0)
    quiet = rows.Rows(feature_names=data.feature_names, features=data.features, **scaled)
    found = evaluate.slice_names(quiet, golden)
    assert set(found[golden.repo == golden.repo[0]]) == {"bursty"}
    assert set(found[(golden.repo != golden.repo[0]) & ~golden.dormant]) == {"small"}
    assert set(found[golden.dormant]) == {"dormant"}
