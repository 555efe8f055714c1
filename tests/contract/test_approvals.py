"""What every Approvals store does, and the operations that decide through it."""

from __future__ import annotations

import multiprocessing
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from platform_ctl.approvals.kubernetes.approvals import ClusterApprovals
from platform_ctl.approvals.local.approvals import SqliteApprovals
from platform_ctl.approvals.port import Approvals
from platform_ctl.approvals.request import (
    SELF,
    Answer,
    ApprovalRequest,
    ApprovalState,
    Policy,
    Subject,
    Vote,
)
from platform_ctl.cluster.api import Cluster
from platform_ctl.errors import AlreadyDecided, UnknownName
from tests.fakes.approvals import FakeApprovals
from tests.support.cluster import needs_cluster
from tests.support.custom_resources import APPROVERS, OPERATORS, as_person, resources_namespace

SUBJECT = Subject("sha256:m", "sha256:e", "4711", "sha256:c", "3 sha256:old")


def moment(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat(timespec="milliseconds")


def a_request(request_id: str = "aaaa1111", **changes) -> ApprovalRequest:
    made = ApprovalRequest(
        id=request_id,
        model="weekly-commits",
        version="4",
        recipe="train_deploy",
        subject=SUBJECT,
        state=ApprovalState.PENDING,
        requested_by="ann",
        requested_at=moment(0),
        expires_at=moment(72),
    )
    return replace(made, **changes)


def yes(approver: str = "bob") -> Vote:
    return Vote(approver, Answer.APPROVE, "looks right", moment(0))


def no(approver: str = "bob") -> Vote:
    return Vote(approver, Answer.REJECT, "not now", moment(0))


class Home:
    """Stores in a home's database; each call opens the same one, by another clock."""

    def __init__(self, folder: Path) -> None:
        self._database = folder / "platform.db"

    def __call__(self, **options: Any) -> Approvals:
        return SqliteApprovals(self._database, **options)


class Memory:
    def __init__(self) -> None:
        self._requests: list[ApprovalRequest] = []

    def __call__(self, **options: Any) -> Approvals:
        return FakeApprovals(requests=self._requests, **options)


class Namespace:
    """Stores in a namespace, where everybody writes as the person that they say they are."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def __call__(self, **options: Any) -> Approvals:
        return EachAsThemselves(self._cluster, options)


class EachAsThemselves(ClusterApprovals):
    def __init__(self, cluster: Cluster, options: dict[str, Any]) -> None:
        super().__init__(cluster, **options)
        self._whole, self._options = cluster, options

    def open(self, request: ApprovalRequest) -> ApprovalRequest:
        asker = as_person(self._whole, request.requested_by, OPERATORS)
        return ClusterApprovals(asker, **self._options).open(request)

    def vote(self, request_id: str, vote: Vote, policy: Policy | None = None) -> ApprovalRequest:
        approver = as_person(self._whole, vote.approver, APPROVERS)
        return ClusterApprovals(approver, **self._options).vote(request_id, vote, policy)


ON_A_CLUSTER = pytest.param("kubernetes", marks=needs_cluster)


@pytest.fixture(params=["fake", "local", ON_A_CLUSTER])
def stores(request, tmp_path) -> Iterator[Callable[..., Approvals]]:
    if request.param == "kubernetes":
        with resources_namespace("approvals") as cluster:
            yield Namespace(cluster)
    elif request.param == "fake":
        yield Memory()
    else:
        yield Home(tmp_path)


@pytest.fixture
def approvals(stores) -> Approvals:
    return stores()


def in_hours(hours: float) -> Callable[[], datetime]:
    """A clock that is so much later than it is."""
    return lambda: datetime.now(UTC) + timedelta(hours=hours)


def test_what_is_opened_is_found(approvals):
    made = a_request()
    assert approvals.open(made) == made
    assert approvals.get("aaaa1111") == approvals.get("aa") == approvals.get("latest") == made
    assert list(approvals.list()) == [made]


def test_the_same_subject_is_one_pending_request(approvals):
    first = approvals.open(a_request())
    assert approvals.open(a_request("bbbb2222")) == first
    other = replace(SUBJECT, canary_plan="sha256:other")
    assert approvals.open(a_request("cccc3333", subject=other)).id == "cccc3333"


OLDER, OTHER = a_request(requested_at=moment(-1)), a_request("bbbb2222", model="wine")


def test_the_latest_of_one_model_is_the_newest(approvals):
    approvals.open(OLDER)
    approvals.open(replace(OTHER, model=OLDER.model, version="5"))
    assert approvals.get("latest").id == "bbbb2222"


def test_the_latest_is_refused_while_another_model_waits(approvals):
    """Whoever trained one model must not approve the one that somebody else trained after it."""
    approvals.open(OLDER)
    approvals.open(OTHER)
    asked = "bbbb2222 (wine/4, pending), aaaa1111 (weekly-commits/4, pending)"
    with pytest.raises(UnknownName, match=re.escape(asked)):
        approvals.get("latest")
    approvals.vote("bbbb2222", yes())  # the newest is decided, and the other one still waits
    with pytest.raises(UnknownName, match=r"bbbb2222 .wine/4, approved., aaaa1111"):
        approvals.get("latest")
    approvals.vote("aaaa1111", no())
    assert approvals.get("latest").id == "bbbb2222"


def test_what_nobody_answered_in_time_does_not_wait(stores):
    stores(expires_h=0.5).open(OLDER)
    stores().open(OTHER)
    assert stores(expires_h=0.5).get("latest").id == "bbbb2222"


@pytest.mark.parametrize("word", ["zz", "", "aaaa11112"])
def test_an_unknown_request_is_named(approvals, word):
    approvals.open(a_request())
    with pytest.raises(UnknownName):
        approvals.get(word)


def test_an_ambiguous_prefix_is_refused(approvals):
    approvals.open(a_request())
    approvals.open(a_request("aaaa2222", version="5"))
    with pytest.raises(UnknownName, match="more than one approval request begins with 'aaaa'"):
        approvals.get("aaaa")


def test_yes_and_no_are_kept_with_who_when_and_why(approvals):
    approvals.open(a_request())
    approved = approvals.vote("aaaa1111", yes())
    assert approved.state is ApprovalState.APPROVED
    assert (approved.decided_by(), approved.reason) == ("bob", "looks right")
    approvals.open(a_request("bbbb2222", version="5"))
    assert approvals.vote("bbbb2222", no()).state is ApprovalState.REJECTED


@pytest.mark.parametrize("second", [yes("carl"), no("carl"), yes("bob")])
def test_a_decision_is_final(approvals, second):
    approvals.open(a_request())
    approvals.vote("aaaa1111", yes())
    with pytest.raises(AlreadyDecided, match="approved by bob"):
        approvals.vote("aaaa1111", second)
    assert len(approvals.get("aaaa1111").votes) == 1


def test_nobody_answering_in_time_means_no(stores):
    stores().open(a_request())
    late = stores(clock=in_hours(73))
    assert stores().get("aaaa1111").state is ApprovalState.PENDING
    assert late.get("aaaa1111").state is ApprovalState.EXPIRED
    with pytest.raises(AlreadyDecided, match="expired"):
        late.vote("aaaa1111", yes())


def test_the_shorter_wait_of_then_and_now_holds(stores):
    stores().open(a_request())
    assert stores(expires_h=5).get("aaaa1111").expires_at < moment(6)
    later = stores(expires_h=5, clock=in_hours(6))
    assert later.get("aaaa1111").state is ApprovalState.EXPIRED
    assert stores(clock=in_hours(6)).get("aaaa1111").state is ApprovalState.PENDING


def test_the_id_of_what_was_decided_meanwhile_is_not_used_again(stores):
    approvals = stores()
    approvals.open(a_request())
    approvals.vote("aaaa1111", no())
    again = approvals.open(a_request())
    assert again.id != "aaaa1111" and again.state is ApprovalState.PENDING
    assert approvals.get("aaaa1111").state is ApprovalState.REJECTED


def test_what_has_expired_may_be_asked_again(tmp_path):
    approvals = SqliteApprovals(tmp_path / "platform.db")
    approvals.open(a_request(expires_at=moment(-0.001)))
    assert approvals.get("aaaa1111").state is ApprovalState.EXPIRED
    assert approvals.open(a_request("bbbb2222")).id == "bbbb2222"


def test_a_policy_that_became_stricter_is_kept(approvals):
    approvals.open(a_request())
    two = Policy(approvals_needed=2)
    assert approvals.vote("aaaa1111", yes(), two).state is ApprovalState.PENDING
    assert approvals.vote("aaaa1111", yes("carl"), two).state is ApprovalState.APPROVED


def test_a_yes_of_who_may_not_any_more_does_not_count(approvals):
    approvals.open(a_request(approvals_needed=2))
    approvals.vote("aaaa1111", yes())
    without_bob = Policy(frozenset({"carl", "dora"}))
    assert approvals.vote("aaaa1111", yes("carl"), without_bob).state is ApprovalState.PENDING
    assert approvals.vote("aaaa1111", yes("dora"), without_bob).state is ApprovalState.APPROVED


ASKED = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


def asked_at(folder: Path, now: datetime, **more) -> SqliteApprovals:
    """The store of a home whose clock shows ``now``, with one request of ASKED for 72 hours."""
    approvals = SqliteApprovals(folder / "platform.db", clock=lambda: now, **more)
    at, until = (t.isoformat(timespec="milliseconds") for t in (ASKED, ASKED + timedelta(hours=72)))
    approvals.open(a_request(requested_at=at, expires_at=until))
    return approvals


@pytest.mark.parametrize(
    ("hours", "milliseconds", "state"),
    [(72, -1, "pending"), (72, 0, "expired"), (72, 1, "expired"), (0, 0, "pending")],
)
def test_it_expires_to_the_millisecond(tmp_path, hours, milliseconds, state):
    now = ASKED + timedelta(hours=hours, milliseconds=milliseconds)
    approvals = asked_at(tmp_path, now)
    assert approvals.get("aaaa1111").state == state
    if state == "expired":
        with pytest.raises(AlreadyDecided, match="nobody answered in time"):
            approvals.vote("aaaa1111", yes())


def test_what_has_expired_stays_expired_when_the_clock_goes_back(tmp_path):
    late = ASKED + timedelta(hours=73)
    too_late = asked_at(tmp_path, late)
    assert too_late.get("aaaa1111").state is ApprovalState.EXPIRED
    with pytest.raises(AlreadyDecided, match="nobody answered in time"):
        too_late.vote("aaaa1111", yes())
    back = SqliteApprovals(tmp_path / "platform.db", clock=lambda: ASKED)
    assert back.get("aaaa1111").state is ApprovalState.EXPIRED


@pytest.mark.parametrize(
    ("minutes", "state"), [(1, "pending"), (6, "expired"), (60 * 24, "expired")]
)
def test_a_clock_that_was_set_back_gives_nobody_more_time(tmp_path, minutes, state):
    found = asked_at(tmp_path, ASKED - timedelta(minutes=minutes)).get("aaaa1111")
    assert found.state == state
    assert ("the clock was set back" in found.reason) == (state == "expired")


def test_waiting_for_the_lock_does_not_keep_a_request_open(tmp_path):
    """It expires while somebody else writes: the vote that waits comes too late."""
    moments = iter([ASKED] * 2 + [ASKED + timedelta(hours=72)] * 9)
    approvals = asked_at(tmp_path, ASKED)
    late = SqliteApprovals(tmp_path / "platform.db", clock=lambda: next(moments))
    assert late.get("aaaa1111").state is ApprovalState.PENDING
    with pytest.raises(AlreadyDecided, match="expired"):
        late.vote("aaaa1111", yes())
    assert approvals.get("aaaa1111").votes == ()


def test_the_run_of_a_promotion_is_noted_once(approvals):
    approvals.open(a_request())
    for run in ("run-1", "run-2"):
        approvals.started("aaaa1111", run)
    assert approvals.get("aaaa1111").promotion_id == "run-1"


def test_two_people_are_two_people(approvals):
    approvals.open(a_request(approvals_needed=2))
    assert approvals.vote("aaaa1111", yes()).state is ApprovalState.PENDING
    with pytest.raises(AlreadyDecided, match="needs a second person"):
        approvals.vote("aaaa1111", yes())
    assert approvals.vote("aaaa1111", yes("carl")).state is ApprovalState.APPROVED


def test_one_no_is_enough_when_two_are_needed(approvals):
    approvals.open(a_request(approvals_needed=2))
    approvals.vote("aaaa1111", yes())
    assert approvals.vote("aaaa1111", no("carl")).state is ApprovalState.REJECTED


def test_void_withdraws_an_approval_and_leaves_a_rejection(approvals):
    approvals.open(a_request())
    approvals.vote("aaaa1111", yes())
    assert approvals.void("aaaa1111", "the model changed").state is ApprovalState.VOID
    approvals.open(a_request("bbbb2222", version="5"))
    approvals.vote("bbbb2222", no())
    assert approvals.void("bbbb2222", "the model changed").state is ApprovalState.REJECTED


def test_what_a_release_used_up_names_it(approvals):
    approvals.open(a_request())
    approvals.vote("aaaa1111", yes())
    spent = approvals.void("aaaa1111", "rolled back: bad", release_id="r-1")
    assert spent.state is ApprovalState.VOID and spent.spent and spent.release_id == "r-1"
    assert approvals.get("aaaa1111") == spent
    assert approvals.void("aaaa1111", "later", release_id="r-2") == spent


def test_of_many_threads_one_decides(approvals):
    approvals.open(a_request())

    def answer(i: int) -> str:
        try:
            vote = yes(f"p{i}") if i % 2 else no(f"p{i}")
            return approvals.vote("aaaa1111", vote).state
        except AlreadyDecided:
            return "late"

    with ThreadPoolExecutor(8) as pool:
        outcomes = Counter(pool.map(answer, range(24)))
    assert outcomes["late"] == 23
    assert len(approvals.get("aaaa1111").votes) == 1


def _vote_in_a_process(database: Path, who: str) -> bool:
    try:
        SqliteApprovals(database).vote("aaaa1111", yes(who))
    except AlreadyDecided:
        return False
    return True


def test_of_many_processes_one_decides(tmp_path):
    SqliteApprovals(tmp_path / "platform.db").open(a_request())
    words = [(tmp_path / "platform.db", f"p{i}") for i in range(6)]
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert sum(pool.starmap(_vote_in_a_process, words)) == 1


def test_an_unknown_state_cannot_be_stored(tmp_path):
    SqliteApprovals(tmp_path / "platform.db").open(a_request())
    with (
        sqlite3.connect(tmp_path / "platform.db") as db,
        pytest.raises(sqlite3.IntegrityError),
    ):
        db.execute("UPDATE approvals SET state = 'sure'")


def test_every_bound_thing_is_noticed_when_it_changes():
    for name in ("model", "evaluation", "data_snapshot", "canary_plan", "champion"):
        changed = replace(SUBJECT, **{name: "other"})
        assert len(SUBJECT.changes(changed)) == 1
        assert changed.digest != SUBJECT.digest
    assert SUBJECT.changes(SUBJECT) == []


def test_becoming_the_champion_does_not_void_ones_own_approval():
    assert SUBJECT.changes(replace(SUBJECT, champion=SELF)) == []
