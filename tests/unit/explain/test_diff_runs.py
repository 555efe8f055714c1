"""What ``run diff`` reads of the files that runs left; damaged ones say nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_ctl.errors import UnknownName
from platform_ctl.explain.diff_facts import DiffPorts, side
from platform_ctl.explain.score_change import COLUMNS
from platform_ctl.runs.local.artifacts import LocalArtifacts
from platform_ctl.runs.record import Artifact, Outputs, Run, RunState, Task, TaskState


def gone(path: Path) -> object:
    raise UnknownName("gone", where=str(path), fix="platform-ctl run list")


SOURCES = DiffPorts(
    cache=SimpleNamespace(decisions=lambda run_id: ()),  # type: ignore[arg-type]
    artifacts=LocalArtifacts(),
    key_inputs=lambda digest: None,
    units=lambda digest: {},
    read_pipeline=gone,  # type: ignore[arg-type]
    recipes={},
    table=lambda name: None,
    ledger=lambda run_id: (),
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """One whose evaluation left its table of single errors."""
    folder = tmp_path / "evaluation"
    folder.mkdir()
    pq.write_table(pa.table({name: [1.0, 2.0] for name in COLUMNS}), folder / "errors.parquet")
    task = Task(
        path="evaluate",
        name="evaluate",
        component="evaluate",
        state=TaskState.SUCCEEDED,
        outputs=Outputs({}, {"evaluation": (Artifact("evaluation", str(folder)),)}),
    )
    return Run(
        id="r",
        name="r",
        pipeline="p",
        state=RunState.SUCCEEDED,
        created_at="2026-01-01T00:00:00+00:00",
        directory=str(tmp_path),
        parameters={},
        use_cache=True,
        tasks=(task,),
    )


def table(run: Run) -> Path:
    return Path(run.directory) / "evaluation" / "errors.parquet"


def test_single_errors_are_read(run: Run) -> None:
    assert set(side(run, SOURCES).errors) == COLUMNS


@pytest.mark.parametrize("left", [0, 3, -20])
def test_a_table_of_errors_that_was_cut_short_is_none(run: Run, left: int) -> None:
    table(run).write_bytes(table(run).read_bytes()[:left])
    assert side(run, SOURCES).errors == {}
