"""Stored models: checked before any of their code is executed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from platform_ctl.errors import EvidenceMismatch
from platform_ctl.models import mlflow_model
from platform_ctl.models.stored import check_stored
from tests.support import stored_models


@pytest.fixture(autouse=True)
def _no_modules_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("loader_stored", "predictor_stored"):
        sys.modules.pop(name, None)


def test_what_was_registered_passes(tmp_path: Path) -> None:
    check_stored(*stored_models.write(tmp_path / "model"))


@pytest.mark.parametrize("alter", stored_models.ALTERATIONS)
def test_what_was_altered_is_refused(
    tmp_path: Path, alter: Callable[[Path], stored_models.Undo]
) -> None:
    folder, digest = stored_models.write(tmp_path / "model")
    alter(folder)
    with pytest.raises(EvidenceMismatch):
        check_stored(folder, digest)
    assert not (folder / "ran").exists()


def test_a_planted_compiled_file_is_not_what_runs(tmp_path: Path) -> None:
    folder, digest = stored_models.write(tmp_path / "model")
    stored_models.plant_compiled_code(folder)
    check_stored(folder, digest)
    model = mlflow_model.load(folder)
    assert model.predict(pd.DataFrame({"a": [1.0], "b": [2.0]})).tolist() == [3.0]
    assert not (folder / "ran").exists()
