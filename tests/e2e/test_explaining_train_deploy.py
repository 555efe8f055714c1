"""``pipeline impact``, ``run why`` and ``model why`` on a real home: the real recipe and its steps.

One home, one story, in this order: edits, each on top of the one before; causes
while an approval waits, each taken back; causes in production. Only Ray is left
out (tests/support/quick_checkout.py). The whole corpus of edits is in
tests/unit/explain/test_impact.py.
"""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlparse

import pytest

from platform_ctl import targets
from platform_ctl.explain.impact import StepForecast
from platform_ctl.releases.release import ReleaseState
from platform_ctl.settings import load
from tests.support.predictions import assert_came_true
from tests.support.quick_checkout import ROOT, Checkout
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

RUN, HIT, DEPENDS = StepForecast.RUN, StepForecast.HIT, StepForecast.DEPENDS
STEPS = ("resolve", "extract", "tune", "train", "evaluate", "gate")
INSIDE = ("condition-1.register", "condition-1.request-approval")
MODEL = "weekly-commits"
IR = "pipelines/compiled/train-deploy.yaml"
RECIPE = "recipes/train_deploy/recipe.py"
SLOW = pytest.mark.slow
"""Trains again, 20 s each. The corpus on the small pipeline has these edits too, and
tests/unit/explain/test_why.py this cause."""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """Trained once: the model is in Staging, and its approval waits."""
    made = Checkout(tmp_path_factory.mktemp("explaining"))
    made.json("data", "ingest", "--sample")
    assert {v.verdict for v in made.run().verdicts} == {"successful"}
    yield made
    if made.json("service", "list"):
        made.call("service", "stop", MODEL)


# ---- impact, while the approval waits --------------------------------------------


def comment_docstring_and_unrelated_function(checkout: Checkout) -> None:
    checkout.edit("recipes/train_deploy/features/definitions.py", "FEATURES:", "# all\nFEATURES:")
    checkout.edit("recipes/train_deploy/evaluate.py", '"""', '"""Well: ')
    with (checkout.root / "recipes/train_deploy/evaluate.py").open("a") as file:
        file.write("\n\ndef nobody_calls_this():\n    return 1\n")


def gate_threshold(checkout: Checkout) -> None:
    checkout.edit("recipes/train_deploy/recipe.py", "max_loss=1.5", "max_loss=1.4")


def champion(checkout: Checkout) -> None:
    checkout.call("approval", "approve", "latest", "--reason", "good", "--wait")


def search_space(checkout: Checkout) -> None:
    checkout.edit("recipes/train_deploy/experiment.yaml", 'min: "0.0003"', 'min: "0.003"')


def feature_added(checkout: Checkout) -> None:
    checkout.edit(
        "recipes/train_deploy/features/definitions.py",
        'Feature("files_4w"',
        'Feature("files_8w", total("files", 8), "files touched in the last 8 weeks"),\n'
        '    Feature("files_4w"',
    )


def new_commits(checkout: Checkout) -> None:
    clone = checkout.root.parent / "clone"
    git = ["git", "-C", str(clone), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "init", "-q", str(clone)], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    checkout.json("data", "ingest", "--git", str(clone))


def assert_predicted(checkout: Checkout, told: dict[str, StepForecast]) -> None:
    before = checkout.newest()
    expected, document = checkout.impact()
    assert expected.against == before.id
    assert_came_true(expected, before, checkout.run())
    inside = DEPENDS if "gate" in told else RUN
    wanted = dict.fromkeys(STEPS, HIT) | dict.fromkeys(INSIDE, inside) | {"resolve": RUN} | told
    assert {s.task: s.fate for s in expected.steps} == wanted
    assert {"at_least", "at_most", "saved"} <= document.keys()
    assert document["at_least"]["cpu_s"] <= document["at_most"]["cpu_s"]


def test_impact_of_what_does_not_count(checkout: Checkout) -> None:
    comment_docstring_and_unrelated_function(checkout)
    assert_predicted(checkout, {})


def test_impact_of_a_threshold(checkout: Checkout) -> None:
    gate_threshold(checkout)
    assert_predicted(checkout, {"gate": RUN})


# ---- why, while the approval waits ------------------------------------------------


def why(checkout: Checkout, *words: str, env: dict[str, str] | None = None) -> dict:
    return checkout.json(*(words or ("run", "why")), env=env)


def assert_broken(found: dict, link: str, *told: str) -> None:
    broken = found["broken"]
    assert broken and broken["name"] == link, found
    text = " ".join((broken["says"], *broken["evidence"]))
    assert all(word in text for word in told), broken
    assert broken["fix"] and (ROOT / broken["runbook"]).is_file()


def assert_healthy(found: dict, waits_for: str = "") -> None:
    assert found["broken"] is None, found
    waiting = [x["name"] for x in found["links"] if x["state"] == "waiting"]
    assert waiting == ([waits_for] if waits_for else [])


def test_why_while_a_human_is_asked(checkout: Checkout) -> None:
    for words in (("run", "why"), ("model", "why", MODEL), ("model", "why", f"{MODEL}@staging")):
        assert_healthy(why(checkout, *words), "approval")


def gate_said_no(checkout: Checkout) -> dict:
    checkout.edit(RECIPE, "max_loss=1.4", "max_loss=0.5")
    checkout.run()
    assert_broken(why(checkout, "model", "why", MODEL), "gate", "failed")
    return why(checkout)


def condition_false(checkout: Checkout) -> dict:
    checkout.edit(IR, "== 'successful'", "== 'never'")
    checkout.run()
    return why(checkout)


def wrong_registry(checkout: Checkout) -> dict:
    other = {"PLATFORM_CTL_MLFLOW_TRACKING_URI": f"sqlite:///{checkout.home}/other.db"}
    return why(checkout, env=other)


def expired(checkout: Checkout) -> dict:
    change(checkout.home / "platform.db", "UPDATE approvals SET expires_at = requested_at")
    return why(checkout)


def rejected(checkout: Checkout) -> dict:
    checkout.call("approval", "reject", "latest", "--reason", "not before the holidays")
    return why(checkout)


def void(checkout: Checkout) -> dict:
    checkout.edit(RECIPE, "weights_percent=(10, ", "weights_percent=(20, ")
    return why(checkout)


def stale_data(checkout: Checkout) -> dict:
    """As if the table had last been written 30 days ago."""
    query = "SELECT metadata_location FROM iceberg_tables WHERE table_name = 'commits'"
    with closing(sqlite3.connect(checkout.home / "iceberg" / "catalog.db")) as db:
        path = Path(urlparse(db.execute(query).fetchone()[0]).path)
    metadata = json.loads(path.read_text())
    for snapshot in metadata["snapshots"]:
        snapshot["timestamp-ms"] -= 30 * 86_400_000
    path.write_text(json.dumps(metadata))
    assert_broken(why(checkout, "model", "why", MODEL), "data", "stale")
    return why(checkout)


def lineage_gap(checkout: Checkout) -> dict:
    run_id = checkout.newest().id
    for file in (checkout.home / "lineage").glob("events-*.jsonl"):
        lines = file.read_text().splitlines(keepends=True)
        of_train = re.compile(r'"name":\s*"train-deploy\.train"')
        kept = [x for x in lines if not (run_id in x and of_train.search(x))]
        assert len(kept) < len(lines)
        file.write_text("".join(kept))
    return why(checkout)


def snapshot_expired(checkout: Checkout) -> dict:
    other = """replace(outputs, '"snapshot_id":"', '"snapshot_id":"9')"""
    statement = f"UPDATE tasks SET outputs = {other} WHERE path = 'resolve'"
    change(checkout.home / "platform.db", statement)
    return why(checkout)


def change(database: Path, statement: str) -> None:
    with closing(sqlite3.connect(database)) as db, db:
        assert db.execute(statement).rowcount > 0


@pytest.mark.parametrize(
    ("cause", "link", "told"),
    [
        (gate_said_no, "gate", ("failed", "ceiling")),
        (condition_false, "registration", ("condition is false", "== 'never'")),
        (wrong_registry, "registration", ("wrong registry", "other.db")),
        (expired, "approval", ("expired", "means no")),
        (rejected, "approval", ("rejected", "not before the holidays")),
        (void, "approval", ("void", "canary plan")),
        (stale_data, "data", ("stale", "30 days")),
        (snapshot_expired, "snapshot", ("no longer in",)),
        (lineage_gap, "lineage", ("train",)),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_why_names_the_cause(checkout: Checkout, cause, link: str, told: tuple[str, ...]) -> None:
    with checkout.taken_back():
        assert_broken(cause(checkout), link, *told)


def test_nothing_is_blamed_once_the_causes_are_taken_back(checkout: Checkout) -> None:
    assert_healthy(why(checkout), "approval")


# ---- in production ----------------------------------------------------------------


def test_impact_of_a_champion(checkout: Checkout) -> None:
    champion(checkout)
    assert_predicted(checkout, {"evaluate": RUN, "gate": DEPENDS})


def test_why_in_production(checkout: Checkout) -> None:
    for words in (("run", "why"), ("model", "why", MODEL), ("model", "why", f"{MODEL}@production"),
                  ("model", "why", f"{MODEL}/1")):  # fmt: skip
        assert_healthy(why(checkout, *words))


def test_diff_names_what_the_run_before_production_did_not_have(checkout: Checkout) -> None:
    found = checkout.json("run", "diff", checkout.newest().id)
    assert (found[0]["kind"], found[0]["what"]) == ("data", "resolve.champion")
    assert [d["kind"] for d in found if d["what"].startswith("evaluate.")]


def test_why_of_an_alias_that_was_moved_by_hand(checkout: Checkout) -> None:
    registry = f"{checkout.home}/mlflow/mlflow.db"
    checkout.python(
        "from mlflow import MlflowClient; import sys;"
        "MlflowClient(sys.argv[1], sys.argv[1])"
        ".delete_registered_model_alias('weekly-commits', 'production')",
        f"sqlite:///{registry}",
    )
    assert_broken(
        why(checkout, "model", "why", MODEL), "alias", "outside the platform", "production"
    )
    change(
        Path(registry),
        "INSERT INTO registered_model_aliases (alias, version, name)"
        f" VALUES ('production', 1, '{MODEL}')",
    )
    assert_healthy(why(checkout, "model", "why", MODEL))


def test_why_of_a_stopped_service(checkout: Checkout) -> None:
    checkout.call("service", "stop", MODEL)
    assert_broken(why(checkout, "model", "why", MODEL), "service", "stopped")
    checkout.call("service", "start", MODEL)
    assert_healthy(why(checkout, "model", "why", MODEL))


# ---- training again ----------------------------------------------------------------


@SLOW
@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (search_space, {"tune": RUN} | dict.fromkeys(STEPS[3:], DEPENDS)),
        (feature_added, dict.fromkeys(STEPS[1:4], RUN) | dict.fromkeys(STEPS[4:], DEPENDS)),
        (new_commits, {"extract": RUN} | dict.fromkeys(STEPS[2:], DEPENDS)),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_impact_of_an_edit_that_trains_again(checkout: Checkout, edit, told) -> None:
    edit(checkout)
    assert_predicted(checkout, told)


@SLOW
def test_why_of_a_canary_that_was_taken_back(checkout: Checkout) -> None:
    asked = checkout.json("approval", "list")
    assert "pending" in {a["state"] for a in asked}, asked
    checkout.call("approval", "approve", "latest", "--reason", "try it")
    settings = load(cwd=checkout.root, env={}, flags={"home": str(checkout.home)}).settings
    releases = targets.releasing(settings).releases

    def is_canary() -> bool:
        newest = releases.latest(MODEL)
        return newest is not None and newest.state is ReleaseState.RUNNING

    eventually(is_canary, seconds=120)
    checkout.call("release", "abort", MODEL)
    assert_broken(why(checkout, "model", "why", MODEL), "release", "rolled back")
