"""Artifacts of runs by URI: on this machine, and in an object store."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from platform_ctl.errors import MissingExtra, StoreUnavailable
from platform_ctl.runs.kubernetes.artifacts import StoreArtifacts
from platform_ctl.runs.local.artifacts import LocalArtifacts
from platform_ctl.runs.port import Artifacts

Put = Callable[[str, bytes], str]


@pytest.fixture(params=["local", "store"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Artifacts, Put]:
    """The port, and what writes an object below a fresh root and gives its URI."""
    artifacts: Artifacts = LocalArtifacts() if request.param == "local" else StoreArtifacts()
    root = str(tmp_path) if request.param == "local" else f"memory://{uuid.uuid4().hex}"

    def put(name: str, content: bytes) -> str:
        system, path = fsspec.core.url_to_fs(f"{root}/{name}")
        system.makedirs(path.rpartition("/")[0], exist_ok=True)
        system.pipe_file(path, content)
        return f"{root}/{name}"

    return artifacts, put


def test_a_file_is_fetched(target):
    artifacts, put = target
    path = artifacts.fetch(put("metrics", b"{}"))
    assert path.read_bytes() == b"{}" and path.name == "metrics"


def test_a_folder_is_fetched_whole_and_in_part(target):
    artifacts, put = target
    uri = put("evaluation/evaluation.json", b"1").rpartition("/")[0]
    put("evaluation/deep/rows", b"2")
    assert artifacts.fetch(uri, "evaluation.json").read_bytes() == b"1"
    folder = artifacts.fetch(uri)
    assert (folder / "evaluation.json").read_bytes() == b"1"
    assert (folder / "deep" / "rows").read_bytes() == b"2"


def test_what_is_gone_is_none(target):
    artifacts, put = target
    uri = put("there", b"")
    assert artifacts.fetch(f"{uri}-not") is None
    assert artifacts.fetch(f"{uri}-not", "evaluation.json") is None


def test_a_store_that_does_not_answer_is_no_artifact_that_is_gone(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with pytest.raises((StoreUnavailable, MissingExtra)):
        StoreArtifacts().fetch("minio://bucket/run/task/output")
