"""``report weekly``: what the records say, as a page."""

from __future__ import annotations

from datetime import UTC, datetime

from platform_ctl.approvals.request import ApprovalRequest, ApprovalState, Subject, Vote
from platform_ctl.models.model import NO_HASH, AliasMove
from platform_ctl.report.weekly import markdown, monday, weekly
from platform_ctl.runs.budget import LedgerEntry
from platform_ctl.runs.record import Run, RunState, TaskVerdict

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
IN, BEFORE, AFTER = "2026-03-04T10:00:00+00:00", "2026-03-01T23:59:59+00:00", "2026-03-09T00:00:00Z"
SUBJECT = Subject("m", "e", "s", "p", "")


def run(run_id: str, at: str, state: RunState = RunState.SUCCEEDED, **kwargs) -> Run:
    return Run(run_id, "n", "train-deploy", state, at, "/tmp/x", **kwargs)


def entry(cpu_s: float, saved: bool) -> LedgerEntry:
    return LedgerEntry("r1", "tune", "tune", 1.0, cpu_s, cpu_s / 3600, 5, saved)


def test_a_week_begins_on_monday():
    assert monday(datetime(2026, 3, 8, 23, 59, tzinfo=UTC)) == MONDAY
    assert monday(MONDAY) == MONDAY


def test_a_week_holds_what_happened_in_it_and_nothing_else():
    verdict = TaskVerdict("gate", "failed", ("worse | than\nlast week",))
    runs = [
        run("r1" * 4, IN, verdicts=(verdict,)),
        run("r2" * 4, IN, RunState.FAILED, error="disk full"),
        run("r3" * 4, BEFORE),
        run("r4" * 4, AFTER),
    ]
    vote = Vote("ann", "approve", "good enough", IN)
    asked = ApprovalRequest(
        "a1", "m", "2", "r", SUBJECT, ApprovalState.APPROVED, "bob", IN, AFTER, 1, (vote,), IN
    )
    move = AliasMove(1, "m", "production", "1", "2", IN, "ann", "approved", NO_HASH)
    old = AliasMove(0, "m", "production", "", "1", BEFORE, "ann", "first", NO_HASH)
    ledger = {"r1" * 4: [entry(7200, False), entry(3600, True)], "r3" * 4: [entry(9e9, False)]}
    week = weekly(MONDAY, runs=runs, requests=[asked], moves=[old, move], ledger=ledger)
    assert [r.id for r in week.runs] == ["r1" * 4, "r2" * 4]
    assert (week.cost.cpu_h, week.cost.saved_cpu_h, week.cost.trials) == (2.0, 1.0, 5)
    page = markdown(week)
    assert page.startswith("# Week 10 of 2026\n\n2026-03-02 to 2026-03-08, UTC.")
    assert "| train-deploy | FAILED | 1 |" in page
    assert "- `r2r2r2r2` train-deploy: disk full" in page
    assert r"| `r1r1r1r1` | gate | failed | worse \| than last week |" in page
    assert "| m/2 | approved | ann | good enough |" in page
    assert "| m | production | 1 | 2 | ann | approved |" in page
    assert "first" not in page.partition("## Releases")[2]


def test_an_empty_week_says_so():
    page = markdown(weekly(MONDAY, runs=[], requests=[], moves=[], ledger={}))
    assert (
        "Nothing ran." in page
        and "No stage changed." in page
        and "No approval was requested." in page
    )
