"""Shared by the suites of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import orchestration


@pytest.fixture(scope="session")
def compiled_pipelines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """IR and oracle of ``tests.support.kfp_pipelines``; compiled once."""
    return orchestration.build(tmp_path_factory.mktemp("ir"))


@pytest.fixture
def lab(compiled_pipelines: Path, tmp_path: Path) -> orchestration.Lab:
    return orchestration.Lab(compiled_pipelines, tmp_path / "home")
