"""One suite for every serving: a fake, processes of this machine, predictors of a cluster."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from platform_ctl.errors import EvidenceMismatch, NothingYet, UnknownName, UsageError
from platform_ctl.serving.port import Serving
from platform_ctl.serving.service import Revision, ServiceSpec, ServiceState
from tests.fakes.serving import FakeServing
from tests.support import cluster, gateway, serving, stored_models
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def models(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that pods of the cluster see as well: one of the checkout, when there is one."""
    if os.environ.get(cluster.IMAGE):
        folder = serving.ROOT / ".platform" / f"test-models-{os.getpid()}"
        folder.mkdir(parents=True)
        request.addfinalizer(lambda: stored_models.remove(folder))
        return folder
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def old(models: Path) -> Revision:
    return _revision(models / "old", 1.0)


@pytest.fixture(scope="module")
def new(models: Path) -> Revision:
    return _revision(models / "new", 2.0)


@pytest.fixture(scope="module")
def bad(models: Path) -> Revision:
    revision = _revision(models / "bad", 3.0)
    stored_models.append_to_the_code(Path(revision.model_dir))
    return revision


def _revision(folder: Path, factor: float) -> Revision:
    path, digest = stored_models.write(folder, factor=factor)
    return Revision(folder.name, str(path), "1", digest)


@pytest.fixture(
    scope="module",
    params=["fake", "local", pytest.param("kubernetes", marks=cluster.needs_image)],
)
def port(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    if request.param == "fake":
        yield FakeServing(altered=["bad"])
    elif request.param == "local":
        local = serving.local_serving(tmp_path_factory.mktemp("serving"))
        yield local
        for service in local.list():
            local.stop(service.name)
    else:
        with cluster.own_namespace("serving") as connection:
            yield gateway.on_cluster(connection)


def test_before_the_first_service_there_is_none(port: Serving) -> None:
    assert list(port.list()) == []
    with pytest.raises(NothingYet):
        port.get("shop")


def test_a_canary_takes_its_share_and_a_promotion_ends_it(
    port: Serving, old: Revision, new: Revision
) -> None:
    started = time.time()
    assert port.apply("shop", ServiceSpec(old)).state is ServiceState.RUNNING
    split = port.apply("shop", ServiceSpec(old, new, 50))
    assert [(r.name, r.role, r.ready) for r in split.revisions] == [
        ("old", "production", True),
        ("new", "canary", True),
    ]
    if not isinstance(port, FakeServing):
        assert eventually(lambda: gateway.ask(port.get("shop"), revision="canary") == (200, "new"))
        assert gateway.ask(port.get("shop"), revision="production") == (200, "old")
        seen = eventually(lambda: len(s := port.observations("shop", since=started)) >= 2 and s)
        assert {o.revision for o in seen} == {"old", "new"} and {o.status for o in seen} == {200}
        assert [o.at for o in seen] == sorted(o.at for o in seen)
    promoted = port.apply("shop", ServiceSpec(new))
    assert [(r.name, r.role) for r in promoted.revisions if r.role != "draining"] == [
        ("new", "production")
    ]
    if not isinstance(port, FakeServing):
        assert {gateway.ask(port.get("shop"))[1] for _ in range(20)} == {"new"}


def test_what_is_there_is_listed_and_what_is_not_is_named(port: Serving, new: Revision) -> None:
    assert port.apply("shop", ServiceSpec(new)) and [s.name for s in port.list()] == ["shop"]
    with pytest.raises(UnknownName, match="nope"):
        port.get("nope")
    with pytest.raises(UsageError):
        port.apply("shop", ServiceSpec(new, None, 101))


def test_a_model_that_was_altered_changes_nothing(
    port: Serving, new: Revision, bad: Revision
) -> None:
    port.apply("shop", ServiceSpec(new))
    with pytest.raises(EvidenceMismatch):
        port.apply("shop", ServiceSpec(new, bad, 10))
    assert port.get("shop").spec == ServiceSpec(new)
    assert not Path(bad.model_dir, "ran").exists()


def test_what_was_stopped_starts_as_it_was(port: Serving, new: Revision) -> None:
    port.apply("shop", ServiceSpec(new))
    stopped = port.stop("shop")
    assert (stopped.state, stopped.spec) == (ServiceState.STOPPED, ServiceSpec(new))
    assert port.stop("shop").state is ServiceState.STOPPED
    assert port.start("shop").state is ServiceState.RUNNING
    if not isinstance(port, FakeServing):
        assert eventually(lambda: gateway.ask(port.get("shop")) == (200, "new"), seconds=20)
