"""Logged predictions meet the labels that arrived later."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_ctl.errors import MissingTable
from platform_ctl.recipe.recipe import DataAccess
from platform_ctl.recipe.truth import Truth, entities_of
from platform_ctl.recipe.verdict import Verdict
from platform_ctl.releases.analyse import run_analysis
from platform_ctl.releases.release import Evidence
from platform_ctl.releases.steps import start_release
from platform_ctl.releases.true_error import true_errors
from platform_ctl.serving.service import RequestObservation
from tests.unit.releases.test_release import NAME, PLAN, World

ENTITIES = [f"repo-{i}" for i in range(40)]
TRUE = 10.0


def labels(data: DataAccess, asked: Sequence[tuple[str, datetime]]) -> list[Truth | None]:
    """What the stub recipe knows: nothing of ``new…``."""
    if any(name == "no data" for name, _ in asked):
        raise MissingTable("there is no table")
    return [None if name.startswith("new") else Truth("2024-01-01", TRUE) for name, _ in asked]


@pytest.fixture
def world(tmp_path):
    return World(tmp_path, production="1")


@pytest.fixture
def release(world, tmp_path):
    rows = {
        "row": [f"{name}@2024-01-01" for name in ENTITIES],
        "split": ["recent"] * len(ENTITIES),
        "label": [TRUE] * len(ENTITIES),
        "scale": [2.0] * len(ENTITIES),
        "a": [0.0] * len(ENTITIES),
        "b": [0.0] * len(ENTITIES),
    }
    pq.write_table(pa.table(rows), tmp_path / "rows.parquet")
    target = dataclasses.replace(
        world.target("2"),
        entity="repo",
        labels=f"{__name__}:labels",
        evidence=Evidence(rows=str(tmp_path / "rows.parquet")),
    )
    return start_release(world.ports, target, PLAN, approval_id="a", actor="me")


def ask(world, revision: str, names: Sequence[str], prediction: float):
    spec = world.serving.specs[NAME]
    served_by = (spec.canary if revision == "canary" else spec.production).name
    world.serving.seen += [
        RequestObservation(
            at=time.time() + 1 + i / 1000,
            id=f"{revision}-{len(world.serving.seen)}-{i}",
            revision=served_by,
            status=200,
            latency_ms=1.0,
            request={"instances": [{"repo": name}]},
            predictions=[prediction],
        )
        for i, name in enumerate(names)
    ]


def test_each_question_counts_once_and_in_its_own_unit(world, release):
    ask(world, "production", ENTITIES, 11.0)
    ask(world, "canary", [*ENTITIES, "repo-0", "new-1", "elsewhere"], 16.0)
    canary, production = sorted(
        true_errors(world.ports, release), key=lambda e: e.forecasts, reverse=True
    )
    assert (canary.revision, canary.forecasts) == ("v2-22222222", 41)
    assert canary.loss == 3.0, "of those whose entity has a unit"
    assert (production.forecasts, production.loss) == (40, 0.5)
    assert production.last_period == "2024-01-01"


def test_a_canary_that_is_wrong_about_real_traffic_fails_without_replay(world, release):
    ask(world, "production", ENTITIES, 11.0)
    ask(world, "canary", ENTITIES, 30.0)
    analysed = run_analysis(world.ports, release.id)
    assert analysed.verdict is Verdict.FAILED
    assert "true error +1900.0% against production on 40 labelled rows" in analysed.reasons[0]


@pytest.mark.parametrize("names", [["new-1"], ["no data"], []])
def test_without_labels_there_is_nothing_to_say(world, release, names):
    ask(world, "production", names, 11.0)
    assert true_errors(world.ports, release) == []


@pytest.mark.parametrize(
    ("request_", "names"),
    [
        ({"instances": [{"repo": "a"}, {"repo": "b"}]}, ["a", "b"]),
        ({"inputs": [{"name": "repo", "datatype": "BYTES", "data": ["a"]}]}, ["a"]),
        ({"instances": [[1.0, 2.0]]}, []),
        ({"instances": [{"x": 1.0}]}, []),
        ({"inputs": [{"name": "input-0", "data": [1.0]}]}, []),
        ({"inputs": [{"name": "x"}, {"name": "y"}]}, []),
        ({}, []),
        (None, []),
    ],
)
def test_who_was_asked_about(request_, names):
    assert entities_of(request_, "repo") == names


def test_a_loss_without_a_unit_counts_for_entities_that_were_not_golden(world, release, tmp_path):
    """A classifier's golden rows have no scale, and new entities are what it is asked about."""
    rows = {"row": ["r1"], "split": ["golden"], "label": [1.0], "a": [0.0], "b": [0.0]}
    pq.write_table(pa.table(rows), tmp_path / "rows.parquet")
    ask(world, "production", ENTITIES, 11.0)
    found = true_errors(world.ports, release)
    assert [(e.forecasts, e.loss) for e in found] == [(len(ENTITIES), 1.0)]
