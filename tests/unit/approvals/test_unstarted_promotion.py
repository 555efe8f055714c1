"""A supervisor sees that an approval was never carried out, without asking anybody."""

from __future__ import annotations

import pytest

from platform_ctl.approvals.local.approvals import SqliteApprovals
from platform_ctl.approvals.request import Answer
from platform_ctl.home.state import connect
from platform_ctl.runs.local.records import Records, now
from platform_ctl.runs.record import Run, RunState
from platform_ctl.serving.local.promotions import unstarted_promotion
from tests.contract.test_approvals import a_request, moment, no, yes


@pytest.mark.parametrize("answer", [None, Answer.REJECT, Answer.APPROVE])
def test_only_a_yes_waits_and_only_until_it_has_a_run(tmp_path, answer):
    database = tmp_path / "platform.db"
    assert not unstarted_promotion(database)
    approvals = SqliteApprovals(database)
    approvals.open(a_request(requested_at=moment(0)))
    if answer:
        approvals.vote("aaaa1111", yes() if answer is Answer.APPROVE else no())
    assert unstarted_promotion(database) == (answer is Answer.APPROVE)
    run = Run("run-1", "promote", "promote", RunState.PENDING, now(), str(tmp_path))
    Records(connect(database)).create(run, "promote-aaaa1111")
    assert not unstarted_promotion(database)


def test_a_run_that_was_pruned_is_not_started_again(tmp_path):
    database = tmp_path / "platform.db"
    approvals = SqliteApprovals(database)
    approvals.open(a_request())
    approvals.vote("aaaa1111", yes())
    approvals.started("aaaa1111", "run-1")
    assert not unstarted_promotion(database)
