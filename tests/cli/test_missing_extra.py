"""Without the extras every command works or says which one it needs, and how to get it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from platform_ctl.home.extras import KUBERNETES_MODULES, ML_MODULES
from tests.support.commands import ROOT, platform_ctl

BLOCK = """
import sys

BLOCKED = {blocked!r}


class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


sys.meta_path.insert(0, Missing())
"""
WORK = [
    "config show",
    "pipeline list",
    "run list",
    "model list",
    "schedule check",
    "lab list",
]
NEED = [
    "data show",
    "data ingest --sample",
    "pipeline compile --check",
    "pipeline run train-deploy",
    "pipeline impact train-deploy",
    "experiment run recipes/train_deploy/experiment.yaml",
    "--target kubernetes run list",
    "--target kubernetes pipeline upload --all",
]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the packages of the extras cannot be imported."""
    folder = tmp_path_factory.mktemp("bare")
    blocked = sorted(ML_MODULES | KUBERNETES_MODULES)
    (folder / "sitecustomize.py").write_text(BLOCK.format(blocked=blocked))
    image = f"registry.example/platform@sha256:{'a' * 64}"
    return {
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        "PLATFORM_CTL_KUBERNETES__IMAGE": image,
    }


@pytest.mark.parametrize("words", WORK)
def test_what_needs_none_works(bare: dict[str, str], tmp_path: Path, words: str) -> None:
    done = platform_ctl(tmp_path, *words.split(), **bare)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", NEED)
def test_what_needs_one_says_so(bare: dict[str, str], tmp_path: Path, words: str) -> None:
    done = platform_ctl(tmp_path, *words.split(), **bare)
    if words.endswith("upload --all") and "err-stale-ir" in done.stderr:
        pytest.skip("the compiled pipelines of this checkout are not committed")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "(err-missing-extra)" in done.stderr and "pip install 'platform-ctl[" in done.stderr
    assert "Traceback" not in done.stderr
