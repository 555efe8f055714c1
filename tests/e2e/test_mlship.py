"""mlship and ``platform-ctl release`` on a real registry, a real approval and a real service."""

from __future__ import annotations

import json
import subprocess
import sys
import time
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

LOOKS = (
    ("service", "list"),
    ("approval", "list"),
    ("approval", "show"),
    ("release", "show", RECIPE.inference_service),
    ("run", "list"),
    ("doctor",),
)
"""Commands that look: none of them takes a release on."""
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
    document = json.loads(deployed.stdout)
    assert document["release"]["state"] == "promoted"
    assert targets.orchestrator(settings).get(document["run"]).pipeline == "promote"
    verified = run(home, "app", "model", "verify", f"{NAME}@production")
    # The candidate was made by hand, so its pack lacks a run; that there is one is the point.
    assert f"the evidence pack {NAME}-{first.version}.tar, file by file" in verified.stdout
    again = run(home, "mlship", "deploy", f"{NAME}/{first.version}")
    assert again.returncode == 0, again.stderr
    assert targets.registry(settings).aliases(NAME)["production"] == first.version

    approve_version(settings, second)
    too_much = run(home, "mlship", "deploy", f"{NAME}/{second.version}", "--canary", "90")
    assert too_much.returncode == 2 and "10, 25, 50, 100 percent" in too_much.stderr
    canary = run(home, "mlship", "deploy", f"{NAME}/{second.version}", "--canary", "5")
    assert canary.returncode == 0 and "http://127.0.0.1:" in canary.stdout, canary.stderr
    for look in LOOKS:
        assert run(home, "app", *look).returncode in (0, 1)
    time.sleep(35)  # longer than anything of ours has ever polled
    listed = json.loads(run(home, "app", "service", "list", "-o", "json").stdout)
    assert listed[0]["spec"]["weight_percent"] == 5
    shown = run(home, "app", "release", "show", NAME)
    assert "stands at 5 % of the traffic, as was asked" in shown.stdout
    assert targets.registry(settings).aliases(NAME)["production"] == first.version
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
