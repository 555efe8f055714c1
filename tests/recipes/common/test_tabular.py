"""Tables from files: what is stored once, how rows split, what a forecast may see."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from platform_ctl.errors import BadParameter, MissingTable, TooLittleHistory
from recipes.common import metrics
from recipes.common.judge import Rows, leak_check
from recipes.common.tabular import FORECAST_FEATURES, Table
from tests.recipes.train_deploy.histories import data_access

NOW = datetime(2026, 3, 2, tzinfo=UTC)
PLAIN = Table("plain", "plain.rows", "y", ("a", "b"))
SERIES = Table("series", "series.rows", "y", FORECAST_FEATURES, time="day", forecast=True)


def plain(rows: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, rows))
    return pd.DataFrame({"a": a, "note": "x", "b": b, "y": a + b})


def days(count: int) -> pd.DataFrame:
    times = pd.date_range("2024-01-01", periods=count, freq="D").strftime("%Y-%m-%d")
    return pd.DataFrame({"day": times, "y": np.arange(count, dtype=float)})


@pytest.fixture
def access(tmp_path):
    return data_access(tmp_path / "home")


def ingest(table: Table, access, tmp_path: Path, frame: pd.DataFrame, name: str = "f.csv"):
    file = tmp_path / name
    frame.to_csv(file, index=False) if name.endswith("csv") else frame.to_parquet(file)
    return table.ingest(access, paths=[file], now=NOW)


def extracted(table: Table, access, tmp_path: Path):
    pinned = table.resolve(access)
    path = tmp_path / "rows.parquet"
    told = table.extract(access, pinned.snapshot_id, pinned.as_of, pinned.golden_digest, path)
    return pinned, told, pq.read_table(path)


@pytest.mark.parametrize("name", ["f.csv", "f.parquet"])
def test_a_row_is_stored_once(access, tmp_path, name):
    first = ingest(PLAIN, access, tmp_path, plain(300), name)
    assert (first.new_rows, first.parts[0].backfill) == (300, True)
    again = ingest(PLAIN, access, tmp_path, plain(300), name)
    assert (again.snapshot_id, again.parts[0].known_rows) == (None, 300)
    more = ingest(PLAIN, access, tmp_path, pd.concat([plain(300), plain(50, seed=1)]), name)
    assert more.new_rows == 50


def test_equal_rows_are_different_rows_of_one_split(access, tmp_path):
    twice = pd.concat([plain(300), plain(300)])
    assert ingest(PLAIN, access, tmp_path, twice).new_rows == 600
    rows = extracted(PLAIN, access, tmp_path)[2].to_pandas()
    assert rows.groupby("a")["split"].nunique().max() == 1
    seen = Rows.read(tmp_path / "rows.parquet", PLAIN.features, "train", "validation")
    golden = Rows.read(tmp_path / "rows.parquet", PLAIN.features, "golden")
    assert leak_check(seen, golden)["ok"]


def test_later_rows_move_no_row_to_another_split(access, tmp_path):
    ingest(PLAIN, access, tmp_path, plain(300))
    before = extracted(PLAIN, access, tmp_path)[2].to_pandas().set_index("row")["split"]
    ingest(PLAIN, access, tmp_path, plain(300, seed=1))
    after = extracted(PLAIN, access, tmp_path)[2].to_pandas().set_index("row")["split"]
    assert (after.loc[before.index] == before).all() and len(after) == 600


def test_a_forecast_sees_nothing_of_its_own_day(access, tmp_path):
    ingest(SERIES, access, tmp_path, days(200))
    pinned, _, rows = extracted(SERIES, access, tmp_path)
    frame = rows.to_pandas()
    assert (frame["lag_1"] == frame["label"] - 1).all()
    assert (frame["mean_4"] == frame["label"] - 2.5).all()
    ends = frame.groupby("split")["time"].agg(["min", "max"])
    assert ends.loc["train", "max"] < ends.loc["validation", "min"]
    assert ends.loc["validation", "max"] < ends.loc["golden", "min"]
    assert pinned.as_of.startswith("2024-07-18")


def test_the_golden_days_roll(access, tmp_path):
    ingest(SERIES, access, tmp_path, days(200))
    first = SERIES.resolve(access)
    assert SERIES.foresee(access) == first == SERIES.resolve(access)
    ingest(SERIES, access, tmp_path, days(220))
    second = SERIES.foresee(access)
    assert second.golden_digest != first.golden_digest
    assert SERIES.golden_show(access).digest == first.golden_digest, "foreseeing pins nothing"
    assert SERIES.resolve(access) == second


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (plain(10).drop(columns="b"), "has no column 'b'; it has: a, note, y"),
        (plain(10).assign(a="text"), "column 'a' does not hold numbers"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_and_nothing_is_written(access, tmp_path, frame, said):
    with pytest.raises(BadParameter, match=said):
        ingest(PLAIN, access, tmp_path, frame)
    with pytest.raises(MissingTable):
        PLAIN.resolve(access)


CLASSES = Table("classes", "classes.rows", "y", ("a", "b"), positive="1", negative="0")


def test_a_class_is_one_however_pandas_reads_the_file(access, tmp_path):
    """A column with a hole is one of floats, and 1.0 is the class 1."""
    frame = plain(300).assign(y=lambda t: (t["y"] > 0).astype(float))
    frame.loc[:9, "y"] = np.nan
    ingest(CLASSES, access, tmp_path, frame)
    ingest(CLASSES, access, tmp_path, plain(300, seed=1).assign(y=1))
    rows = extracted(CLASSES, access, tmp_path)[2].to_pandas()
    assert rows["label"].sum() == frame["y"].sum() + 300


def test_a_class_that_nobody_declared_is_refused(access, tmp_path):
    frame = plain(300).assign(y=["1", "0", "yes"] * 100)
    with pytest.raises(BadParameter, match="'yes', which is neither '1' nor '0'"):
        ingest(CLASSES, access, tmp_path, frame)


def test_a_file_that_is_none(access, tmp_path):
    with pytest.raises(BadParameter, match="does not exist"):
        PLAIN.ingest(access, paths=[tmp_path / "no.csv"], now=NOW)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    with pytest.raises(BadParameter, match="cannot be read"):
        PLAIN.ingest(access, paths=[tmp_path / "bad.parquet"], now=NOW)


def test_too_few_rows(access, tmp_path):
    ingest(PLAIN, access, tmp_path, plain(20))
    with pytest.raises(TooLittleHistory, match="of 30 train rows"):
        PLAIN.resolve(access)


def test_auroc_is_that_of_scikit_learn_and_ties_count_half():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    label = (rng.random(400) < 0.2).astype(float)
    p = np.round(np.clip(0.3 * label + rng.random(400) * 0.7, 0, 1), 1)
    assert metrics.auroc(p, label) == pytest.approx(roc_auc_score(label, p))
    low, high = metrics.interval(metrics.auroc, p, label)
    assert low < metrics.auroc(p, label) < high
    assert np.isnan(metrics.auroc(p, np.zeros(400)))


def test_a_calibrated_model_has_a_small_calibration_error():
    rng = np.random.default_rng(0)
    p = rng.random(20_000)
    label = (rng.random(20_000) < p).astype(float)
    assert metrics.calibration_error(p, label) < 0.02
    assert metrics.calibration_error(p**3, label) > 0.1


def test_average_precision_is_that_of_scikit_learn():
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(0)
    label = (rng.random(400) < 0.1).astype(float)
    p = 0.3 * label + rng.random(400)
    assert metrics.average_precision(p, label) == pytest.approx(average_precision_score(label, p))
    assert np.isnan(metrics.average_precision(p, np.zeros(400)))


LATE = Table(
    "late", "late.rows", "kind", ("a", "b"), positive="yes", entity="part", late_labels=True
)
METERS = Table(
    "meters", "meters.rows", "y", FORECAST_FEATURES, time="day", entity="meter", forecast=True
)


def parts(count: int, unlabelled: int) -> pd.DataFrame:
    frame = plain(count).assign(part=[f"p{i}" for i in range(count)])
    frame["kind"] = np.where(frame.pop("y") > 0, "yes", "no")
    frame.loc[frame.index >= count - unlabelled, "kind"] = None
    return frame


def give_labels(access, tmp_path: Path, given: dict[str, str], day: int = 1):
    file = tmp_path / "labels.csv"
    pd.DataFrame({"part": list(given), "kind": list(given.values())}).to_csv(file, index=False)
    return LATE.ingest_labels(access, paths=[file], now=NOW + timedelta(days=day))


def test_a_row_without_a_label_waits_for_it(access, tmp_path):
    assert ingest(LATE, access, tmp_path, parts(300, 50)).new_rows == 300
    assert extracted(LATE, access, tmp_path)[2].num_rows == 250
    asked = [("p0", NOW), ("p299", NOW), ("stranger", NOW)]
    assert [t and t.label for t in LATE.labels(access, asked)][1:] == [None, None]
    told = give_labels(access, tmp_path, {"p299": "yes", "p298": "no", "stranger": "no"})
    shown = {e.name: e.rows for e in LATE.show(access).entities}
    assert shown == {"labelled": 252, "unlabelled": 48}
    assert told.new_rows == 2 and "1 labels of rows that were never ingested" in str(told.parts)
    assert extracted(LATE, access, tmp_path)[2].num_rows == 252
    assert LATE.labels(access, asked)[1].label == 1.0
    again = give_labels(access, tmp_path, {"p299": "yes"})
    assert (again.new_rows, again.parts[0].known_rows) == (0, 1)
    give_labels(access, tmp_path, {"p299": "no"}, day=2)
    assert LATE.labels(access, asked)[1].label == 0.0, "the newest label counts"


def test_features_of_an_entity_are_known_before_its_label(access, tmp_path):
    frame = parts(300, 50)
    ingest(LATE, access, tmp_path, frame)
    give_labels(access, tmp_path, {"p299": "yes"})
    found = LATE.online_features(access, ["p299", "stranger"])
    assert list(found) == ["p299"]
    assert found["p299"] == pytest.approx({"a": frame["a"][299], "b": frame["b"][299]})


@pytest.mark.parametrize("table", [PLAIN, SERIES, METERS, LATE], ids=lambda t: t.recipe)
def test_the_auditor_finds_nothing_wrong_and_then_what_was_changed(access, tmp_path, table):
    meters = pd.concat([days(60).assign(meter=f"m{i}") for i in range(3)])
    frames = {"plain": plain(300), "series": days(200), "meters": meters, "late": parts(300, 50)}
    ingest(table, access, tmp_path, frames[table.recipe])
    report = table.audit(access, None, 40)
    assert report.ok and report.rows_checked == 40
    assert report.values_checked == 40 * (len(table.features) + 1)
    rows = extracted(table, access, tmp_path)[2]
    path = tmp_path / "wrong.parquet"
    name = table.features[0]
    wrong = [value + 1 for value in rows[name].to_pylist()]
    index = rows.schema.get_field_index(name)
    pq.write_table(rows.set_column(index, name, [wrong]), path)
    found = table.audit(access, path, 10)
    assert not found.ok and {m.column for m in found.mismatches} == {name}
    assert len(found.mismatches) == 10
