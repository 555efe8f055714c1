"""Fixtures of the modules that edit a small train-deploy and run it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import small_train
from tests.support.small_project import Project


@pytest.fixture(scope="session")
def small_template(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A compiled project that has not run yet."""
    project = Project(tmp_path_factory.mktemp("impact") / "project")
    project.root.mkdir()
    small_train.write_project(project.root)
    small_train.install_shopmath(project.site, "1.0")
    project.compile()
    return project


@pytest.fixture
def fresh(
    small_template: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Project]:
    project = Project(tmp_path / "project")
    shutil.copytree(small_template.root, project.root)
    path = [str(project.root), str(project.site)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*path, os.environ.get("PYTHONPATH", "")]))
    for entry in reversed(path):
        monkeypatch.syspath_prepend(entry)
    yield project
    for name in [m for m in sys.modules if m.partition(".")[0] == small_train.PACKAGE]:
        del sys.modules[name]


@pytest.fixture
def project(fresh: Project) -> Project:
    fresh.run()
    return fresh
