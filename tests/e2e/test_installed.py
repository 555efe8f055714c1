"""An installed wheel, outside of a checkout: a command line, and a project of one's own."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools leaves its own files in the folder."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT).decode().split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            target = folder / "source" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    code = "from setuptools.build_meta import build_wheel; print(build_wheel('..'))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder / "source", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a shell that sees the wheel's files, and no checkout."""
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # The packages that it needs come from this environment, behind it.
    return {**os.environ, "PYTHONPATH": str(site)}


def run(env: dict[str, str], cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    # Without the working folder, and without the checkout that is installed for editing.
    code = "import sys; sys.path = [p for p in sys.path if p]; "
    code += "sys.meta_path = [f for f in sys.meta_path if 'editable' not in f.__module__]; "
    code += "from platform_ctl.cli.app import main; main(sys.argv[1:])"
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_wheel_brings_no_top_level_package_but_its_own(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert {n for n in top if not n.endswith(".dist-info")} == {"platform_ctl"}
    for needed in ("home/migrations/010_runs.sql", "report/style.css", "ui/base.html"):
        assert f"platform_ctl/{needed}" in names


def test_outside_a_project_commands_say_so_in_four_lines(
    installed: dict[str, str], tmp_path: Path
) -> None:
    for words in (("pipeline", "run", "train-deploy"), ("lab", "list")):
        done = run(installed, tmp_path, *words)
        assert done.returncode in (2, 3), done.stderr
        assert "Traceback" not in done.stderr and "fix:" in done.stderr


def test_init_makes_a_project_that_works(installed: dict[str, str], tmp_path: Path) -> None:
    made = run(installed, tmp_path, "init", "mine")
    assert made.returncode == 0, made.stderr
    project = tmp_path / "mine"
    listed = run(installed, project, "pipeline", "list")
    assert "train-deploy" in listed.stdout, listed.stderr
    checked = run(installed, project, "pipeline", "compile", "--check")
    assert checked.returncode == 0, checked.stderr
    ingested = run(installed, project, "data", "ingest", "--sample")
    assert ingested.returncode == 0, ingested.stderr
    assert (project / ".platform" / "iceberg").is_dir()
    again = run(installed, tmp_path, "init", "mine")
    assert again.returncode == 2 and "holds recipes" in again.stderr
