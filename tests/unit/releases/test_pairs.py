"""Pairs: what both revisions answered, whoever asked."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_ctl.releases import replay
from platform_ctl.releases.analyse import _pairs
from platform_ctl.releases.release import Evidence, Release
from platform_ctl.releases.steps import start_release
from platform_ctl.serving.service import RequestObservation
from tests.unit.releases.test_release import PLAN, World

ROWS = ("x@2024-01-01", "y@2024-01-01", "z@2024-01-01")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, "1")


@pytest.fixture
def release(world: World, tmp_path: Path) -> Release:
    count = len(ROWS)
    columns = {"row": list(ROWS), "split": ["recent"] * count, "label": [1.0, 2.0, 3.0]}
    columns |= {"scale": [2.0] * count, "a": [0.0] * count, "b": [0.0] * count}
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table(columns), path)
    target = dataclasses.replace(world.target("2"), evidence=Evidence(rows=str(path)))
    return start_release(world.ports, target, PLAN, approval_id="a", actor="me")


def answered(
    release: Release, role: str, row: str, value: float, **fields: object
) -> RequestObservation:
    revision = release.production if role == "production" else release.target.candidate
    given = {"status": 200, "latency_ms": 1.0, "source": "replay", "request": {"instances": [[0]]}}
    given |= {"at": time.time(), "id": row, "key": f"replay:{row}", "predictions": [value]}
    return RequestObservation(revision=revision.name, **{**given, **fields})


def test_a_row_that_both_answered_is_one_pair(world: World, release: Release) -> None:
    recent = replay.read_rows(release.target.evidence.rows, ("a", "b"), "recent")
    seen = [
        answered(release, "production", ROWS[0], 1.0),
        answered(release, "canary", ROWS[0], 9.0),
        answered(release, "canary", ROWS[0], 3.0),  # the last answer counts
        answered(release, "production", ROWS[1], 2.0),
        answered(release, "canary", ROWS[1], 0.0, status=0, failure="timeout", predictions=[]),
        answered(release, "canary", ROWS[2], 5.0),  # production was not asked
    ]
    pairs = _pairs(world.ports, release, seen, recent)
    assert (pairs.canary.tolist(), pairs.production.tolist()) == ([3.0], [1.0])
    assert (pairs.canary_loss.tolist(), pairs.production_loss.tolist()) == ([1.0], [0.0])


def test_the_same_request_to_both_is_a_pair_without_a_label(world: World, release: Release) -> None:
    recent = replay.read_rows(release.target.evidence.rows, ("a", "b"), "recent")
    real = {"source": "traffic", "key": "caller", "request": {"instances": [[7, 7]]}}
    seen = [
        answered(release, "production", "p", 4.0, **real),
        answered(release, "canary", "c", 6.0, **real),
        answered(release, "canary", "big", 6.0, source="traffic", request=None),
        answered(release, "production", "big", 6.0, source="traffic", request=None),
    ]
    pairs = _pairs(world.ports, release, seen, recent)
    assert (pairs.canary.tolist(), pairs.production.tolist()) == ([6.0], [4.0])
    assert pairs.canary_loss.tolist() != pairs.canary_loss.tolist()  # NaN: nobody knows yet
