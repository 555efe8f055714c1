"""Searches on a cluster, against Katib's controllers on a fake API server."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from platform_ctl.cluster.api import POD
from platform_ctl.cluster.store import RemoteStore
from platform_ctl.errors import (
    BadExperiment,
    ClusterRefused,
    SearchFailed,
    UnknownName,
    Unsupported,
    UnsupportedTrial,
)
from platform_ctl.recipe.recipe import Budget
from platform_ctl.settings import KubernetesSettings
from platform_ctl.tuning.document import load
from platform_ctl.tuning.experiment import Experiment, Trial
from platform_ctl.tuning.kubernetes import findings
from platform_ctl.tuning.kubernetes.manifest import SearchPlace, render
from platform_ctl.tuning.kubernetes.trial import main as trial_main
from platform_ctl.tuning.kubernetes.trials import read_trials, reserved_cpus
from platform_ctl.tuning.kubernetes.tuning import KubernetesTuner
from platform_ctl.tuning.metrics import read_text
from tests.fakes.katib import FakeKatib
from tests.fakes.objects import FakeObjects, condition
from tests.support.experiments import choice, double, experiment

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = KubernetesSettings(namespace="test", image="registry/recipe@sha256:0")
PLACE = SearchPlace(SETTINGS, SETTINGS.image, [])
NO_BUDGET = Budget()


def tuner(objects: FakeObjects, tmp_path: Path, **fields: Any) -> KubernetesTuner:
    store = RemoteStore(f"file://{tmp_path}/store")
    return KubernetesTuner(objects, lambda: store, SETTINGS, sleep=lambda s: None, **fields)


def bowl(**options: Any) -> Experiment:
    return experiment(double("x", 0, 6), **{"trials": 4, "parallel": 2, **options})


def run(made: KubernetesTuner, search: Experiment, **options: Any) -> list[Trial]:
    given = {"search": "run-1", "trial": "tests.support.trials:bowl", "budget": NO_BUDGET}
    heard: list[Trial] = []
    made.run(search, **{**given, "on_trial": heard.append, **options})
    return heard


def test_a_search_ends_with_katibs_best_trial(tmp_path: Path) -> None:
    objects = FakeObjects()
    FakeKatib(objects)
    made = tuner(objects, tmp_path)
    heard = run(made, bowl())
    record = made.read("run-1")
    assert len({t.name for t in heard}) == len(heard) == record.status.trials_succeeded == 4
    best = float(record.status.best_parameters()["x"])
    assert all((best - 3) ** 2 <= (float(t.parameters["x"]) - 3) ** 2 for t in record.trials)
    assert record.status.outcome and record.status.outcome.reason == "ExperimentMaxTrialsReached"


def test_a_second_process_adopts_the_search_and_repeats_no_trial(tmp_path: Path) -> None:
    objects = FakeObjects()
    katib = FakeKatib(objects)
    run(tuner(objects, tmp_path), bowl())
    run(tuner(objects, tmp_path), bowl())
    assert len(katib.ran) == 4
    assert [kind for kind, _ in objects.objects if kind == "Experiment"] == ["Experiment"]


def test_the_same_id_with_another_spec_is_refused(tmp_path: Path) -> None:
    objects = FakeObjects()
    FakeKatib(objects)
    run(tuner(objects, tmp_path), bowl())
    with pytest.raises(BadExperiment, match="exists with another"):
        run(tuner(objects, tmp_path), bowl(), seed=7)


def test_the_budget_of_trials_is_katibs_own(tmp_path: Path) -> None:
    objects = FakeObjects()
    FakeKatib(objects)
    assert len(run(tuner(objects, tmp_path), bowl(), budget=Budget(trials=2))) == 2


@pytest.mark.parametrize("budget", [Budget(wall_s=0.0), Budget(cpu_s=0.0), Budget(money=0.0)])
def test_a_budget_that_is_spent_before_a_trial_ends_removes_the_search(
    tmp_path: Path, budget: Budget
) -> None:
    objects = FakeObjects()
    FakeKatib(objects, slow=True)
    with pytest.raises(SearchFailed, match="budget"):
        run(tuner(objects, tmp_path), bowl(), budget=budget)
    assert not [kind for kind, _ in objects.objects if kind == "Experiment"]


def test_a_spent_budget_keeps_what_is_done_and_stops_what_runs(tmp_path: Path) -> None:
    objects = FakeObjects()
    katib = FakeKatib(objects)
    made = tuner(objects, tmp_path)

    def after_two(trial: Trial) -> None:
        katib._slow = len(katib.ran) >= 2

    ten = bowl(trials=10)
    made.run(
        ten,
        search="run-1",
        trial="tests.support.trials:burner",
        budget=Budget(wall_s=2.0),
        on_trial=after_two,
    )
    record = made.read("run-1")
    assert record.status.outcome and record.status.outcome.reason == "ExperimentBudgetReached"
    assert record.status.best_parameters()
    assert not record.status.trials_running


def test_a_suggestion_that_never_comes_is_named(tmp_path: Path) -> None:
    killed = {"name": "suggestion", "lastState": {"terminated": {"reason": "OOMKilled"}}}
    objects = FakeObjects()
    FakeKatib(objects, suggestion=False, suggestion_status=killed)
    with pytest.raises(SearchFailed, match="suggestion service is not ready: OOMKilled") as caught:
        run(tuner(objects, tmp_path, suggestion_timeout_s=-1.0), bowl())
    assert caught.value.fix.startswith("kubectl ")
    (found,) = findings.findings(objects, "run-1")
    assert found.reason is findings.SearchReason.SUGGESTION_NOT_READY
    assert found.pod.endswith("-tpe")


def test_trials_that_report_nothing_or_fail_are_findings(tmp_path: Path) -> None:
    objects = FakeObjects()
    FakeKatib(objects)
    search = experiment(choice("how", "nothing", "raise"), trials=2, parallel=1)
    with pytest.raises(SearchFailed):
        made = tuner(objects, tmp_path)
        run(made, search, trial="tests.support.trials:misbehave")
        made.read("run-1").status.best_parameters()
    reasons = [f.reason for f in findings.findings(objects, "run-1")]
    assert reasons == [findings.SearchReason.NEVER_REPORTED, findings.SearchReason.TRIAL_FAILED]


def test_what_a_failed_trial_printed_last_is_its_message(tmp_path: Path) -> None:
    objects = FakeObjects()
    FakeKatib(objects)
    made = tuner(objects, tmp_path)
    run(made, experiment(choice("how", "raise"), trials=1), trial="tests.support.trials:misbehave")
    (trial,) = made.read("run-1").trials
    of_search = objects.objects["Trial", trial.name]["metadata"]["labels"]
    labels = {**of_search, "job-name": trial.name}
    objects.put({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": labels}})
    objects.logs["p", findings.COLLECTOR] = (
        b"I1127 23:36:52.021323      14 main.go:143] ValueError: no such file\n"
        b"F1127 23:36:52.021444      14 main.go:421] Failed to wait for worker container\n"
    )
    assert made.read("run-1").trials[0].message == "ValueError: no such file"
    assert objects.list(POD, labels=f"job-name={trial.name}")


def test_a_waiting_trial_pod_is_a_finding(tmp_path: Path) -> None:
    objects = FakeObjects()
    FakeKatib(objects, slow=True)
    with pytest.raises(SearchFailed):
        run(tuner(objects, tmp_path), bowl(), budget=Budget(wall_s=0.0))
    metadata = {"name": "s", "labels": {findings.RUN_LABEL: "r"}}
    objects.controllers.clear()
    objects.put({"apiVersion": findings.VERSION, "kind": "Experiment", "metadata": metadata})
    labels = {findings.EXPERIMENT_OF: "s"}
    objects.put(
        {
            "apiVersion": findings.VERSION,
            "kind": "Trial",
            "metadata": {"name": "s-1", "labels": labels},
            "status": {"conditions": [condition("Running")]},
        }
    )
    waiting = {"name": "main", "state": {"waiting": {"reason": "ImagePullBackOff"}}}
    objects.put(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "s-1-x", "labels": {"job-name": "s-1"}},
            "status": {"containerStatuses": [waiting]},
        }
    )
    (found,) = findings.findings(objects, "r")
    assert (found.reason, found.trial, found.pod) == ("ImagePullBackOff", "s-1", "s-1-x")


def test_a_trial_whose_pod_is_refused_is_a_finding() -> None:
    """A webhook that is down, a quota: the Job controller says so in an event."""
    objects = FakeObjects()
    kind = {"apiVersion": findings.VERSION}
    metadata = {"name": "s", "labels": {findings.RUN_LABEL: "r"}}
    objects.put({**kind, "kind": "Experiment", "metadata": metadata})
    labels = {findings.EXPERIMENT_OF: "s"}
    running = {"conditions": [condition("Running")]}
    metadata = {"name": "s-1", "labels": labels}
    objects.put({**kind, "kind": "Trial", "metadata": metadata, "status": running})
    objects.put(
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": "e"},
            "reason": "FailedCreate",
            "message": "exceeded quota",
            "involvedObject": {"kind": "Job", "name": "s-1"},
        }
    )
    (found,) = findings.findings(objects, "r")
    assert (found.reason, found.trial) == ("FailedCreate", "s-1")
    assert "exceeded quota" in found.message


def test_katib_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterRefused, match="no Experiment"):
        run(tuner(FakeObjects(missing=frozenset({"Experiment"})), tmp_path), bowl())


def test_learning_from_another_search_is_unsupported(tmp_path: Path) -> None:
    with pytest.raises(Unsupported):
        earlier = Trial(name="t", number=0, parameter_assignments=())
        run(tuner(FakeObjects(), tmp_path), bowl(), warm_start=[earlier])


def test_searches_are_found_by_name_prefix_and_latest(tmp_path: Path) -> None:
    objects = FakeObjects()
    FakeKatib(objects)
    made = tuner(objects, tmp_path)
    run(made, bowl())
    assert made.find("latest") == made.find("run-1") == made.find("run") == "run-1"
    with pytest.raises(UnknownName):
        made.find("other")
    made.end_run("run-1")
    with pytest.raises(UnknownName):
        made.read("run-1")


def test_the_manifest_is_katibs_with_our_image_settings_and_seed() -> None:
    manifest = render(
        bowl(algorithm="tpe"),
        "run-1",
        SearchPlace(SETTINGS, SETTINGS.image, []),
        trial="tests.support.trials:bowl",
        inputs={"rows_path": "s3://bucket/rows"},
        seed=3,
    )
    template = manifest["spec"]["trialTemplate"]
    (container,) = template["trialSpec"]["spec"]["template"]["spec"]["containers"]
    assert template["retain"] is True
    assert container["image"] == SETTINGS.image
    assert container["command"][3:] == [
        "--function=tests.support.trials:bowl",
        "--input=rows_path=s3://bucket/rows",
        "--parameter=x=${trialParameters.x}",
    ]
    assert manifest["spec"]["algorithm"]["algorithmSettings"] == [
        {"name": "random_state", "value": "3"}
    ]


@pytest.mark.parametrize("file", sorted(ROOT.glob("recipes/*/experiment.yaml")))
def test_what_a_file_says_of_the_collector_reaches_katib(file: Path) -> None:
    """Katib fills in a collector that is not there, and refuses one without a kind."""
    manifest = render(load(file), "run-1", PLACE, trial="a:b", inputs={}, seed=0)
    assert manifest["spec"]["metricsCollectorSpec"]["collector"]["kind"] == "StdOut"


@pytest.mark.parametrize(
    "search",
    [
        experiment(choice("x", "a b")),
        experiment(choice("x", "$HOME")),
        experiment(double("x", 0, 1), command=["python", "-c", "print(1)"]),
    ],
    ids=["blank", "dollar", "quoting"],
)
def test_words_that_a_shell_would_change_are_refused(search: Experiment) -> None:
    place = SearchPlace(SETTINGS, SETTINGS.image, [])
    with pytest.raises(UnsupportedTrial, match="sh -c"):
        render(search, "run-1", place, trial="", inputs={}, seed=0)


@pytest.mark.parametrize(
    ("resources", "cpus"),
    [({}, 1.0), ({"requests": {"cpu": "250m"}}, 0.25), ({"limits": {"cpu": 2}}, 2.0)],
)
def test_a_trial_costs_what_its_pod_reserves(resources: dict, cpus: float) -> None:
    search = bowl()
    job = search.spec.trial_template.trial_spec["spec"]
    job["template"]["spec"]["containers"][0]["resources"] = resources
    assert reserved_cpus(search) == cpus


def test_a_pod_that_waits_for_a_node_costs_nothing() -> None:
    """As seen: created 10:59:10, a node at 11:01:57, its containers ended at 11:02:19."""
    day, name = "2026-11-28T", "search-a1"
    trial = {
        "metadata": {"name": name, "creationTimestamp": f"{day}10:59:10Z"},
        "spec": {},
        "status": {
            "startTime": f"{day}10:59:10Z",
            "completionTime": f"{day}11:02:22Z",
            "conditions": [{"type": "Succeeded", "status": "True"}],
        },
    }
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": f"{day}11:01:57Z"}
    ends = [{"state": {"terminated": {"finishedAt": f"{day}11:02:{s}Z"}}} for s in (18, 19)]
    pod = {
        "metadata": {"labels": {"job-name": name}},
        "status": {"conditions": [scheduled], "containerStatuses": ends},
    }
    (charged,) = read_trials([trial], 2.0, {name: [pod]})
    assert (charged.cpu_s, charged.wall_s) == (44.0, 25.0)
    (gone,) = read_trials([trial], 2.0)
    assert gone.cpu_s == 384.0, "its pods are gone: from its creation to its end"
    trial["status"] = {"startTime": f"{day}10:59:10Z", "conditions": []}
    scheduled["status"] = "False"
    (waits,) = read_trials([trial], 2.0, {name: [pod]})
    assert (waits.start_time, waits.cpu_s) == (None, 0.0)


def test_the_program_of_a_trial_prints_what_katib_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = tmp_path / "rows"
    rows.write_text("1.5")
    monkeypatch.setattr(
        "platform_ctl.tuning.kubernetes.trial.wait_for_collector", lambda proc: None
    )
    words = ["--function=tests.support.trials:scaled", f"--input=rows=file://{rows}"]
    assert trial_main([*words, "--parameter=x=2.0"]) == 0
    (reading,) = read_text(capsys.readouterr().out.splitlines(), ["loss"])
    assert (reading.value, reading.at.tzinfo) == ("3.0", UTC)
    assert reading.at.year > 2000
