"""Uploads over the wire: against the fake, and the real KFP of PLATFORM_TEST_KFP_URL."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from platform_ctl.cluster.kfp import Kfp
from platform_ctl.errors import KfpUnavailable, UploadFailed, VersionConflict
from platform_ctl.upload import preflight
from platform_ctl.upload.candidate import SourceCommit, UploadCandidate
from platform_ctl.upload.kfp import KfpPipelines
from platform_ctl.upload.marks import read
from platform_ctl.upload.port import NameTaken, Rejected
from platform_ctl.upload.upload import Uploader, UploadResult, UploadState
from tests.fakes.kfp_pipelines import Pipelines, Store
from tests.fakes.kfp_server import INTERNAL, UNAVAILABLE, FakeKfp, Fault, serve
from tests.support import cluster
from tests.support.uploads import EPOCH, OTHER_IMAGE, Line, commit, made

A, B, C = commit("a"), commit("b", EPOCH + 30), commit("c", EPOCH + 60)
SAME_SECOND = commit("d", EPOCH + 30)


@dataclass
class Server:
    """An API server and a pipeline name that nobody uses."""

    url: str
    name: str
    fake: FakeKfp | None = None
    store: Store | None = None

    @property
    def port(self) -> KfpPipelines:
        port = KfpPipelines(Kfp(self.url), "team")
        port.health()
        return port

    def made(self, source: SourceCommit, **words) -> UploadCandidate:
        return made(source, name=self.name, **words)

    def upload(self, source: SourceCommit, *history: SourceCommit, **words) -> UploadResult:
        """One upload; ``history`` is what the clone holds, oldest first."""
        line = Line(*(history or (source,)))
        return Uploader(self.port, line).upload_all([self.made(source, **words)])[0]

    def writes(self) -> list[str]:
        assert self.fake
        return [f"{r.method} {r.path}" for r in self.fake.requests if r.method != "GET"]


@pytest.fixture(params=["fake", pytest.param("kfp", marks=cluster.needs_kfp)])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    name = f"upload-test-{uuid.uuid4().hex[:8]}"
    if request.param == "fake":
        store = Store()
        with serve(Pipelines(store)) as fake:
            yield Server(fake.url, name, fake, store)
        return
    found = Server(os.environ[cluster.KFP_URL], name)
    yield found
    _remove(found)


@pytest.fixture
def fake() -> Iterator[Server]:
    store = Store()
    with serve(Pipelines(store)) as running:
        yield Server(running.url, "demo", running, store)


def _remove(server: Server) -> None:
    connection = Kfp(server.url)
    port = server.port
    if pipeline_id := port.find(server.name):
        for version in port.newest(pipeline_id):
            port.delete(pipeline_id, version.id)
        connection.call(connection.pipelines.pipeline_service_delete_pipeline, pipeline_id)


def test_first_version_of_a_new_pipeline_has_a_versions_name(server):
    done = server.upload(A)
    assert (done.state, done.version) == (UploadState.UPLOADED, server.made(A).marks.name)
    (version,) = server.port.newest(server.port.find(server.name))
    assert version.name == done.version
    assert version.tags == server.made(A).marks.tags()
    assert read(version.description) == server.made(A).marks


def test_the_same_again_sends_nothing(server):
    first = server.upload(A)
    before = len(server.writes()) if server.fake else 0
    again = server.upload(A)
    later = server.upload(B, A, B)
    assert (again.state, again.version_id) == (UploadState.UNCHANGED, first.version_id)
    assert (later.state, later.version_id) == (UploadState.UNCHANGED, first.version_id)
    if server.fake:
        assert len(server.writes()) == before


def test_an_update_of_the_sdk_alone_uploads_nothing(server):
    server.upload(A)
    done = server.upload(B, A, B, sdk="kfp-2.17.9")
    assert done.state is UploadState.UNCHANGED
    assert done.notes == ("only sdkVersion and comments differ",)


def test_a_change_and_its_revert_are_versions(server):
    server.upload(A)
    changed = server.upload(B, A, B, text="two")
    reverted = server.upload(C, A, B, C)
    assert [changed.state, reverted.state] == [UploadState.UPLOADED, UploadState.UPLOADED]
    port = server.port
    newest = [v.name for v in port.newest(port.find(server.name))]
    assert newest[0] == reverted.version


def test_another_image_is_a_version(server):
    server.upload(A, committed_image="python-recipe:1")
    done = server.upload(B, A, B, committed_image="python-recipe:1", image=OTHER_IMAGE)
    assert done.state is UploadState.UPLOADED


def test_an_older_commit_does_not_become_the_latest(server):
    server.upload(B, A, B)
    done = server.upload(A, A, B, text="two")
    assert (done.state, done.notes) == (UploadState.SUPERSEDED, ("commit bbbbbbb is newer",))


def test_two_commits_of_one_second_have_names_of_their_own(server):
    first = server.upload(B)
    second = server.upload(SAME_SECOND, B, SAME_SECOND, text="two")
    assert second.version == f"{first.version}-ddddddd"


def test_one_commit_with_two_contents_is_a_conflict_with_both_digests(server):
    server.upload(A)
    done = server.upload(A, text="two")
    assert isinstance(done.error, VersionConflict)
    for text in ("one", "two"):
        assert server.made(A, text=text).marks.ir in done.error.what


def test_missing_tags_are_written_by_the_next_upload(server):
    server.upload(A)
    port = server.port
    pipeline_id = port.find(server.name)
    port.tag(pipeline_id, port.newest(pipeline_id)[0].id, {"team": "shop"})
    assert server.upload(A).state is UploadState.UNCHANGED
    tags = port.newest(pipeline_id)[0].tags
    assert tags == {"team": "shop", **server.made(A).marks.tags()}


def test_a_pipeline_without_versions_gets_its_first(server):
    server.port.create(server.name, "interrupted")
    assert server.upload(A).state is UploadState.UPLOADED


def test_a_taken_name_is_a_refusal_of_its_own(server):
    port, mine = server.port, server.made(A)
    pipeline_id = port.create(server.name, "")
    port.upload(pipeline_id, "v1", mine.content, mine.marks)
    with pytest.raises(NameTaken):
        port.upload(pipeline_id, "v1", mine.content, mine.marks)
    with pytest.raises(NameTaken):
        port.create(server.name, "")
    assert [v.name for v in port.named(pipeline_id, ["v1", "v2"])] == ["v1"]


def test_more_than_32_mib_is_refused(server):
    port, mine = server.port, server.made(A)
    pipeline_id = port.create(server.name, "")
    content = mine.content + b"#" * (preflight.MAX_BYTES + 1 - len(mine.content))
    with pytest.raises(Rejected) as caught:
        port.upload(pipeline_id, "large", content, mine.marks)
    assert caught.value.status == 400
    port.upload(pipeline_id, "small", mine.content, mine.marks)


def test_tags_beyond_the_limits_are_refused(server):
    port, mine = server.port, server.made(A)
    pipeline_id = port.create(server.name, "")
    version = port.upload(pipeline_id, "v1", mine.content, mine.marks)
    for tags in ({"sha": "1" * 64}, {"a.b": "c"}, {str(n): "x" for n in range(21)}):
        with pytest.raises(Rejected):
            port.tag(pipeline_id, version.id, tags)


def test_deleting_what_is_gone_is_no_error(server):
    done = server.upload(A)
    for _ in range(2):
        server.port.delete(done.pipeline_id, done.version_id)
    assert server.upload(A).state is UploadState.UPLOADED


def test_a_version_has_a_second_of_its_own(server):
    for number, source in enumerate((A, B, C)):
        server.upload(source, A, B, C, text=str(number))
    port = server.port
    times = [v.created_at_s for v in port.newest(port.find(server.name))]
    assert times == sorted(set(times), reverse=True)


@pytest.mark.skipif(cluster.IMAGE not in os.environ, reason="no image that a pod could run")
@pytest.mark.cluster
def test_an_uploaded_version_runs():
    if cluster.KFP_URL not in os.environ:
        pytest.skip(f"{cluster.KFP_URL} names no KFP API server")
    import kfp_server_api

    server = Server(os.environ[cluster.KFP_URL], f"upload-test-{uuid.uuid4().hex[:8]}")
    try:
        done = server.upload(A, image="", committed_image=os.environ[cluster.IMAGE])
        connection = Kfp(server.url)
        body = kfp_server_api.V2beta1Run(
            display_name=server.name,
            pipeline_version_reference=kfp_server_api.V2beta1PipelineVersionReference(
                pipeline_id=done.pipeline_id, pipeline_version_id=done.version_id
            ),
        )
        run = connection.call(connection.runs.run_service_create_run, body)
        deadline = time.monotonic() + 240
        while run.state not in ("SUCCEEDED", "FAILED") and time.monotonic() < deadline:
            time.sleep(2)
            run = connection.call(connection.runs.run_service_get_run, run.run_id)
        assert run.state == "SUCCEEDED"
    finally:
        _remove(server)


# ---- faults, which only the fake has -------------------------------------


def test_a_failure_after_the_work_was_done_is_no_failure(fake):
    fake.fake.faults.append(Fault("POST", "upload_version", INTERNAL, after_commit=True, times=1))
    assert fake.upload(A).state is UploadState.UPLOADED


def test_a_failure_before_the_work_is_named_and_the_next_upload_does_it(fake):
    fake.fake.faults.append(Fault("POST", "upload_version", INTERNAL, times=1))
    done = fake.upload(A)
    assert isinstance(done.error, UploadFailed)
    assert done.error.exit_code == 5
    assert fake.upload(A).state is UploadState.UPLOADED


def test_a_version_left_in_creating_costs_its_name(fake):
    fake.store.leave_creating = 1
    assert isinstance(fake.upload(A).error, UploadFailed)
    done = fake.upload(A)
    assert (done.state, done.version) == (UploadState.UPLOADED, made(A).marks.suffixed_name)
    assert "was never finished" in done.notes[0]


def test_a_pipeline_left_in_creating_is_named(fake):
    fake.store.create("demo").ready = False
    assert "that no list shows" in fake.upload(A).error.what


def test_a_pipeline_made_by_another_upload_meanwhile_is_used(fake):
    fake.fake.faults.append(Fault("POST", "/pipelines$", INTERNAL, after_commit=True, times=1))
    assert fake.upload(A).state is UploadState.UPLOADED


def test_without_permission_the_message_names_permission_beside_content(fake):
    fake.store.refuse_writes = True
    error = fake.upload(A).error
    assert "Failed to create a pipeline" in error.what
    assert "may not create" in error.what and "content" in error.what


def test_one_that_fails_stops_no_other(fake):
    fake.fake.faults.append(Fault("POST", "upload_version", INTERNAL, times=1))
    both = [made(A, name="one"), made(A, name="two")]
    results = Uploader(fake.port, Line(A)).upload_all(both)
    assert [r.state for r in results] == [UploadState.FAILED, UploadState.UPLOADED]


@pytest.mark.parametrize(
    "fault", [Fault(code=UNAVAILABLE), Fault(drop=True), Fault(delay_s=30)], ids=str
)
def test_a_server_that_goes_away_fails_the_rest_by_its_address(fake, fault):
    port = KfpPipelines(Kfp(fake.url, timeout_s=0.5))
    fake.fake.faults.append(fault)
    began = time.monotonic()
    results = Uploader(port, Line(A)).upload_all([made(A, name="one"), made(A, name="two")])
    assert time.monotonic() - began < 10
    assert all(isinstance(r.error, KfpUnavailable) for r in results)
    assert results[0].error.where == fake.url


def test_a_token_is_sent_and_a_wrong_one_is_exit_4():
    with serve(Pipelines(Store()), token="right") as running:
        Kfp(running.url, token="right").health()
        with pytest.raises(KfpUnavailable) as caught:
            Kfp(running.url, token="wrong-secret").health()
    assert "401" in caught.value.what and "wrong-secret" not in str(caught.value.as_dict())


def test_in_multi_user_mode_requests_name_the_namespace():
    with serve(Pipelines(Store()), multi_user=True) as running:
        Server(running.url, "demo").upload(A)
        asked = [r.query.get("namespace") for r in running.requests if "/names/" in r.path]
    assert set(asked) == {"team"}


def test_health_without_a_version():
    with serve(version="unknown") as running:
        assert Kfp(running.url).health().version == ""


def test_times_are_utc():
    assert made(A).marks.committed_at == datetime.fromtimestamp(EPOCH, UTC)
