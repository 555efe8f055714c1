"""What every Releases store does: in memory, in a home, on a cluster."""

from __future__ import annotations

import dataclasses
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from platform_ctl.errors import HomeBusy, UnknownName
from platform_ctl.home.state import connect
from platform_ctl.recipe.recipe import CanaryPlan
from platform_ctl.releases.kubernetes.releases import ClusterReleases
from platform_ctl.releases.local.releases import SqliteReleases
from platform_ctl.releases.port import Releases
from platform_ctl.releases.release import Intent, Release, ReleaseState, Target
from platform_ctl.serving.service import Revision
from tests.fakes.releases import FakeReleases
from tests.support.cluster import needs_cluster
from tests.support.custom_resources import resources_namespace

SERVICE = "weekly-commits"


def a_release(version: str = "2", **changes) -> Release:
    candidate = Revision(f"v{version}-abc", f"/models/{version}", version, "sha256:abc")
    target = Target(SERVICE, SERVICE, candidate, ("week_1", "week_2"))
    before = Revision("v1-def", "/models/1", "1", "sha256:def")
    made = Release(str(uuid.uuid4()), target, CanaryPlan(), before, "aaaa1111")
    return dataclasses.replace(made, **changes)


@pytest.fixture(scope="module")
def cluster() -> Iterator:
    with resources_namespace("releases") as cluster:
        yield cluster


ON_A_CLUSTER = pytest.param("kubernetes", marks=needs_cluster)


@pytest.fixture(params=["fake", "local", ON_A_CLUSTER])
def releases(request, tmp_path) -> Releases:
    if request.param == "kubernetes":
        cluster = request.getfixturevalue("cluster")
        store = ClusterReleases(cluster)
        _end_open(store)
        return store
    if request.param == "fake":
        return FakeReleases()
    return SqliteReleases(connect(tmp_path / "platform.db"))


def _end_open(store: Releases) -> None:
    """The tests of a module share a namespace: what one left open is over for the next."""
    left = store.latest(SERVICE)
    if left is not None and left.state.is_open:
        store.update(dataclasses.replace(left, state=ReleaseState.ROLLED_BACK), "rolled back")


def test_what_was_created_is_found(releases):
    made = releases.create(a_release(), "started", actor="ann", weight_percent=10)
    assert releases.get(made.id) == releases.latest(SERVICE) == made
    assert made.created_at and made.changes == 0
    (started,) = releases.events(made.id)
    assert (started.kind, started.detail) == ("started", {"actor": "ann", "weight_percent": 10})
    assert started.at >= made.created_at


def test_a_first_release_has_nothing_before_it(releases):
    made = releases.create(a_release(production=None), "started")
    assert releases.get(made.id).production is None


def test_a_change_and_its_event_are_written_together(releases):
    made = releases.create(a_release(), "started")
    held = dataclasses.replace(made, state=ReleaseState.HELD, step=1, looks=2, reason="too few")
    changed = releases.update(held, "held", reasons=["too few"], figures={"p50": 1.5})
    assert changed.changes == 1
    assert releases.get(made.id) == changed
    assert [e.kind for e in releases.events(made.id)] == ["started", "held"]
    assert releases.events(made.id)[-1].detail == {"reasons": ["too few"], "figures": {"p50": 1.5}}


def test_an_intent_is_kept(releases):
    made = releases.create(
        a_release(intent=Intent.PROMOTE, returns=True, reason="bad"), "going back"
    )
    assert releases.get(made.id) == made
    done = dataclasses.replace(made, intent=Intent.NONE, state=ReleaseState.PROMOTED)
    assert releases.update(done, "promoted").intent is Intent.NONE
    assert releases.get(made.id).state is ReleaseState.PROMOTED


def test_who_read_it_before_another_changed_it_is_refused(releases):
    made = releases.create(a_release(), "started")
    releases.update(made, "weight")
    with pytest.raises(HomeBusy):
        releases.update(made, "held")
    assert len(releases.events(made.id)) == 2


def test_a_service_has_one_open_release(releases):
    first = releases.create(a_release(), "started")
    with pytest.raises(HomeBusy):
        releases.create(a_release("3"), "started")
    releases.update(dataclasses.replace(first, state=ReleaseState.ROLLED_BACK), "rolled back")
    second = releases.create(a_release("3"), "started")
    assert releases.latest(SERVICE) == second


@pytest.mark.parametrize("releases", ["fake", ON_A_CLUSTER], indirect=True)
def test_of_many_threads_that_start_at_once_one_does(releases):
    """A connection of SQLite serves one thread: there, processes race."""

    def start(version: int) -> str:
        try:
            releases.create(a_release(str(version)), "started")
        except HomeBusy:
            return "late"
        return "started"

    with ThreadPoolExecutor(4) as pool:
        assert Counter(pool.map(start, range(2, 10))) == {"late": 7, "started": 1}


@pytest.mark.parametrize("method", ["get", "events"])
def test_an_unknown_release_is_named(releases, method):
    with pytest.raises(UnknownName, match="no-such"):
        getattr(releases, method)("no-such")
    assert releases.latest("never-released") is None
