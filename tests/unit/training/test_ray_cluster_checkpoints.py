"""Where a fit on an existing Ray cluster keeps its epochs."""

from __future__ import annotations

from platform_ctl.training.port import TrainingJob
from platform_ctl.training.ray_cluster.training import checkpoints_of

ROOT = "s3://bucket/fits/"
ROWS = {"rows": {"": b"1,2"}}


def job(**fields: object) -> TrainingJob:
    given = {"name": "run/train", "function": "m:f", "inputs": {"rows": "/a"}, "out": "/a/out"}
    return TrainingJob(**{**given, **fields})


def test_a_later_attempt_finds_the_same_folder() -> None:
    first = checkpoints_of(ROOT, job(), ROWS)
    again = checkpoints_of(ROOT, job(inputs={"rows": "/b"}, out="/b/out"), ROWS)
    assert first == again and first.startswith("s3://bucket/fits/training/")
    assert first.endswith("/checkpoints")


def test_other_rows_or_arguments_are_another_fit() -> None:
    places = {
        checkpoints_of(ROOT, job(), ROWS),
        checkpoints_of(ROOT, job(), {"rows": {"": b"1,3"}}),
        checkpoints_of(ROOT, job(arguments={"epochs": 9}), ROWS),
        checkpoints_of(ROOT, job(name="other/train"), ROWS),
    }
    assert len(places) == 4


def test_no_epoch_is_kept_without_a_folder() -> None:
    assert checkpoints_of("", job(), ROWS) is None
