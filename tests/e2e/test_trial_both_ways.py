"""The recipe's trial gives the same metric as the Job's command and as a function call."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from platform_ctl.recipe.recipe import Budget
from platform_ctl.tuning import document
from platform_ctl.tuning.local.folder import FolderTuner
from platform_ctl.tuning.template import with_environment
from recipes.train_deploy import train
from recipes.train_deploy.features import FEATURE_NAMES
from tests.support.rows import write_rows

ROOT = Path(__file__).parents[2]


@pytest.mark.e2e
def test_process_and_function_agree(tmp_path: Path) -> None:
    """The command prints six digits; two trials, the same suggestions both ways."""
    rows = write_rows(tmp_path / "rows.parquet", FEATURE_NAMES)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    tuner = FolderTuner(ROOT, environment={**os.environ, "PATH": path})
    search = document.load(ROOT / "recipes/train_deploy/experiment.yaml")
    spec = replace(search.spec, max_trial_count=2, parallel_trial_count=1, max_failed_trial_count=1)
    search = with_environment(replace(search, spec=spec), {"ROWS": str(rows)})
    function = functools.partial(train.trial, rows_path=str(rows))
    found = {}
    for way, trial in (("job", None), ("function", function)):
        tuner.run(search, trial=trial, workdir=tmp_path / way, budget=Budget())
        found[way] = tuner.read(tmp_path / way).trials
    for job, call in zip(found["job"], found["function"], strict=True):
        assert (job.state, call.state) == ("Succeeded", "Succeeded"), job.message
        assert job.parameters == call.parameters
        for left, right in zip(job.observation.metrics, call.observation.metrics, strict=True):
            assert left.name == right.name
            assert float(left.latest) == pytest.approx(float(right.latest), rel=1e-5)
