"""From a home to training rows: splits, golden set, online store, auditor, removal."""

from __future__ import annotations

import itertools
import json
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from platform_ctl.errors import (
    GoldenSetStale,
    GoldenSetTampered,
    MissingGoldenSet,
    MissingTable,
    TooLittleHistory,
    UnknownName,
)
from recipes.train_deploy import data as recipe_data
from recipes.train_deploy import golden, names, sample, tables
from recipes.train_deploy.extract import extract, latest_rows
from recipes.train_deploy.features import FEATURE_NAMES
from recipes.train_deploy.online import online_features
from recipes.train_deploy.weeks import from_epoch
from tests.recipes.train_deploy.histories import (
    DAY_S,
    MONDAY_S,
    NOW,
    WEEK_S,
    add_commits,
    data_access,
    fetched,
    make_repo,
    weekly_commits,
    write_commits,
)

_WEEKS = 80


def _history(late: bool = False) -> list[tuple[str, str, int, int]]:
    """Two repositories; with ``late``, every fifth commit of one became available a month after."""
    commits = []
    for repo, rate in (("busy", 5), ("calm", 2)):
        for week in range(_WEEKS):
            for n in range(rate + week % 3):
                at = MONDAY_S + week * WEEK_S + n * DAY_S % WEEK_S + 7200
                delay = 30 * DAY_S if late and repo == "busy" and n == 4 else 0
                commits.append((repo, f"author{n}", at, at + delay))
    return commits


def _extract(data, path):
    pinned = recipe_data.resolve(data, NOW)
    summary = extract(data, pinned.snapshot_id, pinned.as_of, pinned.golden_digest, path)
    return pinned, summary, pq.read_table(path)


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    """(data, resolved, summary, rows, path) of a home with the sample."""
    home = tmp_path_factory.mktemp("sampled")
    data = data_access(home)
    recipe_data.ingest_sample(data, now=NOW)
    return (data, *_extract(data, home / "rows.parquet"), home / "rows.parquet")


@pytest.fixture
def small(tmp_path):
    data = data_access(tmp_path / "home")
    write_commits(data, _history(), until=MONDAY_S + _WEEKS * WEEK_S)
    return data


def test_the_summary_counts_what_is_in_the_columns(sampled):
    _, _, summary, rows, _ = sampled
    told = summary["columns"]
    for name in rows.column_names[:12]:
        values = rows[name].to_pylist()
        known = {v for v in values if v is not None}
        assert told[name] == {"nulls": values.count(None), "distinct": len(known)}, name
    empty = {n for n in FEATURE_NAMES if rows[n].null_count}
    assert set(told) == {*rows.column_names[:12], *empty}


def test_columns_and_splits(sampled):
    _, pinned, summary, rows, _ = sampled
    assert rows.column_names[:12] == [
        "row", "repo", "event_timestamp", "week_start", "split", "label", "naive_last_week",
        "naive_mean_4w", "naive_log_ses", "scale", "dormant", "history_weeks",
    ]  # fmt: skip
    assert tuple(rows.column_names[12:]) == FEATURE_NAMES
    assert rows.schema.field("event_timestamp").type == pa.timestamp("us", "UTC")
    assert {rows.schema.field(n).type for n in FEATURE_NAMES} == {pa.float32()}
    assert rows.to_pandas().isna().sum().sum() == 0
    weeks = {
        s: rows.filter(pc.equal(rows["split"], s))["week_start"].unique().to_pylist()
        for s in ("train", "validation", "golden", "recent")
    }
    assert [len(weeks[s]) for s in ("validation", "golden", "recent")] == [8, 12, 0]
    assert max(weeks["train"]) < min(weeks["validation"])
    assert max(weeks["validation"]) + timedelta(weeks=1) <= min(weeks["golden"])
    assert max(weeks["golden"]) + timedelta(weeks=1) == sample.ENDS_AT
    assert pinned.as_of == sample.ENDS_AT.isoformat()
    assert pc.min(rows["scale"]).as_py() > 0
    assert summary["rows"] == rows.num_rows


def test_dormant_weeks_are_judged_apart_and_not_trained_on(sampled):
    rows = sampled[3]
    dormant = rows.filter(rows["dormant"])["split"].unique().to_pylist()
    assert set(dormant) == {"golden"}


def test_naive_forecasts_are_the_features(sampled):
    frame = sampled[3].to_pandas()
    assert (frame.naive_last_week == frame.commits_1w).all()
    assert (frame.naive_mean_4w == frame.commits_4w / 4).all()


def test_the_same_request_gives_the_same_features_online(sampled):
    data = sampled[0]
    newest = latest_rows(data)
    served = online_features(data, [*newest["repo"].to_pylist(), "unknown"])
    assert len(served) == newest.num_rows == len(sample.NAMES)
    for row in newest.to_pylist():
        assert served[row["repo"]] == {name: row[name] for name in FEATURE_NAMES}


def test_historical_features_are_those_of_the_feature_table(sampled):
    data, _, _, rows, _ = sampled
    stored = tables.load(data, names.FEATURES).scan().to_arrow().drop_columns(["created"])
    keys = ["repo", "event_timestamp"]
    both = rows.to_pandas().merge(stored.to_pandas(), on=keys, suffixes=("", "_stored"))
    assert len(both) == rows.num_rows
    assert all((both[n] == both[f"{n}_stored"]).all() for n in FEATURE_NAMES)


def test_a_second_extraction_rebuilds_nothing_and_gives_the_same_bytes(sampled, tmp_path):
    data, pinned, _, _, path = sampled
    again = tmp_path / "again.parquet"
    summary = extract(data, pinned.snapshot_id, pinned.as_of, pinned.golden_digest, again)
    assert summary["features_rebuilt"] is False
    assert again.read_bytes() == path.read_bytes()


def test_the_sample_is_deterministic():
    one, two = sample.generate(3), sample.generate(3)
    assert one.equals(two)
    assert not one.equals(sample.generate(4))
    assert 60_000 <= sample.generate(sample.DEFAULT_SEED).num_rows <= 100_000


def test_the_sample_is_ingested_once(sampled):
    data = sampled[0]
    again = recipe_data.ingest_sample(data, now=NOW)
    assert again.snapshot_id is None
    assert again.new_rows == 0


def test_no_naive_forecast_is_optimal_on_the_sample(sampled):
    """A blend with the median already beats both: there is something to learn."""
    frame = sampled[3].to_pandas()
    live = frame[~frame.dormant]
    mase = {
        "last": ((live.label - live.naive_last_week).abs() / live.scale).mean(),
        "mean": ((live.label - live.naive_mean_4w).abs() / live.scale).mean(),
        "blend": (
            (live.label - (live.naive_last_week + live.median_8w + live.naive_mean_4w) / 3).abs()
            / live.scale
        ).mean(),
    }
    assert mase["blend"] < 0.97 * min(mase["last"], mase["mean"])


def test_the_auditor_finds_nothing_in_honest_rows(sampled):
    data, _, _, _, path = sampled
    report = recipe_data.audit(data, path, 60)
    assert report.ok, report.mismatches[:3]
    assert report.rows_checked == 60


def test_late_commits_do_not_leak(tmp_path):
    data = data_access(tmp_path / "home")
    write_commits(data, _history(late=True), until=MONDAY_S + _WEEKS * WEEK_S)
    report = recipe_data.audit(data, None, 10_000)
    assert report.ok, report.mismatches[:3]


def test_the_auditor_catches_planted_late_commits(small, tmp_path):
    """Rows that counted late commits as if they had been there at once."""
    _, _, rows = _extract(small, tmp_path / "rows.parquet")
    leaky = tmp_path / "leaky.parquet"
    pq.write_table(rows.replace_schema_metadata(None), leaky)
    truth = data_access(tmp_path / "truth")
    write_commits(truth, _history(late=True), until=MONDAY_S + _WEEKS * WEEK_S)
    report = recipe_data.audit(truth, leaky, 20)
    assert not report.ok
    assert {m.entity for m in report.mismatches} == {"busy"}
    assert "became available only after" in report.mismatches[0].reason


def test_the_auditor_catches_a_row_that_saw_its_own_week(small, tmp_path):
    path = tmp_path / "rows.parquet"
    _, _, rows = _extract(small, path)
    future = pc.add(rows["commits_1w"], rows["label"].cast(pa.float32()))
    index = rows.schema.get_field_index("commits_1w")
    pq.write_table(rows.set_column(index, rows.schema.field(index), future), path)
    report = recipe_data.audit(small, path, 20)
    assert {m.column for m in report.mismatches} == {"commits_1w"}
    assert len(report.mismatches) == 20


def test_a_tampered_golden_set_is_refused(small, tmp_path):
    pinned = recipe_data.resolve(small, NOW)
    file = Path(recipe_data.golden_show(small).file)
    content = json.loads(file.read_text())
    content["rows"][0][1] += 1
    file.write_text(json.dumps(content))
    with pytest.raises(GoldenSetTampered):
        recipe_data.resolve(small, NOW)
    with pytest.raises(GoldenSetTampered):
        extract(small, pinned.snapshot_id, pinned.as_of, pinned.golden_digest, tmp_path / "rows")
    file.unlink()
    with pytest.raises(MissingGoldenSet):
        recipe_data.resolve(small, NOW)


def _grow(data, weeks: int, by: int) -> None:
    """``by`` more weeks of a history of ``weeks`` weeks, as a later ingest would bring them."""
    later = [
        (repo, f"author{n}", at, at)
        for repo, rate in (("busy", 5), ("calm", 2))
        for week in range(weeks, weeks + by)
        for n in range(rate + week % 3)
        for at in [MONDAY_S + week * WEEK_S + n * DAY_S % WEEK_S + 7200]
    ]
    write_commits(data, later, until=MONDAY_S + (weeks + by) * WEEK_S)


def _weeks_of(rows, split):
    return set(rows.filter(pc.equal(rows["split"], split))["week_start"].to_pylist())


def test_four_weekly_retrains_each_learn_from_a_week_that_the_one_before_could_not(small, tmp_path):
    """The clock goes on by a week between runs; what was golden becomes training data."""
    seen = []
    for week in range(4):
        if week:
            _grow(small, _WEEKS + week - 1, 1)
        pinned, summary, rows = _extract(small, tmp_path / f"{week}.parquet")
        assert summary["splits"]["golden"] == 24 and "recent" not in summary["splits"]
        assert max(_weeks_of(rows, "golden")) + timedelta(weeks=1) == datetime.fromisoformat(
            pinned.as_of
        )
        seen.append((pinned.golden_digest, _weeks_of(rows, "train"), _weeks_of(rows, "golden")))
    assert len({digest for digest, _, _ in seen}) == 4
    for (_, before, _), (_, after, judged) in itertools.pairwise(seen):
        assert before < after and len(after - before) == 1
        assert not after & judged
    reasons = [e["reason"] for e in recipe_data.golden_show(small).history]
    assert reasons == ["first run", *["newer data"] * 3]


def test_the_same_data_again_pins_the_same_set(small):
    first = recipe_data.resolve(small, NOW)
    assert recipe_data.resolve(small, NOW) == first == recipe_data.foresee(small)
    assert len(recipe_data.golden_show(small).history) == 1


def test_foreseeing_writes_nothing(small):
    recipe_data.resolve(small, NOW)
    _grow(small, _WEEKS, 1)
    files = _files(small)
    foreseen = recipe_data.foresee(small)
    assert _files(small) == files
    assert recipe_data.resolve(small, NOW) == foreseen


def _files(data) -> dict[str, bytes]:
    root = data.golden_dir.parent
    return {str(p): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_a_frozen_set_stays_and_later_weeks_are_recent(small, tmp_path, monkeypatch):
    monkeypatch.setattr(golden, "GOLDEN", "frozen")
    before, _, _ = _extract(small, tmp_path / "before.parquet")
    _grow(small, _WEEKS, 6)
    after, summary, rows = _extract(small, tmp_path / "after.parquet")
    assert after.golden_digest == before.golden_digest
    assert after.snapshot_id != before.snapshot_id
    assert summary["splits"]["golden"] == 24
    assert min(_weeks_of(rows, "recent")) > max(_weeks_of(rows, "golden"))


def test_clones_that_stopped_all_at_once_are_no_golden_set(tmp_path):
    """Everything is said to be observed, and everybody fell silent: the clones are old."""
    data = data_access(tmp_path / "home")
    cut = MONDAY_S + (_WEEKS - 9) * WEEK_S
    commits = [(f"{c[0]}{n}", *c[1:]) for n in range(2) for c in _history() if c[2] < cut]
    write_commits(data, commits, until=MONDAY_S + _WEEKS * WEEK_S)
    with pytest.raises(TooLittleHistory, match=r"4 of 4 repositories .* \(busy0, busy1"):
        recipe_data.resolve(data, NOW)


def test_refreshing_the_golden_set_is_recorded(small):
    first = recipe_data.resolve(small, NOW)
    _grow(small, _WEEKS, 4)
    renewed = recipe_data.golden_refresh(small, "a new quarter", NOW)
    assert renewed.digest != first.golden_digest
    assert [e["reason"] for e in renewed.history] == ["first run", "a new quarter"]
    assert recipe_data.resolve(small, NOW).golden_digest == renewed.digest


def test_the_golden_set_is_the_same_in_every_home(small, tmp_path):
    other = data_access(tmp_path / "other")
    write_commits(other, _history(), until=MONDAY_S + _WEEKS * WEEK_S)
    assert recipe_data.resolve(small, NOW).golden_digest == (
        recipe_data.resolve(other, NOW).golden_digest
    )


def test_too_little_history(tmp_path):
    data = data_access(tmp_path / "home")
    with pytest.raises(MissingTable):
        recipe_data.resolve(data)
    commits = [c for c in _history() if c[2] < MONDAY_S + 40 * WEEK_S]
    write_commits(data, commits, until=MONDAY_S + 40 * WEEK_S)
    with pytest.raises(TooLittleHistory, match="train weeks"):
        recipe_data.resolve(data)
    assert recipe_data.golden_show(data) is None


def test_less_than_a_week_of_history_is_too_little(tmp_path):
    data = data_access(tmp_path / "home")
    write_commits(
        data, [("new", "ann", MONDAY_S + DAY_S, MONDAY_S + DAY_S)], until=MONDAY_S + DAY_S
    )
    with pytest.raises(TooLittleHistory, match="0 of 26 train weeks"):
        recipe_data.resolve(data)


def test_one_stale_clone_does_not_hold_back_the_others(tmp_path):
    data = data_access(tmp_path / "home")
    newest = MONDAY_S + _WEEKS * WEEK_S
    live = [(f"r{n}", *c[1:]) for n in range(2) for c in _history() if c[0] == "calm"]
    write_commits(data, live, until=newest)
    old = [c for c in _history() if c[0] == "busy" and c[2] < newest - 20 * WEEK_S]
    write_commits(data, old, until=newest - 20 * WEEK_S)
    summary = recipe_data.show(data)
    assert {r.name: r.state for r in summary.entities} == {
        "busy": "stale",
        "r0": "live",
        "r1": "live",
    }
    _, _, rows = _extract(data, tmp_path / "rows.parquet")
    busy = rows.filter(pc.equal(rows["repo"], "busy"))
    assert pc.max(busy["week_start"]).as_py().timestamp() == newest - 21 * WEEK_S


def test_removing_a_repository(small, tmp_path):
    pinned, _, _ = _extract(small, tmp_path / "rows.parquet")
    with pytest.raises(UnknownName, match="did you mean busy"):
        recipe_data.remove(small, "bussy")
    removed = recipe_data.remove(small, "busy")
    assert removed == sum(c[0] == "busy" for c in _history())
    assert [r.name for r in recipe_data.show(small).entities] == ["calm"]
    gone = (recipe_data.resolve(small, NOW), pinned.golden_digest, tmp_path / "r.parquet")
    with pytest.raises(GoldenSetStale, match="busy"):
        extract(small, gone[0].snapshot_id, gone[0].as_of, *gone[1:])
    _extract(small, tmp_path / "rows.parquet")
    assert set(online_features(small, ["busy", "calm"])) == {"calm"}
    assert pinned.golden_digest != recipe_data.golden_show(small).digest


def test_weeks_ingested_live_are_rows_at_their_ingest(tmp_path):
    """A backfill, then an ingest each Monday at 05:00: nothing leaks and no week looks empty."""
    data = data_access(tmp_path / "home")
    clone = make_repo(tmp_path / "live.git", weekly_commits(70, per_week=3), bare=True)
    for week in range(70, 76):
        monday_5h = MONDAY_S + week * WEEK_S + 5 * 3600
        fetched(clone, monday_5h)
        recipe_data.ingest_git(data, [clone], from_epoch(monday_5h))
        add_commits(clone, weekly_commits(1, per_week=3, start=MONDAY_S + week * WEEK_S))
    _, _, rows = _extract(data, tmp_path / "rows.parquet")
    live = [r for r in rows.to_pylist() if r["event_timestamp"] != r["week_start"]]
    assert [r["event_timestamp"] - r["week_start"] for r in live] == [timedelta(hours=5)] * 4
    assert {r["commits_1w"] for r in live} == {3}
    assert {r["label"] for r in live} == {3}
    report = recipe_data.audit(data, tmp_path / "rows.parquet", 1000)
    assert report.ok, report.mismatches[:3]
    newest = latest_rows(data).to_pylist()[0]
    assert newest["week_start"].timestamp() == MONDAY_S + 75 * WEEK_S
    assert online_features(data, ["live"])["live"]["commits_1w"] == newest["commits_1w"] == 3
