"""Revisions of a real service: the split, and that production survives whatever a canary does."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from platform_ctl.errors import EvidenceMismatch, NothingYet, PortInUse, ServiceUnavailable
from platform_ctl.serving.local.records import Running, ServiceFiles, read_json
from platform_ctl.serving.service import Revision, ServiceSpec, ServiceState
from tests.support import serving, stored_models
from tests.support.waiting import eventually

V1 = "/v1/models/stub:predict"
BODY = {"instances": [[1, 2]]}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("revisions")


@pytest.fixture(scope="module")
def local(home):
    local = serving.local_serving(home, memory_bytes=600 * 2**20)
    yield local
    for service in local.list():
        local.stop(service.name)


@pytest.fixture(scope="module")
def models(home):
    def model(name, **config):
        path = home / "models" / name
        return serving.revision(path if path.exists() else serving.save_model(path, **config))

    return model


@pytest.fixture
def good(models):
    return models("good")


@pytest.fixture
def service(local, good):
    """Only ``good`` in production, whatever the test before left behind."""
    return local.apply("stub", ServiceSpec(good))


def ask(url, key=None, *, revision=None, timeout=10.0):
    headers = {"content-type": "application/json"}
    headers |= {"x-request-key": key} if key else {}
    headers |= {"x-platform-revision": revision} if revision else {}
    return serving.post(url, V1, BODY, headers=headers, timeout=timeout)


def test_the_split_is_weighted_and_sticky(local, service, good, models):
    local.apply("stub", ServiceSpec(good, models("better", bias=10.0), 25))
    keys = [f"caller-{i}" for i in range(400)]
    first = [ask(service.url, k)[1]["x-served-by"] for k in keys]
    again = [ask(service.url, k)[1]["x-served-by"] for k in keys]
    assert first == again
    assert 70 <= first.count("better") <= 130  # 100 expected, sd 8.7
    local.apply("stub", ServiceSpec(good, models("better"), 50))
    more = [ask(service.url, k)[1]["x-served-by"] for k in keys]
    assert 160 <= more.count("better") <= 240
    assert all(m == "better" for f, m in zip(first, more, strict=True) if f == "better")
    # Without a key, the same question goes the same way.
    assert len({ask(service.url)[1]["x-served-by"] for _ in range(5)}) == 1
    assert ask(service.url, revision="canary")[2] == {"predictions": [15.0]}
    assert ask(service.url, revision="production")[2] == {"predictions": [5.0]}


def test_a_caller_cannot_pass_for_production_asking_the_canary(local, service, good, models):
    since = time.time()
    local.apply("stub", ServiceSpec(good, models("better", bias=10.0), 100))
    headers = {"content-type": "application/json", "x-platform-hop": "1", "x-request-key": "k"}
    assert serving.post(service.url, V1, BODY, headers=headers)[2] == {"predictions": [15.0]}
    seen = eventually(lambda: local.observations("stub", since=since))
    assert [(o.revision, o.key, o.predictions) for o in seen] == [("better", "k", [15.0])]


def test_the_address_tells_the_metrics_of_both_revisions(local, service, good, models):
    local.apply("stub", ServiceSpec(good, models("better", bias=10.0), 50))
    for revision in ("production", "canary"):
        assert ask(service.url, revision=revision)[0] == 200
    serving.post(service.url, V1, {}, headers={"x-platform-revision": "canary"})
    local.apply("stub", ServiceSpec(good, models("bad-error", **{"raise": True}), 50))
    assert ask(service.url, revision="canary")[0] == 200  # production stood in
    with urllib.request.urlopen(f"{service.url}/metrics") as answer:
        told = answer.read().decode()
    for revision, code in (("good", 200), ("better", 200), ("better", 400), ("bad-error", 500)):
        labels = f'code="{code}",revision="{revision}",service="stub"'
        assert f"inference_requests_total{{{labels}}}" in told
    assert 'inference_request_seconds_count{revision="better",service="stub"}' in told


def wait_for_answers(local, revision, *, since, count, failed=False):
    def enough():
        seen = local.observations("stub", since=since)
        found = [o for o in seen if o.revision == revision.name and bool(o.failure) == failed]
        return len(found) >= count

    eventually(enough, seconds=60)


def test_no_request_fails_through_weights_promote_and_rollback(local, service, good, models):
    better = models("better", bias=10.0)
    with serving.steady_load(service.url, seconds=200) as report:
        splits = [ServiceSpec(good, better, weight) for weight in (10, 50, 100)]
        for spec in (*splits, ServiceSpec(better), ServiceSpec(good)):
            since = time.time()
            local.apply("stub", spec)
            busiest = spec.canary if spec.weight_percent == 100 else spec.production
            wait_for_answers(local, busiest, since=since, count=20)
        local.apply("stub", ServiceSpec(good, better, 50))
        local.apply("stub", ServiceSpec(good))
    assert report["failures"] == []
    assert report["answers"]["200 good"] > 50 and report["answers"]["200 better"] > 50


@pytest.mark.parametrize(
    ("fault", "config"),
    [
        ("crash", {"crash": True}),
        ("hang", {"sleep_s": 30.0}),
        ("memory", {"eat_bytes": 40 * 2**20}),
        ("error", {"raise": True}),
    ],
)
def test_a_bad_canary_never_hurts_a_caller(local, service, good, models, fault, config):
    since = time.time()
    bad = models(f"bad-{fault}", **config)
    local.apply("stub", ServiceSpec(good, bad, 30))
    with serving.steady_load(service.url, seconds=200, rate=60) as report:
        wait_for_answers(local, bad, since=since, count=3, failed=True)
        wait_for_answers(local, good, since=since, count=50)
        if fault == "memory":
            told = eventually(lambda: local.get("stub").revision(bad.name).last_failure, seconds=60)
            assert "MiB" in told
    assert report["failures"] == []
    assert report["answers"].get("200 good", 0) >= 50
    local.apply("stub", ServiceSpec(good))
    assert local.get("stub").state is ServiceState.RUNNING


def test_a_revision_that_does_not_start_changes_nothing(local, service, good, home):
    broken = serving.save_model(home / "models" / f"broken-{time.time_ns()}")
    (broken / "MLmodel").write_text("flavors: {}")
    with pytest.raises(ServiceUnavailable, match="ended with code"):
        local.apply("stub", ServiceSpec(good, serving.revision(broken), 10))
    assert local.get("stub").spec == ServiceSpec(good)
    assert ask(service.url)[0] == 200


def test_a_canary_that_does_not_start_again_keeps_production_from_nobody(
    local, service, good, home
):
    lost = serving.save_model(home / "models" / f"lost-{time.time_ns()}")
    local.apply("stub", ServiceSpec(good, serving.revision(lost), 10))
    local.stop("stub")
    shutil.rmtree(lost)
    assert local.start("stub").spec == ServiceSpec(good)
    assert ask(service.url)[0] == 200


def test_a_crashed_production_is_restarted(local, service):
    os.kill(service.revisions[0].pid, signal.SIGKILL)
    # Meanwhile callers wait in the listening socket's queue; they are not refused.
    assert ask(service.url, timeout=20.0)[0] == 200
    status = eventually(lambda: local.get("stub").revisions[0].ready and local.get("stub"))
    assert status.revisions[0].restarts == 1


@pytest.fixture
def both(local, good, models):
    """A canary beside production."""
    return local.apply("stub", ServiceSpec(good, models("better", bias=10.0), 40))


def assert_replaced(local, before):
    """Every process is another one, at the same address and with the same split."""
    after = local.get("stub")
    assert (after.url, after.spec, after.state) == (before.url, before.spec, ServiceState.RUNNING)
    assert after.pid != before.pid
    pids = [before.pid, *(r.pid for r in before.revisions)]
    eventually(lambda: not any(_alive(p) for p in pids), seconds=20)
    assert ask(after.url, revision="canary")[2] == {"predictions": [15.0]}


def test_a_restart_fails_no_request(local, both):
    with serving.steady_load(both.url, seconds=200) as report:
        eventually(lambda: local.observations("stub", since=0))
        local.start("stub", anew=True)
        assert_replaced(local, both)
    assert report["failures"] == []


def test_after_kill_nine_of_the_supervisor_a_successor_comes_and_no_request_fails(local, both):
    since = time.time()
    with serving.steady_load(both.url, seconds=200) as report:
        os.kill(both.pid, signal.SIGKILL)
        assert local.start("stub").pid != both.pid  # waits for it, and starts no second one
        assert_replaced(local, both)
    assert report["failures"] == []
    asked = [o for o in local.observations("stub", since=since) if o.revision == "better"]
    assert asked and not [o.failure for o in asked if o.failure]  # no fault of the canary


def test_what_a_library_sets_in_its_process_stays_there(local, service, models):
    """Feast's import sets PROMETHEUS_MULTIPROC_DIR: a successor that inherits it answers 500."""
    polluted = local.apply(
        "stub", ServiceSpec(models("polluted", bias=10.0, sets_environment=True))
    )
    with serving.steady_load(polluted.url, seconds=200) as report:
        os.kill(polluted.pid, signal.SIGKILL)
        now = eventually(lambda: (s := local.get("stub")).pid != polluted.pid and s)
        assert_replaced(local, polluted)
        for pid in (now.pid, *(r.pid for r in local.get("stub").revisions)):
            inherited = psutil.Process(pid).environ()
            assert not [n for n in inherited if "PROMETHEUS" in n or "LIBRARY" in n]
        local.start("stub", anew=True)
        assert ask(polluted.url)[0] == 200
    assert report["failures"] == []


def test_a_restart_whose_command_was_killed_leaves_one_supervisor(local, both):
    record = ServiceFiles(local._dir / "stub").running
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(read_json(record, Running).socket)
        control.sendall(b'{"verb": "restart"}\n')
    eventually(lambda: not _alive(both.pid), seconds=60)
    assert_replaced(local, both)
    local.stop("stub")
    assert not _answers(both.url)
    local.start("stub")


def test_a_stopped_supervisor_is_named_and_nothing_waits_for_it(local, both):
    psutil.Process(both.pid).suspend()
    try:
        (seen,) = [s for s in local.list() if s.name == "stub"]
        assert (seen.state, seen.pid) == (ServiceState.UNKNOWN, both.pid)
        assert "does not answer" in seen.revisions[0].last_failure
        with pytest.raises(ServiceUnavailable, match="does not answer: nothing in"):
            local.start("stub", anew=True)
        assert ask(both.url)[0] == 200
    finally:
        psutil.Process(both.pid).resume()
    assert local.get("stub").state is ServiceState.RUNNING


def test_a_service_that_answers_errors_is_degraded(local, service, models):
    local.apply("stub", ServiceSpec(models("ill", healthy_calls=1, **{"raise": True})))
    assert ask(service.url)[0] == 200
    assert [ask(service.url)[0] for _ in range(6)] == [500] * 6
    seen = eventually(
        lambda: (s := local.get("stub")).state is ServiceState.DEGRADED and s, seconds=20
    )
    assert "ended in an error" in seen.revisions[0].last_failure


def test_altered_bytes_are_refused_before_they_run(tmp_path):
    local = serving.local_serving(tmp_path / "home")
    folder, digest = stored_models.write(tmp_path / "model")
    stored = local.apply("stored", ServiceSpec(Revision("stored", str(folder), "1", digest)))
    path = "/v1/models/stored:predict"
    assert serving.post(stored.url, path, BODY)[2] == {"predictions": [3.0]}
    for alter in stored_models.ALTERATIONS:
        undo = alter(folder)
        with pytest.raises(EvidenceMismatch):
            local.start("stored", anew=True)
        assert not (folder / "ran").exists()
        assert serving.post(stored.url, path, BODY)[0] == 200  # what was loaded before
        undo()
    local.stop("stored")


def test_kill_nine_of_the_successor_as_well(local, both):
    record = ServiceFiles(local._dir / "stub").running
    with serving.steady_load(both.url, seconds=200) as report:
        os.kill(both.pid, signal.SIGKILL)
        successor = eventually(
            lambda: (r := read_json(record, Running)).supervisor.pid != both.pid and r.supervisor
        )
        os.kill(successor.pid, signal.SIGKILL)
        assert local.get("stub").pid not in (both.pid, successor.pid)
        assert_replaced(local, both)
    assert report["failures"] == []


def test_what_a_model_leaves_in_its_environment_reaches_no_successor(local, service, home):
    """Feast sets PROMETHEUS_MULTIPROC_DIR at import and removes the folder at its end."""
    polluting = serving.save_model(home / "models" / "polluting", pollute=True)
    before = local.apply("stub", ServiceSpec(serving.revision(polluting)))
    for _ in range(2):
        os.kill(before.pid, signal.SIGKILL)
        after = local.start("stub")
        assert after.pid != before.pid and after.state is ServiceState.RUNNING
        for pid in (after.pid, *(r.pid for r in local.get("stub").revisions)):
            assert "SOME_LIBRARY_WAS_HERE" not in psutil.Process(pid).environ()
        assert ask(after.url)[0] == 200
        before = local.start("stub", anew=True)
        assert ask(before.url)[0] == 200


def test_a_restart_that_fails_leaves_the_service_as_it_was(local, service, good, home):
    lost = serving.save_model(home / "models" / f"gone-{time.time_ns()}")
    before = local.apply("stub", ServiceSpec(serving.revision(lost)))
    shutil.rmtree(lost)
    with pytest.raises(ServiceUnavailable, match="ended with code"):
        local.start("stub", anew=True)
    after = local.get("stub")
    assert (after.pid, after.spec, after.state) == (before.pid, before.spec, before.state)
    assert after.revisions[0].pid == before.revisions[0].pid
    assert ask(before.url)[0] == 200
    local.apply("stub", ServiceSpec(good))


def test_kill_nine_of_every_process_and_start_restores(local, both):
    for pid in (both.pid, *(r.pid for r in both.revisions)):
        psutil.Process(pid).suspend()  # so that nobody can react before all are killed
    for pid in (both.pid, *(r.pid for r in both.revisions)):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: local.get("stub").state is ServiceState.STOPPED)
    assert [s.state for s in local.list()] == [ServiceState.STOPPED]
    started = local.start("stub")
    assert_replaced(local, both)
    assert local.start("stub").pid == started.pid  # again: nothing happens


def test_a_long_home_path_leaves_nothing_in_the_temporary_folder(tmp_path, good, monkeypatch):
    temporary = Path(tempfile.mkdtemp(dir="/tmp"))  # pytest's own is long, too
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    elsewhere = serving.local_serving(tmp_path / ("long-" * 20))
    url = elsewhere.apply("stub", ServiceSpec(good)).url
    assert ask(url)[0] == 200 and len(list(temporary.glob("platform-ctl-*"))) == 1
    elsewhere.start("stub", anew=True)
    elsewhere.stop("stub")
    temporary.rmdir()  # empty


def test_a_busy_port_is_named(local, service, good):
    port = int(service.url.rsplit(":", 1)[1])
    local.stop("stub")
    running = read_json(ServiceFiles(local._dir / "stub").running, Running)
    assert running is None
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(PortInUse, match=str(port)):
            local.start("stub")
        assert local.get("stub").state is ServiceState.STOPPED
    assert local.start("stub").url == service.url


def test_without_production_only_probes_are_answered(local, good):
    fresh = local.apply("fresh", ServiceSpec(None, good))
    path = "/v1/models/fresh:predict"
    status, _, answer = serving.post(fresh.url, path, BODY)
    assert (status, "no production" in answer["error"]) == (503, True)
    headers = {"x-platform-revision": "canary"}
    assert serving.post(fresh.url, path, BODY, headers=headers)[0] == 200
    local.apply("fresh", ServiceSpec(good))
    assert serving.post(fresh.url, path, BODY)[0] == 200
    local.stop("fresh")


def test_a_deleted_home_ends_its_supervisor(tmp_path, good):
    elsewhere = serving.local_serving(tmp_path / "gone")
    status = elsewhere.apply("stub", ServiceSpec(good))
    shutil.rmtree(tmp_path / "gone")
    pids = [status.pid, *(r.pid for r in status.revisions)]
    eventually(lambda: not any(_alive(p) for p in pids), seconds=20)


def _answers(url):
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", int(url.rsplit(":", 1)[1]))) == 0


def _alive(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_name_is_asked_for_where_there_is_no_service_yet(tmp_path):
    with pytest.raises(NothingYet, match="nope"):
        serving.local_serving(tmp_path).start("nope")
