"""A release is shown to everybody, and what its predictors saw to those who may read it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from platform_ctl.errors import ClusterForbidden
from platform_ctl.releases.observed import observed
from platform_ctl.releases.steps import start_release
from platform_ctl.serving.service import RequestObservation
from tests.support.releases import FakeServing
from tests.unit.releases.test_release import PLAN, World


class ForbiddenServing(FakeServing):
    """Of an account that may not read the pods of a service."""

    def observations(self, name: str, *, since: float) -> Sequence[RequestObservation]:
        raise ClusterForbidden("may not get pods/proxy", where="fake", fix="ask for the right")


def test_an_open_release_says_how_far_it_is(tmp_path: Path) -> None:
    world = World(tmp_path, production="1")
    release = start_release(world.ports, world.target("2"), PLAN, approval_id="a", actor="me")
    seen = observed(world.ports, release)
    assert seen.standing is not None and seen.standing.canary_requests == 0
    assert (seen.true_errors, seen.unreadable) == ([], "")


def test_what_an_account_may_not_read_is_unknown_and_not_an_error(tmp_path: Path) -> None:
    world = World(tmp_path, production="1")
    release = start_release(world.ports, world.target("2"), PLAN, approval_id="a", actor="me")
    ports = dataclasses.replace(world.ports, serving=ForbiddenServing(world.fuse))
    seen = observed(ports, release)
    assert (seen.standing, seen.true_errors) == (None, None)
    assert seen.unreadable == "may not get pods/proxy"
