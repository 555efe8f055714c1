"""mlship and ``platform-ctl release`` on a real registry, a real approval and a real service."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from platform_ctl import settings as cascade
from platform_ctl import targets
from platform_ctl.approvals import ask as request_approval
from platform_ctl.approvals import decide as approve
from platform_ctl.approvals.request import Answer
from platform_ctl.models.register import register_model
from recipes.train_deploy.recipe import RECIPE
from tests.support.candidates import PASSED, write_candidate

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
NAME = RECIPE.inference_service


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("mlship") / "home"


@pytest.fixture(scope="module")
def settings(home):
    return cascade.load(cwd=ROOT, env={"PLATFORM_HOME": str(home)}).settings


@pytest.fixture(scope="module", autouse=True)
def stopped_at_the_end(settings):
    yield
    serving = targets.serving(settings)
    for service in serving.list():
        serving.stop(service.name)


@pytest.fixture(scope="module")
def registered(settings, tmp_path_factory):
    """Two versions with their evaluations; the second was compared with nothing."""
    folder = tmp_path_factory.mktemp("candidates")
    found = []
    for seed in (0, 1):
        model, evaluation = write_candidate(folder / str(seed), seed=seed)
        found.append(
            register_model(
                targets.registry(settings),
                recipe=RECIPE,
                model_dir=model,
                evaluation_dir=evaluation,
                decision=PASSED,
                provenance={"run_id": "test"},
            )
        )
    return found


def run(home, program, *words):
    code = f"import sys; from platform_ctl.cli.{program} import main; main(sys.argv[1:])"
    return subprocess.run(
        [sys.executable, "-c", code, "--home", str(home), *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def approve_version(settings, version):
    registry, approvals = targets.registry(settings), targets.approvals(settings)
    asked = request_approval.request(
        registry,
        approvals,
        recipe=RECIPE,
        version=version,
        requested_by="requester",
        settings=settings.approval,
    )
    approve.decide(
        registry,
        approvals,
        {RECIPE.name: RECIPE},
        request_id=asked.id,
        answer=Answer.APPROVE,
        approver="approver",
        reason="looks good",
        settings=settings.approval,
    )


def test_deploy_needs_an_approval_then_canary_then_production_and_back(home, settings, registered):
    first, second = registered
    refused = run(home, "mlship", "deploy", f"{NAME}/{first.version}")
    assert refused.returncode == 3
    assert "err-approval-missing" in refused.stderr

    approve_version(settings, first)
    deployed = run(home, "mlship", "deploy", f"{NAME}/{first.version}", "-o", "json")
    assert deployed.returncode == 0, deployed.stderr
    assert json.loads(deployed.stdout)["release"]["state"] == "promoted"
    assert targets.registry(settings).aliases(NAME)["production"] == first.version

    approve_version(settings, second)
    too_much = run(home, "mlship", "deploy", f"{NAME}/{second.version}", "--canary", "90")
    assert too_much.returncode == 2 and "starts at 10 percent" in too_much.stderr
    canary = run(home, "mlship", "deploy", f"{NAME}/{second.version}", "--canary", "5")
    assert canary.returncode == 0 and "http://127.0.0.1:" in canary.stdout
    listed = json.loads(run(home, "app", "service", "list", "-o", "json").stdout)
    assert listed[0]["spec"]["weight_percent"] == 5

    shown = run(home, "app", "release", "show", NAME)
    assert "step 1 of 5, the canary answered 0 of 200 requests, production 0" in shown.stdout
    aborted = run(home, "app", "release", "abort", NAME)
    assert aborted.returncode == 0 and "rolled back" in aborted.stdout
    assert targets.registry(settings).aliases(NAME)["production"] == first.version

    spent = run(home, "mlship", "deploy", f"{NAME}/{second.version}")
    assert spent.returncode == 3 and "err-approval-missing" in spent.stderr
    assert f"fix:   platform-ctl approval request {NAME}/{second.version}" in spent.stderr
    asked = run(home, "app", "approval", "request", f"{NAME}/{second.version}", "-o", "json")
    assert json.loads(asked.stdout)["state"] == "pending"
    approve_version(settings, second)
    again = run(home, "mlship", "deploy", f"{NAME}/{second.version}")
    assert again.returncode in (0, 1), again.stderr
    shown = run(home, "app", "release", "show", NAME)
    assert "analysed" in shown.stdout and "true error" in shown.stdout
    if again.returncode == 0:
        back = run(home, "app", "release", "rollback", NAME, "--reason", "test")
        assert back.returncode == 0, back.stderr
    assert targets.registry(settings).aliases(NAME)["production"] == first.version
    stopped = run(home, "app", "service", "stop", NAME)
    assert "stopped" in stopped.stdout
