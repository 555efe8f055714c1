"""How old what a pipeline has learnt is, from the records of its runs."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from platform_ctl.metrics.records import _training
from platform_ctl.models.training_age import NEWEST_ROW, training_age_days


def record(db: sqlite3.Connection, run: str, pipeline: str, ended: str, newest: str) -> None:
    """A successful run whose evaluating task says how new its newest training row is."""
    artifact = {"metadata": {NEWEST_ROW: newest} if newest else {}}
    outputs = json.dumps({"artifacts": {"evaluation": [artifact]}}, separators=(",", ":"))
    db.execute("INSERT INTO runs VALUES (?, ?, 'SUCCEEDED', ?)", (run, pipeline, ended))
    db.execute("INSERT INTO tasks VALUES (?, ?)", (run, outputs))


@pytest.fixture
def db(tmp_path: Path) -> sqlite3.Connection:
    made = sqlite3.connect(tmp_path / "records.db")
    made.execute("CREATE TABLE runs (id TEXT, pipeline TEXT, state TEXT, ended_at TEXT)")
    made.execute("CREATE TABLE tasks (run_id TEXT, outputs TEXT)")
    return made


def test_the_newest_run_of_each_pipeline_tells(db):
    record(db, "1", "p", "2026-01-01T00:00:00Z", "2025-01-06T00:00:00+00:00")
    record(db, "2", "p", "2026-02-01T00:00:00Z", "1970-01-02T00:00:00+00:00")
    record(db, "3", "q", "2026-01-01T00:00:00Z", "1970-01-03T00:00:00+00:00")
    record(db, "4", "r", "2026-01-01T00:00:00Z", "")
    told = {sample.labels[0]: sample.value for sample in _training(db)}
    assert told == {"p": 86_400.0, "q": 172_800.0}


def test_days_from_the_newest_training_row_to_the_end_of_the_golden_rows():
    said = {
        "training": {"newest_row_at": "2026-01-05T00:00:00+00:00"},
        "golden": {"ends_at": "2026-02-02T00:00:00+00:00"},
    }
    assert training_age_days(said) == 28
    assert training_age_days({"golden": {"ends_at": "2026-02-02T00:00:00+00:00"}}) is None
    assert training_age_days({}) is None
