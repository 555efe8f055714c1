"""Who may decide, about what, and when an answer stops counting. The registry is the real one."""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from mlflow import MlflowClient

from platform_ctl import targets
from platform_ctl.approvals.ask import request
from platform_ctl.approvals.compare import compare
from platform_ctl.approvals.decide import (
    DecisionPorts,
    as_they_stand,
    decide,
    verify,
    void_outdated,
)
from platform_ctl.approvals.decide import answer as answer_with
from platform_ctl.approvals.promotion import continue_promotion, start_promotion
from platform_ctl.approvals.request import Answer, ApprovalState
from platform_ctl.approvals.resume import interrupted, resume_promotions
from platform_ctl.errors import (
    AlreadyDecided,
    ApprovalMissing,
    DiskFull,
    HomeBusy,
    NotAnApprover,
    PlatformError,
    TargetUnavailable,
    UsageError,
)
from platform_ctl.home.state import connect
from platform_ctl.models.model import PRODUCTION
from platform_ctl.models.register import register_model
from platform_ctl.recipe.recipe import CanaryPlan
from platform_ctl.releases.deploy import require_approval
from platform_ctl.runs.record import Run, RunState
from platform_ctl.settings import ApprovalSettings, Settings
from platform_ctl.text import moment
from recipes.train_deploy.recipe import RECIPE
from tests.fakes.runs import FakeRuns
from tests.support.candidates import PASSED, write_candidate

NAME = RECIPE.model_name
RECIPES = {RECIPE.name: RECIPE}
LAPTOP = ApprovalSettings()
TEAM = ApprovalSettings(approvers=["bob", "carl"], self_approval=False)


class World:
    """A registry with versions 1 and 2, and approvals in a database of each test's own."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(home=str(folder / "home"))
        self.registry = targets.registry(self.settings)
        for seed in (1, 2):
            model_dir, evaluation_dir = write_candidate(folder / f"candidate-{seed}", seed=seed)
            register_model(
                self.registry,
                recipe=RECIPE,
                model_dir=model_dir,
                evaluation_dir=evaluation_dir,
                decision=PASSED,
                provenance={"data_snapshot": "4711"},
            )

    def version(self, number: str):
        return next(v for v in self.registry.models()[0].versions if v.version == number)

    def point_production_at(self, number: str) -> None:
        self.registry.move_aliases(NAME, {PRODUCTION: number}, actor="ann", reason="test")


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture
def approvals(world, tmp_path):
    world.point_production_at("")
    return targets.approvals(Settings(home=str(tmp_path)))


@pytest.fixture
def ask(world, approvals):
    def ask(number="1", settings=LAPTOP, recipe=RECIPE, **more):
        return request(
            world.registry,
            approvals,
            recipe=recipe,
            version=world.version(number),
            requested_by="ann",
            settings=settings,
            **more,
        )

    return ask


@pytest.fixture
def answer(world, approvals):
    def answer(request_id, who="bob", what=Answer.APPROVE, settings=LAPTOP, **more):
        return decide(
            world.registry,
            approvals,
            more.pop("recipes", RECIPES),
            request_id=request_id,
            answer=what,
            approver=who,
            settings=settings,
            **{"reason": "looks right", **more},
        )

    return answer


def test_asking_twice_is_asking_once(ask):
    assert ask() == ask()
    assert len(ask().id) == 8


def test_the_answer_is_recorded_and_verified(ask, answer, world, approvals):
    made = ask()
    decision = answer(made.id)
    assert decision.new and decision.request.state is ApprovalState.APPROVED
    assert verify(world.registry, approvals, RECIPES, made.id).id == made.id
    assert ask().id == made.id


@pytest.mark.parametrize("reason", ["", "  ", "\n"])
def test_a_reason_is_required(ask, answer, approvals, reason):
    made = ask()
    with pytest.raises(UsageError, match="needs a reason"):
        answer(made.id, reason=reason)
    assert approvals.get(made.id).state is ApprovalState.PENDING


def test_only_approvers_approve(ask, answer):
    made = ask(settings=TEAM)
    with pytest.raises(NotAnApprover, match="eve is not one of the approvers: bob, carl"):
        answer(made.id, who="eve", settings=TEAM)
    assert answer(made.id, who="carl", settings=TEAM).notes == ()


def test_no_self_approval_unless_the_settings_allow_it_and_then_it_says_so(ask, answer):
    made = ask()
    strict = ApprovalSettings(approvers=["ann"], self_approval=False)
    with pytest.raises(NotAnApprover, match="may not give it"):
        answer(made.id, who="ann", settings=strict)
    notes = answer(made.id, who="ann").notes
    assert "approval.self_approval" in notes[0]
    assert "every user of this machine" in notes[1]


def test_whoever_asked_may_withdraw(ask, answer):
    decision = answer(ask().id, who="ann", what=Answer.REJECT, settings=TEAM)
    assert decision.request.state is ApprovalState.REJECTED


def test_a_second_person_is_somebody_else(ask, answer):
    two = ApprovalSettings(second_person=True)
    made = ask(settings=two)
    assert answer(made.id, who="bob", settings=two).request.state is ApprovalState.PENDING
    with pytest.raises(AlreadyDecided):
        answer(made.id, who="bob", settings=two)
    assert answer(made.id, who="carl", settings=two).request.state is ApprovalState.APPROVED


def test_approving_again_is_harmless_and_rejecting_afterwards_is_too_late(ask, answer):
    made = ask()
    answer(made.id)
    assert answer(made.id, who="carl").new is False
    with pytest.raises(AlreadyDecided):
        answer(made.id, who="carl", what=Answer.REJECT)


def test_a_changed_champion_voids_the_request(ask, answer, world, approvals):
    made = ask()
    world.point_production_at("2")
    with pytest.raises(ApprovalMissing, match="the champion was none and is 2 sha256:"):
        answer(made.id)
    assert approvals.get(made.id).state is ApprovalState.VOID
    assert ask().id != made.id


def test_a_changed_canary_plan_voids_an_approval_at_promote(ask, answer, world, approvals):
    made = ask()
    answer(made.id)
    hasty = {RECIPE.name: replace(RECIPE, canary=CanaryPlan(weights_percent=(100,)))}
    with pytest.raises(ApprovalMissing, match="canary plan"):
        verify(world.registry, approvals, hasty, made.id)
    with pytest.raises(ApprovalMissing, match="is void, not approved"):
        verify(world.registry, approvals, RECIPES, made.id)


@pytest.mark.parametrize("part", ["weights/model.safetensors", "evaluation/evaluation.json"])
def test_a_flipped_byte_voids_the_request(ask, answer, world, part):
    made = ask()
    folder, name = part.split("/")
    file = world.registry.local_dir(world.version("1"), folder) / name
    content = file.read_bytes()
    file.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
    try:
        with pytest.raises(ApprovalMissing, match="is void"):
            answer(made.id)
    finally:
        file.write_bytes(content)


def test_becoming_the_champion_keeps_the_approval(ask, answer, world, approvals):
    made = ask()
    answer(made.id)
    world.point_production_at("1")
    assert verify(world.registry, approvals, RECIPES, made.id).state is ApprovalState.APPROVED
    assert ask().id == made.id


def test_a_rejected_model_is_not_asked_for_again_unless_somebody_wants_to(ask, answer):
    made = ask()
    answer(made.id, what=Answer.REJECT)
    assert ask().state is ApprovalState.REJECTED
    again = ask(again=True)
    assert again.id != made.id and again.state is ApprovalState.PENDING


def test_an_approval_that_was_used_up_is_not_asked_for_again_by_itself(
    ask, answer, world, approvals
):
    made = ask()
    answer(made.id)
    approvals.void(made.id, "used by release 4711, rolled back: bad", release_id="4711")
    assert ask() == approvals.get(made.id)
    with pytest.raises(ApprovalMissing, match="used by release 4711") as refused:
        require_approval(world.registry, approvals, RECIPES, world.version("1"))
    assert refused.value.fix == f"platform-ctl approval request {NAME}/1"
    with pytest.raises(ApprovalMissing, match="rolled back: bad") as refused:
        verify(world.registry, approvals, RECIPES, made.id)
    assert refused.value.fix == f"platform-ctl approval request {NAME}/1"
    again = ask(again=True)
    assert again.id != made.id and again.state is ApprovalState.PENDING


def test_what_is_pending_or_rejected_is_not_verified(ask, world, approvals):
    with pytest.raises(ApprovalMissing, match="is pending, not approved"):
        verify(world.registry, approvals, RECIPES, ask().id)


def test_an_approver_sees_the_candidate_beside_the_baseline(ask, world):
    rows = compare(world.registry, ask())
    assert rows[0].name == "mase"
    assert rows[0].candidate > 0 and rows[0].baseline > 0 and rows[0].champion is None
    assert any("slice" in r.name or "mase," in r.name for r in rows)


@pytest.mark.parametrize(
    ("then", "now"),
    [(LAPTOP, TEAM), (TEAM, LAPTOP)],
    ids=["tightened later", "loosened later"],
)
def test_the_stricter_policy_of_then_and_now_holds(ask, answer, then, now):
    """A list that was made shorter counts at once; one made longer does not open what is open."""
    made = ask(settings=then)
    for nobody in ("eve", "ann"):
        with pytest.raises(NotAnApprover, match="not one of the approvers: bob, carl"):
            answer(made.id, who=nobody, settings=now)
    assert answer(made.id, who="bob", settings=now).request.state is ApprovalState.APPROVED


@pytest.mark.parametrize("first", [True, False])
def test_self_approval_needs_to_be_allowed_then_and_now(ask, answer, first):
    strict = ApprovalSettings(self_approval=False)
    then, now = (LAPTOP, strict) if first else (strict, LAPTOP)
    made = ask(settings=then)
    with pytest.raises(NotAnApprover, match="may not give it"):
        answer(made.id, who="ann", settings=now)
    assert answer(made.id, who="bob", settings=now).new


@pytest.mark.parametrize("first", [True, False])
def test_a_second_person_is_needed_when_it_was_or_is_asked_for(ask, answer, first):
    two = ApprovalSettings(second_person=True)
    then, now = (LAPTOP, two) if first else (two, LAPTOP)
    made = ask(settings=then)
    assert answer(made.id, who="bob", settings=now).request.state is ApprovalState.PENDING
    assert answer(made.id, who="carl", settings=now).request.state is ApprovalState.APPROVED


def test_the_first_of_two_counts_only_while_they_may_approve(ask, answer):
    two = ApprovalSettings(second_person=True)
    made = ask(settings=two)
    answer(made.id, who="bob", settings=two)
    bob_left = ApprovalSettings(approvers=["carl", "dora"], second_person=True)
    assert answer(made.id, who="carl", settings=bob_left).request.state is ApprovalState.PENDING
    decided = answer(made.id, who="dora", settings=bob_left).request
    assert decided.state is ApprovalState.APPROVED


def test_when_nobody_of_then_may_approve_now_it_says_how_to_ask_anew(ask, answer):
    made = ask(settings=TEAM)
    with pytest.raises(NotAnApprover, match="nobody who could approve") as refused:
        answer(made.id, who="dora", settings=ApprovalSettings(approvers=["dora"]))
    assert f"platform-ctl approval request {NAME}/1" in refused.value.fix


def test_a_shorter_expiry_counts_at_once_and_a_longer_one_does_not(ask, world, tmp_path):
    made = ask()

    def seen(hours: float) -> str:
        settings = Settings(home=str(tmp_path), approval=ApprovalSettings(expires_h=hours))
        return targets.approvals(settings).get(made.id)

    assert seen(1000.0).expires_at == made.expires_at
    assert seen(1.0).expires_at < made.expires_at
    assert seen(0.0).state is ApprovalState.EXPIRED


def test_what_has_expired_is_asked_again_only_by_somebody_who_asks(ask, answer, tmp_path):
    made = ask()
    with contextlib.closing(connect(tmp_path / "platform.db")) as db:
        db.execute("UPDATE approvals SET expires_at = '2020-01-01T00:00:00.000+00:00'")
    with pytest.raises(AlreadyDecided, match="expired"):
        answer(made.id)
    assert ask().state is ApprovalState.EXPIRED
    again = ask(again=True)
    assert again.id != made.id
    assert answer(again.id).request.state is ApprovalState.APPROVED


def altered(world, part: str, pattern: str, change):
    """Alter a file of version 1; yields its path, and puts it back."""
    file = next(world.registry.local_dir(world.version("1"), part).glob(pattern))
    content = file.read_text()
    changed = change(content)
    assert changed != content
    file.write_text(changed)
    return file, content


@pytest.mark.parametrize(
    ("pattern", "change"),
    [
        ("code/predictor_*.py", lambda text: text + "\n# harmless\n"),
        ("code/loader_*.py", lambda text: text.replace("__all__", "import os\n__all__")),
        ("MLmodel", lambda text: text.replace("double", "long", 1)),
        ("MLmodel", lambda text: text.replace("loader_module: loader_", "loader_module: other_")),
        ("MLmodel", lambda text: text[:40]),
        ("MLmodel", lambda text: "a: b: c"),
    ],
    ids=["predict code", "loader", "signature", "which loader", "half of it", "nonsense"],
)
def test_other_predict_code_or_signature_voids_the_request(ask, answer, world, pattern, change):
    made = ask()
    file, content = altered(world, "model", pattern, change)
    try:
        with pytest.raises(ApprovalMissing, match="is void"):
            answer(made.id)
    finally:
        file.write_text(content)


def test_code_that_was_put_beside_the_model_voids_the_request(ask, answer, world):
    made = ask()
    planted = world.registry.local_dir(world.version("1")) / "code" / "numpy.py"
    planted.write_text("raise SystemExit")
    try:
        with pytest.raises(ApprovalMissing, match="is void"):
            answer(made.id)
    finally:
        planted.unlink()


def test_another_data_snapshot_voids_the_request(ask, answer, world):
    made = ask()
    client = MlflowClient(targets.mlflow_uri(world.settings))
    client.set_model_version_tag(NAME, "1", "data_snapshot", "4712")
    try:
        with pytest.raises(ApprovalMissing, match="the data snapshot was 4711 and is 4712"):
            answer(made.id)
    finally:
        client.set_model_version_tag(NAME, "1", "data_snapshot", "4711")


@pytest.mark.parametrize(
    ("pattern", "change"),
    [
        ("MLmodel", lambda text: re.sub(r"(?m)^run_id: .*$", "run_id: '4711'", text)),
        (
            "MLmodel",
            lambda text: re.sub(r"(?m)^utc_time_created: .*$", "utc_time_created: x", text),
        ),
        ("requirements.txt", lambda text: text + "\n# written again\n"),
        ("conda.yaml", lambda text: text + "\n# written again\n"),
    ],
)
def test_what_only_says_who_wrote_it_voids_nothing(ask, answer, world, pattern, change):
    made = ask()
    file, content = altered(world, "model", pattern, change)
    try:
        assert answer(made.id).request.state is ApprovalState.APPROVED
    finally:
        file.write_text(content)


class Kept:
    """A notifier that keeps what it is given."""

    def __init__(self):
        self.messages = []

    def send(self, message):
        self.messages.append(message)


def test_the_message_has_what_an_approver_needs(ask, world):
    kept = Kept()
    made = ask(settings=ApprovalSettings(second_person=True), notifier=kept)
    (message,) = kept.messages
    assert message.title == f"{NAME}/1 waits for approval"
    assert "same data" not in message.body
    for needed in (
        "Asked by ann",
        moment(made.expires_at),
        "2 different people",
        "best baseline",
        "mase, steady",
        f"platform-ctl approval approve {made.id} --reason",
        f"platform-ctl approval reject {made.id} --reason",
    ):
        assert needed in message.body


def test_an_approver_is_told_that_the_champion_knows_the_same_data(ask, world):
    world.point_production_at("2")
    kept = Kept()
    ask(notifier=kept)
    assert f"{NAME}/2 in production was trained on the same data" in kept.messages[0].body


class Submitted:
    """Takes runs as an orchestrator does: the same key is the same run."""

    def __init__(self, dies: bool = False):
        self.dies = dies
        self.requests = {}

    def submit(self, request):
        self.requests.setdefault(request.idempotency_key, request)
        if self.dies:
            raise KeyboardInterrupt
        return Run(
            request.idempotency_key, request.name, "promote", RunState.PENDING, "now", "folder"
        )

    def list(self, limit):
        return []


def test_a_promotion_is_one_run_however_often_it_is_started(ask, approvals):
    orchestrator, made = Submitted(), ask()
    for _ in range(2):
        start_promotion(orchestrator, approvals, Path("promote.yaml"), made)
    (submitted,) = orchestrator.requests.values()
    assert submitted.idempotency_key == f"promote-{made.id}"
    assert submitted.parameters == {"approval_id": made.id}
    assert approvals.get(made.id).promotion_id == f"promote-{made.id}"


@pytest.mark.parametrize("dies", [False, True], ids=["before it", "just after it"])
def test_an_approval_whose_process_died_before_its_promotion_is_carried_out(
    ask, answer, approvals, dies
):
    made = ask()
    answer(made.id)
    orchestrator = Submitted(dies)
    if dies:
        with pytest.raises(KeyboardInterrupt):
            start_promotion(orchestrator, approvals, Path("promote.yaml"), made)
        orchestrator.dies = False

    def carry_on():
        return resume_promotions(orchestrator, approvals, lambda: Path("promote.yaml"))

    assert interrupted(orchestrator, approvals) == [f"the promotion of {NAME}/1 was never started"]
    assert len(orchestrator.requests) == dies, "who looks starts nothing"
    assert [r.name for r in carry_on()] == [f"promote {NAME}/1"]
    assert carry_on() == [] == interrupted(orchestrator, approvals)
    assert list(orchestrator.requests) == [f"promote-{made.id}"]


@pytest.fixture
def ports(world, approvals):
    return DecisionPorts(
        world.registry,
        approvals,
        RECIPES,
        FakeRuns(),
        lambda: Path("promote.yaml"),
        Kept(),
        LAPTOP,
    )


@pytest.mark.parametrize("ended", [RunState.FAILED, RunState.CANCELED])
def test_a_second_yes_after_a_promotion_that_failed_is_a_new_run(ask, ports, ended):
    def yes():
        return answer_with(ports, made.id, Answer.APPROVE, approver="ann", reason="fine")

    made = ask()
    first = yes().run
    assert yes().run == first, "it is at work"
    for _ in range(2):
        ports.runs.end(first.id, ended)
        again = yes()
        assert again.run.id != first.id and not again.run.state.final
        assert again.run.parameters == {"approval_id": made.id}
        assert f"its promotion, run {first.id}, ended {ended}" in again.notes[-1]
        assert yes().run == again.run
        first = again.run
    ports.runs.end(first.id, RunState.SUCCEEDED)
    assert yes().run == ports.runs.get(first.id), "the newest run says what is now"


def test_nothing_repeats_a_failed_promotion_by_itself(ask, ports):
    made = ask()
    run = answer_with(ports, made.id, Answer.APPROVE, approver="ann", reason="fine").run
    ports.runs.end(run.id, RunState.FAILED)
    assert resume_promotions(ports.runs, ports.approvals, ports.promote) == []
    assert start_promotion(ports.runs, ports.approvals, ports.promote(), made).id == run.id
    assert len(ports.runs.kept) == 1


def test_a_promotion_that_goes_on_with_a_release_and_dies_is_carried_on_by_a_repair(ask, ports):
    made = ask()
    held = answer_with(ports, made.id, Answer.APPROVE, approver="ann", reason="fine").run
    ports.runs.end(held.id, RunState.SUCCEEDED)
    held = ports.runs.get(held.id)
    going_on = continue_promotion(ports.runs, ports.promote(), made.id, made.reference, held)
    ports.runs.end(going_on.id, RunState.FAILED, died=True)
    sentence = f"the promotion of {NAME}/1 died (run {going_on.id[:8]})"
    assert interrupted(ports.runs, ports.approvals) == [sentence]
    (run,) = resume_promotions(ports.runs, ports.approvals, ports.promote)
    assert run.id not in (held.id, going_on.id) and not run.state.final
    assert interrupted(ports.runs, ports.approvals) == []


def test_a_yes_after_a_release_continue_that_died_takes_the_release_up(ask, ports):
    def yes():
        return answer_with(ports, made.id, Answer.APPROVE, approver="ann", reason="fine").run

    made = ask()
    held = yes()
    ports.runs.end(held.id, RunState.SUCCEEDED)
    held = ports.runs.get(held.id)
    going_on = continue_promotion(ports.runs, ports.promote(), made.id, made.reference, held)
    ports.runs.end(going_on.id, RunState.FAILED, died=True)
    run = yes()
    assert run.id not in (held.id, going_on.id) and not run.state.final


@pytest.mark.parametrize("what", [None, Answer.REJECT])
def test_only_a_yes_is_carried_out(ask, answer, approvals, what):
    made = ask()
    if what:
        answer(made.id, what=what)
    assert resume_promotions(Submitted(), approvals, lambda: 1 / 0) == []


class Unreachable:
    """A registry that does not answer."""

    def __init__(self, error: PlatformError) -> None:
        self._error = error

    def models(self) -> NoReturn:
        raise self._error


@pytest.mark.parametrize(
    "error",
    [
        TargetUnavailable("MLflow does not answer", where="mlflow", fix="curl mlflow"),
        HomeBusy("another process holds the registry", where="home", fix="platform-ctl doctor"),
        DiskFull("no room", where="home", fix="df -h"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_registry_that_does_not_answer_voids_nothing(ask, answer, approvals, error):
    """An answer for good needs a fact: that nobody can look is none."""
    pending, approved = ask(), ask("2")
    answer(approved.id)
    with pytest.raises(type(error)):
        verify(Unreachable(error), approvals, RECIPES, approved.id)
    with pytest.raises(type(error)):
        decide(
            Unreachable(error),
            approvals,
            RECIPES,
            request_id=pending.id,
            answer=Answer.APPROVE,
            approver="bob",
            reason="good",
            settings=LAPTOP,
        )
    assert approvals.get(pending.id).state is ApprovalState.PENDING
    assert approvals.get(approved.id).state is ApprovalState.APPROVED


def test_a_list_shows_what_is_void_before_anybody_answers(ask, world, approvals):
    made = ask("2")
    world.point_production_at("1")
    (shown,) = as_they_stand(world.registry, RECIPES, approvals.list())
    assert (shown.id, shown.state) == (made.id, ApprovalState.VOID)
    assert shown.reason.startswith("the champion was none and is 1 sha256:")
    assert approvals.get(made.id).state is ApprovalState.PENDING  # looking writes nothing


def test_a_list_is_shown_while_the_registry_does_not_answer(ask, approvals):
    made = ask()
    down = TargetUnavailable("MLflow does not answer", where="mlflow", fix="curl mlflow")
    assert as_they_stand(Unreachable(down), RECIPES, approvals.list()) == [made]


def test_a_new_champion_voids_what_was_asked_against_the_old_one(ask, world, approvals):
    against_none, same = ask("2"), ask("1")
    world.point_production_at("1")
    void_outdated(world.registry, approvals, NAME)
    assert approvals.get(against_none.id).state is ApprovalState.VOID
    assert approvals.get(same.id).state is ApprovalState.PENDING  # it has become the champion
