"""The controller: whoever decides and however, one promote run; it may be down meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from platform_ctl.approvals.kubernetes.controller import Controller
from platform_ctl.approvals.request import Answer, ApprovalRequest, ApprovalState, Subject, Vote
from platform_ctl.errors import ClusterUnavailable, TargetUnavailable
from platform_ctl.runs.record import Run, RunState
from tests.fakes.approvals import FakeApprovals


class Runs:
    """Submits by approval, as an orchestrator does by idempotency key."""

    def __init__(self, *, down_for: str = "") -> None:
        self.of: dict[str, Run] = {}
        self._down_for = down_for

    def __call__(self, asked: ApprovalRequest) -> Run:
        if asked.id == self._down_for:
            raise TargetUnavailable("KFP does not answer", where="kfp", fix="kubectl get pods")
        made = Run(f"run-{asked.id}", "promote", "promote", RunState.PENDING, "", "")
        return self.of.setdefault(asked.id, made)


class Published(FakeApprovals):
    """Keeps what the status of each request would say."""

    def __init__(self) -> None:
        super().__init__()
        self.status: dict[str, str] = {}

    def publish(self, request: ApprovalRequest) -> None:
        self.status[request.id] = str(request.state)


class Watched:
    """A cluster whose watch ends after ``events``, or fails first."""

    def __init__(self, events: int = 0, *, failures: int = 0) -> None:
        self._events, self.failures = events, failures

    def watch(self, kind: object, *, seconds: int) -> Iterator[tuple[str, dict]]:
        if self.failures:
            self.failures -= 1
            raise ClusterUnavailable("the API server does not answer", where="", fix="")
        yield from [("MODIFIED", {})] * self._events


def ask(approvals: FakeApprovals, number: int) -> str:
    subject = Subject(f"m{number}", "e", "1", "c", "")
    asked = ApprovalRequest(
        f"aaaa000{number}",
        "weekly-commits",
        str(number),
        "train_deploy",
        subject,
        ApprovalState.PENDING,
        "ann",
        "2026-01-05T09:00:00.000+00:00",
        "2999-01-05T09:00:00.000+00:00",
    )
    return approvals.open(asked).id


def approve(approvals: FakeApprovals, request_id: str) -> None:
    at = "2026-01-05T10:00:00.000+00:00"
    approvals.vote(request_id, Vote("bob", Answer.APPROVE, "good", at))


@pytest.fixture
def approvals() -> Published:
    return Published()


def test_what_was_decided_while_it_was_down_is_started_once(approvals):
    first, second, third = (ask(approvals, n) for n in (1, 2, 3))
    approve(approvals, first)
    approvals.vote(second, Vote("bob", Answer.REJECT, "no", "2026-01-05T10:00:00.000+00:00"))
    runs = Runs()
    controller = Controller(Watched(), approvals, runs)
    assert [r.id for r in controller.once()] == [f"run-{first}"]
    assert controller.once() == [] and set(runs.of) == {first}
    assert approvals.get(first).promotion_id == f"run-{first}"
    assert approvals.status == {first: "approved", second: "rejected", third: "pending"}


def test_a_run_that_a_command_has_started_is_the_same(approvals):
    asked = ask(approvals, 1)
    approve(approvals, asked)
    runs = Runs()
    by_the_command = runs(approvals.get(asked))
    assert Controller(Watched(), approvals, runs).once() == [by_the_command]
    assert len(runs.of) == 1


def test_a_decision_that_cannot_be_carried_out_does_not_stop_the_others(approvals):
    for number in (1, 2):
        approve(approvals, ask(approvals, number))
    runs = Runs(down_for="aaaa0002")
    controller = Controller(Watched(), approvals, runs)
    assert [r.id for r in controller.once()] == ["run-aaaa0001"]
    assert approvals.get("aaaa0002").promotion_id == ""
    healed = replace(controller, start=Runs())
    assert [r.id for r in healed.once()] == ["run-aaaa0002"]


def test_it_survives_an_api_server_that_is_down(approvals):
    approve(approvals, ask(approvals, 1))
    runs, cluster = Runs(), Watched(1, failures=2)
    Controller(cluster, approvals, runs, pause_s=0.0).run(until=lambda: cluster.failures == 0)
    assert len(runs.of) == 1
