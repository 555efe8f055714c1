"""A promotion whose process was killed: commands that look name it, doctor --repair carries on."""

from __future__ import annotations

import json
import os
import signal

import pytest

from platform_ctl import settings as cascade
from platform_ctl import targets
from platform_ctl.approvals import ask as request_approval
from platform_ctl.approvals.request import ApprovalState
from platform_ctl.models.register import register_model
from recipes.train_deploy.recipe import RECIPE
from tests.e2e.test_mlship import LOOKS, ROOT, run
from tests.support.candidates import PASSED, write_candidate
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

NAME = RECIPE.inference_service


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "home"
    yield home
    serving = targets.serving(cascade.load(cwd=ROOT, env={"PLATFORM_HOME": str(home)}).settings)
    for service in serving.list():
        serving.stop(service.name)


@pytest.mark.parametrize(
    ("task", "verb"),
    [("deploy-canary", "repair"), ("analyse", "repair"), ("analyse", "resume")],
)
def test_kill_9_of_a_promotion_then_a_repair(home, tmp_path, task, verb):
    settings = cascade.load(cwd=ROOT, env={"PLATFORM_HOME": str(home)}).settings
    registry, approvals = targets.registry(settings), targets.approvals(settings)
    model, evaluation = write_candidate(tmp_path / "candidate", seed=0)
    version = register_model(
        registry,
        recipe=RECIPE,
        model_dir=model,
        evaluation_dir=evaluation,
        decision=PASSED,
        provenance={"run_id": "test"},
    )
    asked = request_approval.request(
        registry,
        approvals,
        recipe=RECIPE,
        version=version,
        requested_by="requester",
        settings=settings.approval,
    )
    approved = run(home, "app", "approval", "approve", asked.id, "--reason", "ok", "-o", "json")
    promotion = json.loads(approved.stdout)["run"]
    orchestrator = targets.orchestrator(settings)
    eventually(lambda: any(t.name == task for t in orchestrator.get(promotion).tasks), seconds=60)
    os.kill(orchestrator.get(promotion).pid, signal.SIGKILL)
    assert eventually(lambda: orchestrator.get(promotion).died)

    for look in LOOKS:
        looked = run(home, "app", *look)
        if look[0] in ("service", "approval", "release"):
            assert f"died (run {promotion[:8]}); platform-ctl doctor --repair" in looked.stderr
    assert orchestrator.get(promotion).died, "who looks carries nothing on"
    if verb == "repair":
        repaired = run(home, "app", "doctor", "--repair")
        assert f"goes on as run {promotion[:8]}" in repaired.stderr
    else:
        assert run(home, "app", "run", "resume", promotion).returncode in (0, 1)
    eventually(lambda: orchestrator.get(promotion).state == "SUCCEEDED", seconds=120)
    assert registry.aliases(NAME) == {"production": version.version}
    assert len(orchestrator.list(10)) == 1
    assert approvals.get(asked.id).state is ApprovalState.APPROVED
    assert "died" not in run(home, "app", "release", "show", NAME).stderr
