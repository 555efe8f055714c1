"""The committed workflows, unchanged, against a fake KFP API server and a recording ntfy."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.kfp_pipelines import Pipelines, Store
from tests.fakes.kfp_server import FakeKfp, serve
from tests.support.act import FORGES, Forge, Ntfy, ntfy

TOKEN, NTFY_TOKEN = "marked-kfp-token", "marked-ntfy-token"
IMAGE = f"registry.example/platform@sha256:{'a' * 64}"


@dataclass
class Ci:
    forge: Forge
    kfp: FakeKfp
    ntfy: Ntfy

    def push(self, event: str = "push", **variables: str) -> subprocess.CompletedProcess[str]:
        given = {
            "KFP_URL": self.kfp.url,
            "PLATFORM_IMAGE": IMAGE,
            "KFP_TOKEN_REFERENCE": "env:KFP_TOKEN",
            "NTFY_URL": self.ntfy.url,
            **variables,
        }
        secrets = {"KFP_TOKEN": TOKEN, "NTFY_TOKEN": NTFY_TOKEN}
        done = self.forge.event(event, variables=given, secrets=secrets)
        self.check_secrets(done)
        return done

    def check_secrets(self, done: subprocess.CompletedProcess[str]) -> None:
        """A secret is in the Authorization header and nowhere else."""
        said = done.stdout + done.stderr + str([m[2] for m in self.ntfy.messages])
        for request in self.kfp.requests:
            rest = {k: v for k, v in request.headers.items() if k != "authorization"}
            said += f"{request.path}{request.query}{rest}{request.body!r}"
        assert TOKEN not in said and NTFY_TOKEN not in said

    @property
    def names(self) -> list[str]:
        """The project's pipelines."""
        compiled = self.forge.clone.root / "pipelines" / "compiled"
        return sorted(path.stem for path in compiled.glob("*.yaml"))

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.forge.clone.root / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def message(self) -> dict:
        """The only message since the last look."""
        ((_, headers, said),) = self.ntfy.messages
        assert headers["Authorization"] == f"Bearer {NTFY_TOKEN}"
        self.ntfy.messages.clear()
        return said


@pytest.fixture(params=FORGES)
def ci(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ci]:
    with serve(Pipelines(Store()), token=TOKEN) as kfp, ntfy() as recording:
        yield Ci(Forge(tmp_path, request.param), kfp, recording)


def compile_in(ci: Ci) -> None:
    command = str(ci.forge.scratch / "venv" / "bin" / "platform-ctl")
    subprocess.run([command, "pipeline", "compile"], cwd=ci.forge.clone.root, check=True)


def test_a_commit_that_changes_one_pipeline(ci):
    all_of_them = len(ci.names)
    began = time.monotonic()
    first = ci.push()
    assert first.returncode == 0, first.stdout + first.stderr
    assert f"{all_of_them} uploaded, 0 unchanged" in ci.message()["message"]
    ci.edit("pipelines/promote_pipeline.py", "Verify the approval", "Check the approval")
    compile_in(ci)
    ci.forge.clone.commit("2026-02-14T08:00:00Z")
    second = ci.push()
    assert second.returncode == 0, second.stdout + second.stderr
    told = ci.message()
    assert told["message"] == (
        f"shop: {all_of_them} compiled, 1 uploaded, {all_of_them - 1} unchanged, 0 failed"
        " | v20260214-080000"
    )
    assert (told["priority"], told["tags"]) == (3, ["white_check_mark"])
    assert told["topic"] == "gitea-ci" and "/actions/runs/" in told["click"]
    sent = len([r for r in ci.kfp.requests if r.method != "GET"])
    third = ci.push()
    assert third.returncode == 0, third.stdout + third.stderr
    assert f"0 uploaded, {all_of_them} unchanged" in ci.message()["message"]
    assert len([r for r in ci.kfp.requests if r.method != "GET"]) == sent
    assert time.monotonic() - began < 120


def failed(ci: Ci, done: subprocess.CompletedProcess[str]) -> dict:
    assert done.returncode == 1, done.stdout + done.stderr
    told = ci.message()
    assert (told["priority"], told["tags"]) == (4, ["rotating_light"])
    return told


def test_a_pipeline_that_does_not_compile(ci):
    ci.edit("pipelines/promote_pipeline.py", "import", "imprt")
    ci.forge.clone.commit("2026-02-14T08:00:00Z")
    told = failed(ci, ci.push())
    assert f"0 compiled, 0 uploaded, 0 unchanged, {len(ci.names)} failed" in told["message"]
    assert f"failed: {', '.join(ci.names)}" in told["message"]
    assert [r for r in ci.kfp.requests if r.method != "GET"] == []


def test_a_pipeline_that_is_stale(ci):
    ci.edit("pipelines/promote_pipeline.py", "Verify the approval", "Check the approval")
    ci.forge.clone.commit("2026-02-14T08:00:00Z")
    assert "failed: promote" in failed(ci, ci.push())["message"]


def test_a_server_that_is_down(ci):
    told = failed(ci, ci.push(KFP_URL="http://127.0.0.1:1"))
    n = len(ci.names)
    assert f"{n} compiled, 0 uploaded, 0 unchanged, {n} failed" in told["message"]


def test_a_set_up_that_fails(ci):
    ci.forge.set_up("exit 1")
    told = failed(ci, ci.push())
    assert "ended before the pipelines were compiled" in told["message"]
    assert ci.kfp.requests == []


def test_an_ntfy_that_is_down_fails_no_job(ci):
    done = ci.push(NTFY_URL="http://127.0.0.1:1/topic")
    assert done.returncode == 0, done.stdout + done.stderr
    assert ci.ntfy.messages == []


def test_a_pull_request_is_checked_and_told_to_nobody(ci):
    done = ci.push("pull_request")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pipeline compile --check" in done.stdout or "current" in done.stdout
    assert ci.kfp.requests == [] and ci.ntfy.messages == []
