"""``pipeline upload`` as a person and a workflow type it, from a clone with committed pipelines."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.fakes.kfp_pipelines import Pipelines, Store
from tests.fakes.kfp_server import FakeKfp, Fault, serve
from tests.support.uploads import Clone, write_pipeline

CODE = "from platform_ctl.cli.app import main; main()"
SECRET = "the-token-of-this-test"


@dataclass
class Project:
    clone: Clone
    url: str = "http://127.0.0.1:1"
    env: dict[str, str] = field(default_factory=dict)

    def call(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        own = {"PLATFORM_CTL_KUBERNETES__KFP_URL": self.url, "PLATFORM_CTL_TARGET": "kubernetes"}
        return subprocess.run(
            [sys.executable, "-c", CODE, *words],
            cwd=self.clone.root,
            env={**os.environ, **own, **self.env, **env},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def upload(self, *words: str, **env: str) -> dict:
        done = self.call("pipeline", "upload", *(words or ("--all",)), "-o", "json", **env)
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def refused(self, *words: str, code: int, **env: str) -> str:
        done = self.call("pipeline", "upload", *(words or ("--all",)), **env)
        assert done.returncode == code, done.stdout + done.stderr
        lines = done.stderr.strip().splitlines()
        assert [line.split(":")[0] for line in lines] == ["error", "where", "fix", "see"]
        assert "Traceback" not in done.stderr
        return lines[0]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with two compiled pipelines, committed."""
    project = Project(Clone(tmp_path_factory.mktemp("upload") / "clone"))
    for name in ("first", "second"):
        write_pipeline(project.clone, name)
    done = project.call("pipeline", "compile")
    assert done.returncode == 0, done.stderr
    project.clone.commit()
    return project.clone.root


@pytest.fixture
def server() -> Iterator[FakeKfp]:
    with serve(Pipelines(Store())) as running:
        yield running


@pytest.fixture
def project(template: Path, tmp_path: Path, server: FakeKfp) -> Project:
    root = tmp_path / "clone"
    shutil.copytree(template, root)
    clone = Clone.__new__(Clone)
    clone.root = root
    return Project(clone, server.url)


def edit_ir(project: Project, name: str, old: str, new: str) -> None:
    file = project.clone.root / "flows" / "compiled" / f"{name}.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def writes(server: FakeKfp) -> int:
    return len([r for r in server.requests if r.method != "GET"])


def test_first_upload_then_nothing_then_one_of_two(project, server):
    first = project.upload()
    assert (first["compiled"], first["uploaded"], first["unchanged"]) == (2, 2, 0)
    assert first["version"] == "v20260213-143022"
    assert {p["version"] for p in first["pipelines"]} == {"v20260213-143022"}
    sent = writes(server)
    assert project.upload()["unchanged"] == 2
    write_pipeline(project.clone, "first", text="two")
    project.call("pipeline", "compile")
    project.clone.commit("2026-02-14T08:00:00Z")
    second = project.upload()
    assert (second["uploaded"], second["unchanged"]) == (1, 1)
    assert writes(server) == sent + 1


def test_a_dry_run_writes_nothing(project, server):
    told = project.upload("--all", "--dry-run")
    assert told["would_upload"] == 2 and told["uploaded"] == 0
    assert writes(server) == 0


def test_unchanged_pipelines_import_no_kfp_and_take_a_second(project):
    project.upload()
    began = time.monotonic()
    done = project.call("pipeline", "upload", "--all", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    assert time.monotonic() - began < 10
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "kfp_server_api" in imported
    assert not imported & {"kfp", "mlflow", "ray", "torch", "pandas"}


def test_an_uncommitted_pipeline_is_refused(project, server):
    edit_ir(project, "first", "- one", "- two")
    assert "changes that are not committed (err-stale-ir)" in project.refused(code=2)
    project.clone.git("rm", "-q", "--cached", "flows/compiled/first.yaml")
    project.clone.git("commit", "-q", "-m", "Forget it")
    assert "is not committed (err-stale-ir)" in project.refused("first", code=2)
    assert server.requests == []


def test_a_stale_pipeline_is_refused(project, server):
    write_pipeline(project.clone, "first", text="two")
    project.clone.commit()
    assert "not what its source compiles to (err-stale-ir)" in project.refused(code=2)
    assert writes(server) == 0


def test_a_pipeline_that_only_the_sdk_changed_says_so(project):
    edit_ir(project, "first", "sdkVersion: kfp-2.17.0", "sdkVersion: kfp-2.17.9")
    project.clone.commit()
    assert "only sdkVersion and comments differ" in project.refused(code=2)


def test_an_image_without_digest_is_refused_unless_allowed(project):
    image = f"@sha256:{'a' * 64}"
    for name in ("first", "second"):
        edit_ir(project, name, image, ":1")
        write_pipeline(project.clone, name, image="registry.example/platform:1")
    project.call("pipeline", "compile")
    project.clone.commit()
    assert "has no digest" in project.refused(code=2)
    allowed = project.upload(PLATFORM_CTL_KUBERNETES__ALLOW_IMAGE_TAGS="true")
    assert allowed["uploaded"] == 2
    pinned = project.upload(PLATFORM_CTL_KUBERNETES__IMAGE=f"registry.example/p{image}")
    assert pinned["failed_names"] == ["first", "second"]  # one commit, two contents


@pytest.mark.parametrize(
    ("version", "said"),
    [("2.16.0", "no tags on an upload"), ("2.18.0", "is 2.18.0"), ("unknown", "not say")],
)
def test_a_server_of_another_version_is_refused(project, version, said):
    with serve(Pipelines(Store()), version=version) as other:
        project.url = other.url
        message = project.refused(code=3)
        assert said in message and "err-sdk-skew" in message
        assert writes(other) == 0


def test_a_server_that_says_no_version_can_be_told(project):
    with serve(Pipelines(Store()), version="unknown") as other:
        project.url = other.url
        done = project.upload(PLATFORM_CTL_KUBERNETES__KFP_VERSION="2.17.0")
        assert done["uploaded"] == 2


def test_constraints_that_pin_another_kfp_are_refused(project):
    project.clone.write("constraints.txt", "kfp-kubernetes==2.17.0\nkfp==2.17.1\n")
    assert "constraints pin kfp 2.17.1" in project.refused(code=3)


@pytest.mark.parametrize("fault", [Fault(delay_s=20), Fault(drop=True)], ids=["slow", "drops"])
def test_a_server_that_does_not_answer_is_exit_4_by_its_address(project, server, fault):
    server.faults.append(fault)
    began = time.monotonic()
    done = project.call("pipeline", "upload", "--all")
    assert done.returncode == 4
    assert f"where: {server.url}" in done.stderr
    assert time.monotonic() - began < 15


def test_a_server_that_is_down_is_exit_4(project):
    project.url = "http://127.0.0.1:1"
    assert "Connection refused (err-kfp-unavailable)" in project.refused(code=4)


def test_a_token_appears_nowhere_but_in_its_header(project):
    with serve(Pipelines(Store()), token=SECRET) as private:
        project.url = private.url
        reference = {"PLATFORM_CTL_KUBERNETES__KFP_TOKEN": "env:KFP_TOKEN"}
        done = project.call("pipeline", "upload", "--all", **reference, KFP_TOKEN=SECRET)
        assert done.returncode == 0, done.stderr
        assert SECRET not in done.stdout + done.stderr
        for request in private.requests:
            assert request.headers["authorization"] == f"Bearer {SECRET}"
            assert SECRET.encode() not in request.body and SECRET not in str(request.query)
        wrong = project.call("pipeline", "upload", "--all", **reference, KFP_TOKEN="other-secret")
        assert wrong.returncode == 4
        assert "other-secret" not in wrong.stdout + wrong.stderr


def test_a_token_that_is_no_reference_is_refused_without_being_shown(project):
    message = project.refused(code=2, PLATFORM_CTL_KUBERNETES__KFP_TOKEN=SECRET)
    assert "not a reference" in message and SECRET not in message


@pytest.mark.parametrize(
    ("words", "code"), [((), 2), (("first", "--all"), 2), (("frist",), 2)], ids=str
)
def test_words_that_name_no_pipeline(project, words, code):
    done = project.call("pipeline", "upload", *words)
    assert done.returncode == code and "err-u" in done.stderr


def test_a_folder_without_commits_is_named(project):
    shutil.rmtree(project.clone.root / ".git")
    assert "no git clone with a commit" in project.refused(code=3)


def test_a_shallow_clone_that_lacks_the_newest_version_is_refused(project, tmp_path):
    project.upload()
    write_pipeline(project.clone, "first", text="two")
    project.call("pipeline", "compile")
    project.clone.commit("2026-02-14T08:00:00Z")
    shallow = tmp_path / "shallow"
    project.clone.git("clone", "-q", "--depth", "1", f"file://{project.clone.root}", str(shallow))
    project.clone.root = shallow
    assert "err-shallow-clone" in project.refused(code=3)


def test_the_local_target_has_no_versions(project):
    message = project.refused(code=6, PLATFORM_CTL_TARGET="local")
    assert "err-unsupported" in message
