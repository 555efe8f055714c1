"""What a re-run registers and asks about when a model, or its equal, is in production already."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from mlflow import MlflowClient

from pipelines.steps import request_approval
from platform_ctl import targets
from platform_ctl.approvals.request import Answer, Vote
from platform_ctl.models.register import register_model
from platform_ctl.recipe.gate import GateDecision
from platform_ctl.recipe.verdict import Verdict
from recipes.train_deploy.recipe import RECIPE
from tests.support.candidates import write_candidate

NAME = RECIPE.model_name
DECISION = GateDecision(
    Verdict.SUCCESSFUL,
    ("The model is 10.0 % better than mean_4w", "It is within the ceiling"),
    {"baseline": {"verdict": "successful", "baseline": "mean_4w", "point": 0.90123, "weeks": 12}},
)


class Home:
    def __init__(self, folder) -> None:
        self.settings = targets.current_settings()
        self.registry = targets.registry(self.settings)
        self.folder = folder

    def run(self, seed: int) -> tuple[str, str]:
        """The end of a run of train-deploy -> (version, what the request step says)."""
        model_dir, evaluation_dir = write_candidate(self.folder / f"candidate-{seed}", seed=seed)
        version = register_model(
            self.registry,
            recipe=RECIPE,
            model_dir=model_dir,
            evaluation_dir=evaluation_dir,
            decision=DECISION,
            provenance={"data_snapshot": "4711"},
        )
        _, line, _ = request_approval.run(RECIPE.name, version.version, "")
        return version.version, line

    def promote(self, number: str) -> None:
        before = self.registry.aliases(NAME).get("production", "")
        moves = {"production": number, "previous": before, "staging": ""}
        self.registry.move_aliases(NAME, moves, actor="promote", reason="canary successful")

    @property
    def asked(self) -> list[str]:
        return [f"{r.version} {r.state}" for r in targets.approvals(self.settings).list()]


@pytest.fixture
def home(tmp_path, monkeypatch) -> Home:
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path / "home"))
    return Home(tmp_path)


def test_the_model_that_is_in_production_is_not_asked_about_again(home):
    home.run(1)
    home.promote("1")
    asked = home.asked
    assert home.run(1) == ("1", f"{NAME}/1 is what is in production: there is nothing to approve")
    assert home.asked == asked
    assert home.registry.aliases(NAME) == {"production": "1"}


def test_after_a_no_the_run_names_the_command_that_asks_again(home):
    home.run(1)
    (asked,) = targets.approvals(home.settings).list()
    no = Vote("ada", Answer.REJECT, "not now", datetime.now(UTC).isoformat())
    targets.approvals(home.settings).vote(asked.id, no)
    _, line, command = request_approval.run(RECIPE.name, "1", "")
    assert line.endswith(": rejected")
    assert command == f"platform-ctl approval request {NAME}/1"


def test_two_models_that_are_as_good_do_not_take_turns(home):
    home.run(1)
    home.promote("1")
    assert home.run(2)[1] == f"{NAME}/2 against the baselines: pending"
    home.promote("2")
    asked, aliases = home.asked, home.registry.aliases(NAME)
    for _ in range(2):
        assert "has been in production before" in home.run(1)[1]
        assert "is what is in production" in home.run(2)[1]
    assert home.asked == asked
    assert home.registry.aliases(NAME) == aliases == {"production": "2", "previous": "1"}


def test_an_alias_that_somebody_set_in_mlflow_is_no_production(home):
    home.run(1)
    client = MlflowClient(targets.mlflow_uri(home.settings))
    client.set_registered_model_alias(NAME, "production", "1")
    home.registry.move_aliases(NAME, {"production": ""}, actor="ann", reason="not ours")
    assert "pending" in home.run(1)[1]


def test_the_verdict_and_its_figures_are_tags_of_the_version_and_of_its_mlflow_run(home):
    home.run(1)
    version = home.registry.models()[0].versions[0]
    run = MlflowClient(targets.mlflow_uri(home.settings)).get_run(version.mlflow_run_id)
    for tags in (version.tags, run.data.tags):
        assert tags["gate_verdict"] == "successful"
        assert tags["gate.reason"] == DECISION.reasons[0]
        assert tags["gate.baseline"] == "successful, baseline mean_4w, point 0.9012, weeks 12"
