"""The step that starts a canary does not trust an earlier step's look at the approval."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipelines.steps import deploy_canary, verify_approval
from platform_ctl import targets
from platform_ctl.approvals.ask import request
from platform_ctl.approvals.decide import decide
from platform_ctl.approvals.request import Answer, ApprovalState
from platform_ctl.errors import ApprovalMissing
from platform_ctl.models.register import register_model
from platform_ctl.settings import Settings
from recipes.train_deploy.recipe import RECIPE
from tests.support.candidates import PASSED, write_candidate


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Iterator[Settings]:
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path / "home"))
    settings = targets.current_settings()
    yield settings
    for service in targets.serving(settings).list():
        targets.serving(settings).stop(service.name)


def _registered(settings: Settings, folder, seed: int):
    model_dir, evaluation_dir = write_candidate(folder / f"candidate-{seed}", seed=seed)
    return register_model(
        targets.registry(settings),
        recipe=RECIPE,
        model_dir=model_dir,
        evaluation_dir=evaluation_dir,
        decision=PASSED,
        provenance={"data_snapshot": "4711"},
    )


def test_a_resumed_promotion_stops_when_another_version_went_to_production(settings, tmp_path):
    registry, approvals = targets.registry(settings), targets.approvals(settings)
    older, newer = (_registered(settings, tmp_path, seed) for seed in (1, 2))
    asked = request(
        registry,
        approvals,
        recipe=RECIPE,
        version=older,
        requested_by="ann",
        settings=settings.approval,
        notifier=targets.notifier(settings),
    )
    decide(
        registry,
        approvals,
        targets.recipes(settings),
        request_id=asked.id,
        answer=Answer.APPROVE,
        approver="bob",
        reason="better",
        settings=settings.approval,
    )
    model, version, _ = verify_approval.run(asked.id, "")
    registry.move_aliases(newer.name, {"production": newer.version}, actor="carl", reason="first")

    with pytest.raises(ApprovalMissing, match="the champion was none"):
        deploy_canary.run(asked.id, model, version)
    assert approvals.get(asked.id).state is ApprovalState.VOID
    assert targets.serving(settings).list() == []
