"""Golden rows are asked of the canary alone: what production answers is no evidence."""

from __future__ import annotations

import numpy as np
import pytest

from platform_ctl.releases import replay

NAMES = ("a",)
ROWS = replay.HeldOut(
    tuple(f"row-{i}" for i in range(600)),
    np.arange(600.0).reshape(600, 1),
    np.zeros(600),
    np.ones(600),
    NAMES,
)


class StallingCanary:
    """A service whose canary misses the requests of these numbers; production stands in, wrong."""

    def __init__(self, *missed: int) -> None:
        self.missed, self.asked = missed, 0

    def ask(self, instances, *, key, revision):
        assert revision == "canary"
        self.asked += 1
        values = [row["a"] for row in instances]
        if self.asked in self.missed:
            return [-1.0 for _ in values], "v1"
        return values, "v2"


@pytest.mark.parametrize("missed", [(), (1,), (2,), (3,), (1, 2)])
def test_a_batch_that_production_answered_is_asked_again(missed):
    answers = replay.ask_all(StallingCanary(*missed), ROWS, revision="canary", candidate="v2")
    assert answers.tolist() == ROWS.features[:, 0].tolist()


def test_a_canary_that_does_not_answer_gives_nothing_to_compare():
    service = StallingCanary(*range(1, 100))
    assert replay.ask_all(service, ROWS, revision="canary", candidate="v2") is None
    assert service.asked == replay.GOLDEN_ATTEMPTS
