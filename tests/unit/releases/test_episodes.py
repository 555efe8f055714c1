"""One stall is one event; a canary that hangs is more than one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from platform_ctl.recipe.recipe import CanaryPlan
from platform_ctl.recipe.verdict import Verdict
from platform_ctl.releases.episodes import Episode, episodes, is_shared
from platform_ctl.releases.judge import Arm, ErrorSample, judge
from platform_ctl.serving.service import RequestObservation

PLAN = CanaryPlan(min_requests=100, false_rollback_rate=0.05)
LIMIT_S = 2.0


def unanswered(start: float, seconds: float = LIMIT_S) -> RequestObservation:
    return RequestObservation(
        start + seconds, str(start), "new", 0, seconds * 1e3, failure="timeout"
    )


def answered(start: float, seconds: float) -> RequestObservation:
    return RequestObservation(start + seconds, str(start), "old", 200, seconds * 1e3)


def judged(stalls: Sequence[Episode], shared: int = 0, requests: int = 215) -> Verdict:
    lost = sum(s.requests for s in stalls)
    canary = Arm(requests, lost, np.ones(requests - lost), unanswered=lost, episodes=len(stalls))
    production = Arm(requests, 0, np.ones(requests), episodes=shared)
    return judge(ErrorSample(canary, production), PLAN, 1).verdict


def test_requests_of_one_stall_are_one_episode() -> None:
    (stall,) = episodes([unanswered(t) for t in (10.3, 10.0, 10.1, 11.9)])
    assert (stall.start, stall.requests) == (10.0, 4)
    assert stall.end == 12.0


def test_a_request_after_the_first_was_given_up_begins_another() -> None:
    hanging = [unanswered(10.0 + i * LIMIT_S) for i in range(10)]
    assert [e.requests for e in episodes(hanging)] == [1] * 10


def test_a_pause_that_hit_four_requests_rolls_no_good_canary_back() -> None:
    stalls = episodes([unanswered(10.0 + i / 40) for i in range(4)])
    as_four = Arm(215, 4, np.ones(211))
    production = Arm(615, 0, np.ones(615))
    assert judge(ErrorSample(as_four, production), PLAN, 1).verdict is Verdict.FAILED
    as_one = dataclasses.replace(as_four, unanswered=4, episodes=len(stalls))
    assert judge(ErrorSample(as_one, production), PLAN, 1).verdict is Verdict.SUCCESSFUL


def test_a_canary_that_hangs_for_good_fails() -> None:
    assert judged(episodes([unanswered(i * LIMIT_S) for i in range(20)])) is Verdict.FAILED


def test_answers_of_500_count_one_by_one() -> None:
    canary, production = Arm(215, 20, np.ones(195)), Arm(215, 0, np.ones(215))
    assert judge(ErrorSample(canary, production), PLAN, 1).verdict is Verdict.FAILED


def test_a_stall_is_shared_when_production_answered_as_late() -> None:
    stall = Episode(10.0, 12.0, 3)
    assert is_shared(stall, [answered(9.8, 1.5)])
    assert not is_shared(stall, [answered(10.5, 0.002), answered(12.5, 1.5), answered(7.0, 2.0)])
    assert not is_shared(Episode(10.0, 10.001, 3), [answered(10.0, 0.002)])


def test_false_rollbacks_of_a_machine_that_stalls() -> None:
    """Six stalls a look, of four requests each, fall on either revision by chance."""
    rng = np.random.default_rng(0)
    verdicts = []
    for _ in range(1000):
        mine = int(rng.binomial(6, 0.5))
        arms = (
            Arm(215, 4 * n, np.ones(215 - 4 * n), unanswered=4 * n, episodes=n)
            for n in (mine, 6 - mine)
        )
        verdicts.append(judge(ErrorSample(*arms), PLAN, 1).verdict)
    assert verdicts.count(Verdict.FAILED) == 0
