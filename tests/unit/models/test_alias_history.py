"""Whose aliases the record of moves in a home is about."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from platform_ctl import targets
from platform_ctl.models.history import AliasHistory
from platform_ctl.models.model import AliasMove
from platform_ctl.settings import Settings

MOVE = AliasMove(0, "m", "staging", "", "1", "2026-01-05T00:00:00+00:00", "me", "why", "", "")


def settings(home: Path, uri: str = "") -> Settings:
    return msgspec.structs.replace(Settings(), home=str(home), mlflow_tracking_uri=uri)


def moved_in(home: Path, registry: str) -> None:
    AliasHistory(settings(home).layout.database, registry).append([MOVE])


@pytest.mark.parametrize(
    ("recorded", "uri", "says"),
    [
        ("", "", ""),
        ("", "http://mlflow:5000", "stages and history of this home are of its own MLflow"),
        ("http://mlflow:5000", "", "models are read from the MLflow of this home"),
        ("http://mlflow:5000", "http://me:secret@mlflow:5000", ""),
    ],
)
def test_a_home_whose_registry_changed_says_so(
    tmp_path: Path, recorded: str, uri: str, says: str
) -> None:
    moved_in(tmp_path / "home", recorded)
    found = targets.registry_changed(settings(tmp_path / "home", uri))
    assert says in found and bool(says) == bool(found) and "secret" not in found


def test_the_first_registry_stays_on_record(tmp_path: Path) -> None:
    moved_in(tmp_path / "home", "")
    moved_in(tmp_path / "home", "http://mlflow:5000")
    assert targets.registry_changed(settings(tmp_path / "home", "http://mlflow:5000"))


def test_a_home_without_models_says_nothing(tmp_path: Path) -> None:
    assert targets.registry_changed(settings(tmp_path / "home", "http://mlflow:5000")) == ""
    assert not (tmp_path / "home").exists()
