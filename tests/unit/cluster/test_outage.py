"""A short outage of the API server ends nothing that takes hours."""

from __future__ import annotations

import pytest

from platform_ctl.cluster.api import POD
from platform_ctl.cluster.outage import through_outage
from platform_ctl.errors import ClusterForbidden, ClusterUnavailable
from tests.fakes.objects import FakeObjects


def test_the_answer_after_an_outage_counts() -> None:
    objects = FakeObjects(outages=2)
    waits: list[float] = []
    for _ in range(4):
        assert through_outage(lambda: objects.list(POD), waits.append) == []
    assert len(waits) == 3


def test_an_outage_that_lasts_is_told() -> None:
    objects = FakeObjects(down=True)
    with pytest.raises(ClusterUnavailable):
        through_outage(lambda: objects.list(POD), lambda seconds: None, outage_s=-1)


def test_a_refusal_is_not_an_outage() -> None:
    objects = FakeObjects(forbidden=frozenset({"Pod"}))
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}
    with pytest.raises(ClusterForbidden):
        through_outage(lambda: objects.create(pod), lambda seconds: None)
