"""Four recipes of four kinds train at the same time in one home, and none touches another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.support.whole_checkout import Checkout

pytestmark = pytest.mark.e2e

RUNS = {
    "train-deploy": ("max_trials=1", "epochs=2"),
    "digits": ("max_trials=1", "epochs=12"),
    "eights": ("max_trials=1",),
    "blobs": ("max_trials=1",),
}
"""Pipeline -> its parameters. Each is the recipe's word, too."""
ALONE_AGAIN = "blobs"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """With the data of all four, one of them made by ``recipe new``."""
    made = Checkout(tmp_path_factory.mktemp("at-once"))
    file = blobs(tmp_path_factory.mktemp("blobs") / "blobs.csv")
    made.ctl("recipe", "new", "blobs", "--kind", "classification", "--csv", str(file))
    made.ctl("data", "ingest", "--recipe", "blobs", "--csv", str(file))
    for recipe in ("train-deploy", "digits", "eights"):
        made.ctl("data", "ingest", "--recipe", recipe, "--sample")
    yield made


def blobs(file: Path) -> Path:
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, 400)
    x = rng.normal(size=(400, 3)) + kind[:, None]
    frame = pd.DataFrame(x, columns=["width", "height", "depth"])
    frame.assign(kind=np.where(kind == 1, "big", "small")).to_csv(file, index=False)
    return file


@pytest.fixture(scope="module")
def runs(checkout: Checkout) -> dict[str, dict[str, Any]]:
    """Pipeline -> its run; all have started before any has ended."""
    started = {name: checkout.start(*command(name)) for name in RUNS}
    for name, process in started.items():
        printed, _ = process.communicate()
        assert process.returncode in (0, 1), f"{name}: {printed}"  # 1: the gate said no
    listed = [checkout.json("run", "show", r["id"]) for r in checkout.json("run", "list")]
    assert len(listed) == len(RUNS)
    return {run["pipeline"]: run for run in listed}


def command(name: str, *more: str) -> list[str]:
    parameters = [word for p in RUNS[name] for word in ("-p", p)]
    return ["pipeline", "run", name, *parameters, *more]


def task(run: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (t for t in run["tasks"] if t["name"].rpartition(".")[2] == name)
    return found


def model_digest(run: dict[str, Any]) -> str:
    artifacts = task(run, "train")["outputs"]["artifacts"]["model"]
    return str(artifacts[0]["metadata"]["model_digest"])


def test_every_run_ends_well_with_a_verdict_of_its_own(runs: dict[str, dict[str, Any]]) -> None:
    assert runs.keys() == RUNS.keys()
    assert {run["state"] for run in runs.values()} == {"SUCCEEDED"}
    verdicts = {n: task(r, "gate")["outputs"]["parameters"]["verdict"] for n, r in runs.items()}
    assert set(verdicts.values()) <= {"successful", "failed", "inconclusive"}, verdicts
    assert verdicts["eights"] == verdicts["blobs"] == "successful"


def test_each_read_its_own_snapshot(checkout: Checkout, runs: dict[str, dict[str, Any]]) -> None:
    for name, run in runs.items():
        shown = checkout.json("data", "show", "--recipe", name)
        own = {s["snapshot_id"] for s in shown["snapshots"]}
        assert task(run, "resolve")["outputs"]["parameters"]["snapshot_id"] in own


def test_each_golden_set_is_pinned_for_its_own_recipe(
    checkout: Checkout, runs: dict[str, dict[str, Any]]
) -> None:
    pinned = {}
    for name, run in runs.items():
        pinned[name] = checkout.json("data", "golden", "show", "--recipe", name)["digest"]
        used = task(run, "resolve")["outputs"]["parameters"]["golden_digest"]
        assert used == pinned[name]
    assert len(set(pinned.values())) == len(RUNS)


def test_each_registered_under_its_own_name(
    checkout: Checkout, runs: dict[str, dict[str, Any]]
) -> None:
    expected = {
        (run["id"], task(run, "register")["outputs"]["parameters"]["version"])
        for run in runs.values()
        if task(run, "gate")["outputs"]["parameters"]["verdict"] == "successful"
    }
    models = checkout.json("model", "list")
    found = {(v["tags"]["run_id"], v["version"]) for m in models for v in m["versions"]}
    assert found == expected
    assert all(len(m["versions"]) == 1 for m in models)
    places = [v["source"].removeprefix("file:") for m in models for v in m["versions"]]
    assert all(Path(place).is_relative_to(checkout.home) for place in places), places
    assert not (checkout.root / "mlruns").exists()


def test_a_run_alone_gives_the_model_that_it_gave_beside_the_others(
    checkout: Checkout, runs: dict[str, dict[str, Any]]
) -> None:
    checkout.ctl(*command(ALONE_AGAIN, "--no-cache"))
    again = json.loads(checkout.ctl("run", "show", "latest", "-o", "json"))
    assert again["pipeline"] == ALONE_AGAIN
    assert model_digest(again) == model_digest(runs[ALONE_AGAIN])


def test_the_image_classifier_gets_to_production(
    checkout: Checkout, runs: dict[str, dict[str, Any]]
) -> None:
    """Trained on two workers of Ray, judged by log loss beside a logistic regression."""
    asked = task(runs["digits"], "request-approval")["outputs"]["parameters"]["approval_id"]
    try:
        checkout.ctl("approval", "approve", asked, "--reason", "sees shapes", "--wait")
        verified = checkout.ctl("model", "verify", "digits@production")
    finally:
        checkout.ctl("service", "stop", "digits")
    assert "as it was registered" in verified
