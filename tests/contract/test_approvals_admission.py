"""What the API server itself refuses of approvals, whoever writes and with whatever program.

Nothing here goes through the platform's own store: each test sends what ``kubectl`` would send.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from platform_ctl.approvals.kubernetes.resource import APPROVAL
from platform_ctl.cluster.api import Cluster
from platform_ctl.errors import ClusterForbidden, ClusterRefused
from tests.support.cluster import needs_cluster
from tests.support.custom_resources import (
    APPROVERS,
    OPERATORS,
    VIEWERS,
    as_person,
    resources_namespace,
)
from tests.support.waiting import eventually

pytestmark = needs_cluster


def moment(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def an_approval(name: str, **spec: Any) -> dict[str, Any]:
    subject = dict.fromkeys(("model", "evaluation", "dataSnapshot", "canaryPlan", "champion"), "x")
    asked = {"requestedBy": "ann", "requestedAt": moment(0), "expiresAt": moment(3600)}
    what = {"model": "weekly-commits", "version": "4", "recipe": "train_deploy"}
    return {
        "apiVersion": APPROVAL.group_version,
        "kind": "Approval",
        "metadata": {"name": name},
        "spec": {**what, "subject": subject, **asked, **spec},
    }


def answer(by: str, what: str = "approve", **more: str) -> dict[str, str]:
    return {"by": by, "answer": what, "reason": "looked at it", **more}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with resources_namespace("admission") as cluster:
        yield cluster


@pytest.fixture
def ann(cluster) -> Cluster:
    return as_person(cluster, "ann", OPERATORS)


@pytest.fixture
def bob(cluster) -> Cluster:
    return as_person(cluster, "bob", APPROVERS)


@pytest.fixture
def asked(ann, request) -> str:
    """The name of a request by ann that waits for an answer."""
    name = f"a{abs(hash(request.node.name)):x}"[:9]
    assert ann.create(an_approval(name)) is not None
    return name


def vote(person: Cluster, name: str, *answers: dict[str, str], **more: Any) -> dict[str, Any]:
    found = person.get(APPROVAL, name)
    assert found is not None
    votes = [*found["spec"]["votes"], *answers]
    return person.patch(APPROVAL, name, {"spec": {"votes": votes, **more}})


def test_an_approver_answers_once(cluster, bob, asked):
    voted = vote(bob, asked, answer("bob", at=moment(0)))
    assert [v["by"] for v in voted["spec"]["votes"]] == ["bob"]
    carl = as_person(cluster, "carl", APPROVERS)
    for second in (answer("carl"), answer("carl", "reject")):
        with pytest.raises(ClusterRefused, match="has been decided"):
            vote(carl, asked, second)


def test_a_forged_approver_is_refused(bob, asked):
    with pytest.raises(ClusterRefused, match="by must be bob"):
        vote(bob, asked, answer("carl"))


def test_two_answers_at_once_are_refused(bob, asked):
    with pytest.raises(ClusterRefused):
        vote(bob, asked, answer("bob"), answer("carl"))


def test_a_request_in_anothers_name_is_refused(ann):
    with pytest.raises(ClusterRefused, match="requestedBy must be ann"):
        ann.create(an_approval("forged", requestedBy="carl"))


def test_a_request_that_brings_its_answer_is_refused(ann):
    with pytest.raises(ClusterRefused, match="no answers"):
        ann.create(an_approval("answered", votes=[answer("ann")]))


def test_ones_own_request_is_approved_only_where_the_setting_says_so(cluster, ann):
    both = as_person(cluster, "dora", APPROVERS)
    for name, allowed in (("own-no", False), ("own-yes", True)):
        cluster.create(an_approval(name, requestedBy="kubernetes-admin", selfApproval=allowed))
        made = an_approval(f"{name}-2", requestedBy="dora", selfApproval=allowed)
        as_person(cluster, "dora", OPERATORS).create(made)
    with pytest.raises(ClusterRefused, match="dora asked for this approval"):
        vote(both, "own-no-2", answer("dora"))
    assert vote(both, "own-no-2", answer("dora", "reject"))["spec"]["votes"]
    assert vote(both, "own-yes-2", answer("dora"))["spec"]["votes"]


def test_only_the_named_approvers_approve(cluster, ann, bob):
    ann.create(an_approval("named", approvers=["carl"]))
    with pytest.raises(ClusterRefused, match="bob is not one of the approvers"):
        vote(bob, "named", answer("bob"))
    assert vote(as_person(cluster, "carl", APPROVERS), "named", answer("carl"))


@pytest.mark.parametrize(
    "change",
    [
        {"subject": {"model": "sha256:other"}},
        {"version": "5"},
        {"requestedBy": "carl"},
        {"expiresAt": "2099-01-01T00:00:00Z"},
        {"selfApproval": True},
        {"approvers": ["bob"]},
        {"approvalsNeeded": 3},
        {"notCounted": ["carl"]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_was_asked_does_not_change(bob, asked, change):
    with pytest.raises(ClusterRefused):
        bob.patch(APPROVAL, asked, {"spec": change})


def test_an_answer_is_not_changed_or_taken_away(bob, asked):
    vote(bob, asked, answer("bob", "reject"))
    for votes in ([], [answer("bob")]):
        with pytest.raises(ClusterRefused):
            bob.patch(APPROVAL, asked, {"spec": {"votes": votes}})


def test_after_the_expiry_nobody_answers_whatever_their_clock_says(ann, bob):
    ann.create(an_approval("late", expiresAt=moment(2)))
    made = bob.get(APPROVAL, "late")
    eventually(lambda: moment(-1) > made["spec"]["expiresAt"], seconds=10)
    with pytest.raises(ClusterRefused, match="which means no"):
        vote(bob, "late", answer("bob"))
    with pytest.raises(ClusterRefused, match="which means no"):
        vote(bob, "late", answer("bob", at=made["spec"]["requestedAt"]))
    made["spec"]["votes"] = [answer("bob")]
    path = APPROVAL.path(bob.namespace, "late")
    for forged in ([{}], [{**m, "time": "2020-01-01T00:00:00Z"} for m in _managed(made)]):
        made["metadata"]["managedFields"] = forged
        with pytest.raises(ClusterRefused):
            bob.call("PUT", path, body=made)


def test_a_request_that_has_expired_already_is_refused(ann):
    with pytest.raises(ClusterRefused, match="expired already"):
        ann.create(an_approval("past", expiresAt=moment(-60)))


def test_the_time_of_an_answer_is_the_servers(bob, asked):
    with pytest.raises(ClusterRefused, match="time of the answer"):
        vote(bob, asked, answer("bob", at=moment(-3600)))


def test_what_is_void_is_not_answered_and_stays_void(cluster, bob, asked):
    voided = {"at": moment(0), "reason": "the champion changed"}
    cluster.patch(APPROVAL, asked, {"status": {"voided": voided}}, subresource="status")
    with pytest.raises(ClusterRefused, match="the request is void"):
        vote(bob, asked, answer("bob"))
    with pytest.raises(ClusterRefused):
        cluster.patch(APPROVAL, asked, {"status": {"voided": None}}, subresource="status")


def test_roles_say_who_may_what(cluster, ann, bob, asked):
    viewer, nobody = as_person(cluster, "vic", VIEWERS), as_person(cluster, "eve")
    assert viewer.get(APPROVAL, asked) is not None
    for person in (viewer, ann):
        with pytest.raises(ClusterForbidden):
            vote(person, asked, answer("vic"))
    with pytest.raises(ClusterForbidden):
        nobody.get(APPROVAL, asked)
    with pytest.raises(ClusterForbidden):
        bob.patch(APPROVAL, asked, {"status": {"runId": "forged"}}, subresource="status")
    for person in (viewer, ann, bob):
        with pytest.raises(ClusterForbidden):
            person.delete(APPROVAL, asked)
    with pytest.raises(ClusterForbidden):
        bob.create(an_approval("by-an-approver", requestedBy="bob"))


def _managed(made: dict[str, Any]) -> list[dict[str, Any]]:
    return made["metadata"]["managedFields"]
