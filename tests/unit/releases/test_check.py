"""What doctor says about releases: the record is the real one."""

from __future__ import annotations

import dataclasses

import pytest

from platform_ctl.doctor.doctor import Check, Health
from platform_ctl.recipe.recipe import CanaryPlan
from platform_ctl.releases.check import check_releases
from platform_ctl.releases.release import Intent, Release, ReleaseState, Target
from platform_ctl.serving.service import InferenceService, Revision, ServiceSpec, ServiceState
from tests.fakes.releases import FakeReleases

OPEN = Release(
    "r1",
    Target("weekly", "weekly", Revision("v2", "/models/2", "2"), ()),
    CanaryPlan(weights_percent=(10, 100)),
    Revision("v1", "/models/1", "1"),
    approval_id="asked",
)
HELD = dataclasses.replace(OPEN, state=ReleaseState.HELD)
CONTINUE, REPAIR = "platform-ctl release continue weekly", "platform-ctl doctor --repair"


def checked(release: Release | None, state: ServiceState, at_work: frozenset[str]) -> Check:
    releases = FakeReleases()
    if release is not None:
        releases.create(release, "started")
    service = InferenceService("weekly", state, "", ServiceSpec(None))
    (found,) = check_releases([service], releases, at_work)
    return found


@pytest.mark.parametrize(
    ("release", "state", "says", "fix"),
    [
        (OPEN, ServiceState.STOPPED, "version 2 of weekly is running while", CONTINUE),
        (HELD, ServiceState.STOPPED, "is held while the service is stopped", CONTINUE),
        (OPEN, ServiceState.RUNNING, "has 10 % of the traffic, and no run carries it on", CONTINUE),
        (dataclasses.replace(OPEN, intent=Intent.PROMOTE), ServiceState.RUNNING,
         "was left while it was about to promote", REPAIR),
    ],
)  # fmt: skip
def test_an_open_release_that_nothing_carries_on_is_named(release, state, says, fix) -> None:
    found = checked(release, state, frozenset())
    assert (found.health, found.fix) == (Health.WARN, fix)
    assert says in found.detail
    assert checked(release, state, frozenset({"asked"})).health is Health.OK, "its run is at work"


def test_a_held_canary_waits_for_a_person() -> None:
    found = checked(HELD, ServiceState.RUNNING, frozenset())
    assert found.health is Health.OK and "waits for `release continue`" in found.detail


def test_a_release_that_is_over_and_none_at_all_are_fine() -> None:
    over = dataclasses.replace(OPEN, state=ReleaseState.PROMOTED)
    for release in (over, None):
        found = checked(release, ServiceState.STOPPED, frozenset())
        assert (found.health, found.detail) == (Health.OK, "none is open, or its run is at work")
