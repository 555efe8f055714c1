"""What every Registry does; here the one on MLflow, through both of its read paths.

MLflow's schema is created once for the module and copied.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from platform_ctl import targets
from platform_ctl.approvals.subject import current_subject
from platform_ctl.errors import ConfigError, EvidenceMismatch, GateNotPassed, NoSuchModel
from platform_ctl.models import mlflow_sqlite
from platform_ctl.models.model import (
    OUTSIDE,
    PRODUCTION,
    STAGING,
    broken_link,
    find_version,
    unrecorded_moves,
)
from platform_ctl.models.register import register_model
from platform_ctl.recipe.gate import GateDecision
from platform_ctl.recipe.recipe import Recipe
from platform_ctl.recipe.verdict import Verdict
from platform_ctl.settings import Settings
from recipes.train_deploy.recipe import RECIPE
from tests.support.candidates import FEATURES, PASSED, write_candidate

NAME = RECIPE.model_name
PROVENANCE = {"data_snapshot": "4711", "run_id": "run-1", "feature_service": "weekly_commits"}


class Home:
    """A home with a registry, and candidates to register in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = Settings(home=str(folder / "home"))
        self.registry = targets.registry(self.settings)
        self.report = folder / "report.html"
        self.report.write_text("<p>a report", encoding="utf-8")

    def candidate(self, seed: int) -> tuple[Path, Path]:
        return write_candidate(self.folder / f"candidate-{seed}", seed=seed)

    def register(self, seed: int, decision: GateDecision = PASSED):
        model_dir, evaluation_dir = self.candidate(seed)
        return register_model(
            self.registry,
            recipe=RECIPE,
            model_dir=model_dir,
            evaluation_dir=evaluation_dir,
            decision=decision,
            provenance=PROVENANCE,
            parameters={"epochs": "3"},
            curves={"val_mase": [1.2, 1.1, 1.0]},
            report=self.report,
        )

    def client(self):
        from mlflow import MlflowClient

        uri = targets.mlflow_uri(self.settings)
        return MlflowClient(uri, uri)

    def mlflow_runs(self) -> int:
        with sqlite3.connect(self.settings.layout.mlflow / "mlflow.db") as db:
            return db.execute("SELECT count(*) FROM runs").fetchone()[0]


@pytest.fixture(scope="module")
def schema(tmp_path_factory) -> Path:
    home = Home(tmp_path_factory.mktemp("schema"))
    home.settings.layout.mlflow.mkdir(parents=True)
    home.client().search_registered_models()
    return home.settings.layout.mlflow / "mlflow.db"


@pytest.fixture
def home(tmp_path, schema) -> Home:
    home = Home(tmp_path)
    home.settings.layout.mlflow.mkdir(parents=True)
    shutil.copy(schema, home.settings.layout.mlflow / "mlflow.db")
    return home


def test_a_registry_that_was_never_used_is_empty_and_stays_unmade(tmp_path):
    home = Home(tmp_path)
    assert home.registry.models() == []
    assert home.registry.aliases(NAME) == {}
    assert not home.settings.layout.mlflow.exists()


def test_registering_twice_is_registering_once(home):
    first, again = home.register(1), home.register(1)
    assert first.version == again.version == "1"
    assert home.mlflow_runs() == 1
    assert len(home.registry.models()[0].versions) == 1
    assert home.registry.aliases(NAME) == {STAGING: "1"}
    assert len(home.registry.history()) == 1


def test_another_model_is_another_version_and_takes_staging(home):
    home.register(1)
    assert home.register(2).version == "2"
    assert home.registry.aliases(NAME) == {STAGING: "2"}


def test_provenance_figures_and_files_are_kept(home):
    version = home.register(1)
    assert version.tags.items() >= PROVENANCE.items()
    assert version.tags["gate_verdict"] == "successful"
    assert version.digest.startswith("sha256:")
    run = home.client().get_run(version.mlflow_run_id)
    assert run.data.metrics["golden_mase"] > 0
    names = {p.name for p in home.registry.local_dir(version, "evaluation").iterdir()}
    assert names >= {"evaluation.json", "errors.parquet"}
    weights = {p.name for p in home.registry.local_dir(version, "weights").iterdir()}
    assert weights == {"model.json", "model.safetensors"}
    described = (home.registry.local_dir(version) / "MLmodel").read_text()
    assert "signature" in described and "input_example.json" in described
    assert not list(home.registry.local_dir(version).rglob("*.pkl"))


def test_mlflow_shows_people_what_it_is_and_where_it_came_from(home):
    version, client = home.register(1), home.client()
    run = client.get_run(version.mlflow_run_id)
    assert run.info.run_name == f"{NAME} {PROVENANCE['run_id'][:8]}"
    assert run.data.params == {"epochs": "3"}
    curve = client.get_metric_history(run.info.run_id, "val_mase")
    assert [(m.step, m.value) for m in curve] == [(1, 1.2), (2, 1.1), (3, 1.0)]
    used = {i.tags[0].value: i.dataset for i in run.inputs.dataset_inputs}
    assert used["training"].digest == PROVENANCE["data_snapshot"]
    assert "report.html" in {f.path for f in client.list_artifacts(run.info.run_id)}
    described = client.get_model_version(NAME, version.version)
    assert described.run_id == run.info.run_id
    for page in (described.description, run.data.tags["mlflow.note.content"]):
        assert RECIPE.title in page and "on the golden set" in page and "run report" in page
    assert client.get_registered_model(NAME).description == RECIPE.title


def test_both_read_paths_agree(home, monkeypatch):
    home.register(1)
    home.register(2)
    quick = home.registry.models()
    monkeypatch.setattr(mlflow_sqlite, "read", lambda database: None)
    assert home.registry.models() == quick


def test_a_deleted_version_is_made_again_without_a_second_run(home):
    home.register(1)
    home.client().delete_model_version(NAME, "1")
    assert home.register(1).version == "2"
    assert home.mlflow_runs() == 1
    assert home.registry.aliases(NAME) == {STAGING: "2"}


def test_a_deleted_alias_is_set_again(home):
    home.register(1)
    home.client().delete_registered_model_alias(NAME, STAGING)
    home.register(1)
    assert home.registry.aliases(NAME) == {STAGING: "1"}


def test_deleted_files_are_logged_again(home):
    shutil.rmtree(home.registry.local_dir(home.register(1)))
    repaired = home.register(1)
    assert (home.registry.local_dir(repaired) / "MLmodel").is_file()


def test_files_that_are_gone_are_named(home):
    version = home.register(1)
    shutil.rmtree(home.registry.local_dir(version))
    with pytest.raises(EvidenceMismatch, match="weekly-commits/1 are gone"):
        home.registry.local_dir(version)


def test_a_registration_that_was_cut_short_is_finished(home, monkeypatch):
    def die(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(type(home.registry), "_create_version", die)
        home.register(1)
    assert home.registry.models() == []
    assert home.register(1).version == "1"
    assert home.mlflow_runs() == 1


def test_a_model_in_production_is_not_staged_again(home):
    home.register(1)
    home.registry.move_aliases(NAME, {PRODUCTION: "1", STAGING: ""}, actor="ann", reason="good")
    home.register(1)
    assert home.registry.aliases(NAME) == {PRODUCTION: "1"}


def test_only_a_successful_verdict_is_registered(home):
    with pytest.raises(GateNotPassed, match="inconclusive: too few rows"):
        home.register(1, GateDecision(Verdict.INCONCLUSIVE, ("too few rows",), {}))
    assert home.registry.models() == []


def test_the_evaluation_of_another_model_is_refused(home):
    model_dir, _ = home.candidate(1)
    _, evaluation_dir = home.candidate(2)
    with pytest.raises(EvidenceMismatch):
        register_model(
            home.registry,
            recipe=RECIPE,
            model_dir=model_dir,
            evaluation_dir=evaluation_dir,
            decision=PASSED,
            provenance={},
        )


class Entangled(Recipe):
    """A recipe whose predictor imports from the repository."""

    @property
    def predictor(self) -> str:
        return "tests.support.entangled_predictor"


def test_a_predictor_that_needs_the_repository_is_refused(home):
    with pytest.raises(ConfigError, match="would not run without this repository"):
        model_dir, evaluation_dir = home.candidate(1)
        register_model(
            home.registry,
            recipe=Entangled(**{f.name: getattr(RECIPE, f.name) for f in fields(RECIPE)}),
            model_dir=model_dir,
            evaluation_dir=evaluation_dir,
            decision=PASSED,
            provenance={},
        )


def test_the_model_runs_where_the_repository_is_not(home, tmp_path):
    version = home.register(1)
    script = (
        "import sys, pandas, mlflow.pyfunc\n"
        "model = mlflow.pyfunc.load_model(sys.argv[1])\n"
        f"frame = pandas.DataFrame({{name: [3.0, 8.0] for name in {FEATURES!r}}})\n"
        "print(list(model.predict(frame)))\n"
        "assert not [m for m in sys.modules if m.split('.')[0] in ('recipes', 'platform_ctl')]\n"
    )
    found = subprocess.run(
        [sys.executable, "-P", "-c", script, str(home.registry.local_dir(version))],
        cwd=tmp_path,
        env={"MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    from recipes.train_deploy import predict

    weights = home.registry.local_dir(version, "weights")
    expected = predict.load(weights).predict({name: [3.0, 8.0] for name in FEATURES})
    assert json.loads(found.stdout.replace("np.float64(", "").replace(")", "")) == pytest.approx(
        list(expected)
    )


def test_an_alias_move_is_recorded_with_who_and_why(home):
    home.register(1)
    home.register(2)
    home.registry.move_aliases(NAME, {PRODUCTION: "1"}, actor="ann", reason="first")
    home.registry.move_aliases(
        NAME, {PRODUCTION: "2", "previous": "1", STAGING: ""}, actor="bob", reason="canary passed"
    )
    assert home.registry.aliases(NAME) == {PRODUCTION: "2", "previous": "1"}
    last = {m.alias: m for m in home.registry.history()}
    assert (last[PRODUCTION].from_version, last[PRODUCTION].to_version) == ("1", "2")
    assert (last[PRODUCTION].actor, last[PRODUCTION].reason) == ("bob", "canary passed")
    assert last[STAGING].to_version == ""
    assert broken_link(home.registry.history()) is None


def test_a_move_to_a_version_that_is_not_there_changes_nothing(home):
    home.register(1)
    with pytest.raises(NoSuchModel, match="has no version 9"):
        home.registry.move_aliases(NAME, {PRODUCTION: "9"}, actor="ann", reason="typo")
    assert len(home.registry.history()) == 1


def test_an_alias_moved_by_hand_is_detected_and_recorded(home):
    home.register(1)
    home.register(2)
    home.client().set_registered_model_alias(NAME, STAGING, "1")
    history, aliases = home.registry.history(), home.registry.aliases(NAME)
    assert unrecorded_moves(history, NAME, aliases) == [(STAGING, "2", "1")]
    home.registry.move_aliases(NAME, {STAGING: "2"}, actor="ann", reason="put it back")
    outside, back = home.registry.history()[-2:]
    assert (outside.actor, outside.from_version, outside.to_version) == (OUTSIDE, "2", "1")
    assert (back.actor, back.from_version, back.to_version) == ("ann", "1", "2")
    assert unrecorded_moves(home.registry.history(), NAME, home.registry.aliases(NAME)) == []


def test_a_move_that_was_cut_short_is_finished_and_told_once(home, monkeypatch):
    home.register(1)
    monkeypatch.setattr(type(home.registry), "_client", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        home.registry.move_aliases(NAME, {PRODUCTION: "1"}, actor="ann", reason="go")
    monkeypatch.undo()
    home.registry.move_aliases(NAME, {PRODUCTION: "1"}, actor="ann", reason="go")
    assert home.registry.aliases(NAME)[PRODUCTION] == "1"
    assert [m.alias for m in home.registry.history()] == [STAGING, PRODUCTION]


def test_the_history_refuses_changes_and_shows_tampering(home):
    home.register(1)
    home.registry.move_aliases(NAME, {PRODUCTION: "1"}, actor="ann", reason="go")
    with sqlite3.connect(home.settings.layout.database) as db:
        for statement in (
            "UPDATE alias_history SET actor = 'eve'",
            "DELETE FROM alias_history WHERE seq = 1",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                db.execute(statement)
        db.execute("DROP TRIGGER alias_history_holds")
        db.execute("UPDATE alias_history SET actor = 'eve' WHERE seq = 1")
    assert broken_link(home.registry.history()).seq == 1


def test_altered_weights_are_noticed(home):
    version = home.register(1)
    weights = home.registry.local_dir(version, "weights") / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(EvidenceMismatch, match="not the ones that were registered"):
        current_subject(home.registry, RECIPE, version)


def test_references_find_versions_and_near_misses_get_help(home):
    home.register(1)
    home.register(2)
    models = home.registry.models()
    assert find_version(models, NAME).version == "2"
    assert find_version(models, f"{NAME}/1").version == "1"
    assert find_version(models, f"{NAME}@staging").version == "2"
    for reference, help_text in {
        "weekly-comits": "did you mean weekly-commits",
        f"{NAME}@stagin": "did you mean staging",
        f"{NAME}/7": "there is: 2, 1",
    }.items():
        with pytest.raises(NoSuchModel, match=help_text):
            find_version(models, reference)


def test_the_probe_of_a_registered_model_does_not_import_mlflow(home):
    home.register(1)
    model_dir, evaluation_dir = home.candidate(1)
    script = (
        "import sys; from pathlib import Path\n"
        "from platform_ctl import targets\n"
        "from platform_ctl.models.register import register_model\n"
        "from platform_ctl.settings import Settings\n"
        "from recipes.train_deploy.recipe import RECIPE\n"
        "from platform_ctl.recipe.gate import GateDecision\n"
        "from platform_ctl.recipe.verdict import Verdict\n"
        "home, model, evaluation = sys.argv[1:]\n"
        "print(register_model(targets.registry(Settings(home=home)), recipe=RECIPE,\n"
        "    model_dir=Path(model), evaluation_dir=Path(evaluation), provenance={},\n"
        "    decision=GateDecision(Verdict.SUCCESSFUL, (), {})))\n"
        "assert 'mlflow' not in sys.modules\n"
    )
    words = [home.settings.home, str(model_dir), str(evaluation_dir)]
    done = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"{NAME}/1"
