"""Faults that users of KFP and Katib have reported, one row each with the value that is right.

The number is that of the report: kubeflow/pipelines unless another project is named.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from platform_ctl.errors import BadExperiment, BadPipelineFile, UnsupportedAlgorithm
from platform_ctl.ir import file as ir_file
from platform_ctl.runs.record import RunState
from platform_ctl.tuning import document
from platform_ctl.tuning.experiment import Objective
from platform_ctl.tuning.metrics import objective_value, observe, read_text
from tests.support.orchestration import ROOT, Lab, states


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled pipelines of ``tests.support.reported_pipelines``."""
    folder = tmp_path_factory.mktemp("reported")
    command = [sys.executable, "-W", "ignore", "-m", "tests.support.reported_pipelines"]
    subprocess.run([*command, str(folder)], cwd=ROOT, check=True, capture_output=True)
    return folder


@dataclass(frozen=True)
class Reported:
    """A pipeline, what it is given, and its output or what the run's error says."""

    pipeline: str
    report: str
    output: Any = None
    error: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    """``FOLDER`` in a value stands for a folder of the test's own."""
    leaves: str = ""
    """What the file of the parameter ``path`` holds afterwards."""


WORDS = "あ é 𝔘 \u2028 k=v \"q\" 's' {{$.pipeline_job_name}} -x \x07"
RUNS = (
    Reported("artifact-left-out", "13061", "shelf-7|None"),
    Reported("defaults-of-none", "11667", ["own", 7, None]),
    Reported("empty-defaults", "11515", [False, "", 0, 0.0, [], {}]),
    Reported("text-between-tasks", "7283, 5830", WORDS, parameters={"text": WORDS}),
    Reported(
        "text-between-tasks", "large values", "x" * 3_000_000, parameters={"text": "x" * 3_000_000}
    ),
    Reported("item-without-a-key", "6628", error='the item {"head":"c"} has no key \'tail\''),
    # protojson writes 3.0 as 3, and 1e22 with an exponent.
    Reported("numbers-of-a-loop", "2915", "1472953;9007199254740993 float 1e+22;float 0.5;int 3"),
    Reported("number-of-a-step", "12227", 1e300, parameters={"kind": "large"}),
    Reported("number-of-a-step", "12227", 5e-324, parameters={"kind": "tiny"}),
    Reported(
        "number-of-a-step",
        "12227",
        error="parameterValues.Output is no number that JSON has",
        parameters={"kind": "nan"},
    ),
    Reported("number-for-a-dict", "5503", error="the input 'value' is STRUCT; 1 is not"),
    Reported(
        "loop-under-exit-handler",
        "13321",
        error="part two broke",
        parameters={"path": "FOLDER/status"},
        leaves="FAILED\n",
    ),
    Reported(
        "nested-exit-handlers",
        "11826",
        error="part two broke",
        parameters={"path": "FOLDER/status"},
        leaves="FAILED\nFAILED\n",
    ),
    Reported(
        "imports-of-a-loop",
        "10860, 7523",
        "1[('fixed', 3), ('half', 0.5), ('list', [1, 2])];"
        "2[('fixed', 3), ('half', 0.5), ('list', [1, 2])]",
        parameters={"folder": "FOLDER"},
    ),
    Reported("models-without-files", "10035", 16),
    Reported("loop-without-items", "10035, 3412", "[] []"),
    Reported("output-left-out", "own", error="without writing its output 'Output'"),
    Reported("output-of-none", "own", error="without writing its output 'Output'"),
    Reported("half-a-pair", "own", error="want type <class 'int'>"),
    # The launcher allows it (uploadOutputArtifacts: "components to not produce output files").
    Reported("artifact-not-written", "own"),
    Reported(
        "curve-with-infinity",
        "10208",
        error="artifacts.metrics.artifacts[0].metadata.confidenceMetrics[0].confidenceThreshold is",
    ),
    Reported("whole-floats-compared", "own", "one"),
    Reported("outputs-of-a-part", "10035", "part 3 {'n': '3'}"),
    Reported("works-the-third-time", "own", 3, parameters={"path": "FOLDER/tries"}, leaves="..."),
)


@pytest.mark.parametrize("case", RUNS, ids=lambda case: f"{case.pipeline}-{case.report}"[:60])
def test_a_reported_pipeline(case: Reported, reported: Path, tmp_path: Path) -> None:
    values = {
        k: v.replace("FOLDER", str(tmp_path)) if isinstance(v, str) else v
        for k, v in case.parameters.items()
    }
    run = Lab(reported, tmp_path / "home").run(case.pipeline, **values)
    if case.error:
        assert run.state is RunState.FAILED
        assert any(case.error in t.error for t in run.tasks), [t.error for t in run.tasks]
    else:
        assert run.state is RunState.SUCCEEDED, run.error
        assert run.outputs.parameters.get("Output") == case.output
        assert type(run.outputs.parameters.get("Output")) is type(case.output)
    if case.leaves:
        assert Path(values["path"]).read_text() == case.leaves


def test_an_artifact_that_is_left_out_hinders_no_cache(reported: Path, tmp_path: Path) -> None:
    """11410."""
    lab = Lab(reported, tmp_path / "home")
    lab.run("cached-without-artifact")
    assert states(lab.run("cached-without-artifact")) == {"fits": "CACHED"}


def test_a_secret_that_is_given_as_a_reference_is_in_no_file(
    reported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN_OF_THE_TEST", "hunter2-hunter2")
    lab = Lab(reported, tmp_path / "home")
    run = lab.run("reads-a-secret", token="env:TOKEN_OF_THE_TEST")
    assert run.outputs.parameters["Output"] == len("hunter2-hunter2")
    files = [path for path in lab.home.rglob("*") if path.is_file()]
    assert not [path for path in files if b"hunter2" in path.read_bytes()]
    assert any(b"env:TOKEN_OF_THE_TEST" in path.read_bytes() for path in files)


# ---- documents -------------------------------------------------------------------

BROKEN = (
    ("13273", {"componentInputParameter": "nosuch"}, "nosuch"),
    (
        "13273",
        {"taskOutputParameter": {"producerTask": "nosuch", "outputParameterKey": "Output"}},
        "nosuch",
    ),
    (
        "13273",
        {"taskOutputParameter": {"producerTask": "echo", "outputParameterKey": "nosuch"}},
        "nosuch",
    ),
)


@pytest.mark.parametrize(("report", "binding", "says"), BROKEN)
def test_a_reference_to_nothing_is_refused_before_anything_runs(
    reported: Path, tmp_path: Path, report: str, binding: dict[str, Any], says: str
) -> None:
    import yaml

    ir = yaml.safe_load((reported / "text-between-tasks.yaml").read_text())
    ir["root"]["dag"]["tasks"]["echo-2"]["inputs"]["parameters"]["text"] = binding
    file = tmp_path / "broken.json"
    file.write_text(json.dumps(ir))
    with pytest.raises(BadPipelineFile, match=says):
        ir_file.parse(file.read_bytes(), file)


def test_a_pipeline_in_json_is_the_pipeline_in_yaml(reported: Path, tmp_path: Path) -> None:
    """sky-uk/kfp-operator 383: with exponents, and escapes as json.dump writes them."""
    import yaml

    ir = yaml.safe_load((reported / "empty-defaults.yaml").read_text())
    inputs = ir["root"]["inputDefinitions"]["parameters"]
    inputs["f"]["defaultValue"], inputs["d"]["defaultValue"] = 1e-05, {"eps": 1e-08}
    inputs["t"]["defaultValue"] = "🚀"
    (tmp_path / "empty-defaults.yaml").write_text(json.dumps(ir))
    run = Lab(tmp_path, tmp_path / "home").run("empty-defaults")
    assert run.outputs.parameters["Output"] == [False, "🚀", 0, 1e-05, [], {"eps": 1e-08}]


# ---- Katib -----------------------------------------------------------------------

EXPERIMENT: dict[str, Any] = {
    "apiVersion": "kubeflow.org/v1beta1",
    "kind": "Experiment",
    "metadata": {"name": "reported"},
    "spec": {
        "objective": {"type": "minimize", "objectiveMetricName": "loss"},
        "algorithm": {"algorithmName": "random"},
        "maxTrialCount": 4,
        "maxFailedTrialCount": 2,
        "parameters": [
            {
                "name": "lr",
                "parameterType": "double",
                "feasibleSpace": {"min": "0.01", "max": "0.1"},
            }
        ],
        "trialTemplate": {
            "primaryContainerName": "main",
            "trialParameters": [{"name": "lr", "reference": "lr"}],
            "trialSpec": {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "spec": {
                    "template": {
                        "spec": {
                            "restartPolicy": "Never",
                            "containers": [
                                {
                                    "name": "main",
                                    "image": "any",
                                    "command": ["train", "${trialParameters.lr}"],
                                }
                            ],
                        }
                    }
                },
            },
        },
    },
}


def space(kind: str, **given: Any) -> dict[str, Any]:
    return {"parameters": [{"name": "lr", "parameterType": kind, "feasibleSpace": given}]}


GRID = {"algorithm": {"algorithmName": "grid"}}
REFUSED = (
    ("katib 1534", GRID | space("int", min="1", max="3"), "the grid has 3 points only"),
    ("katib 1494", GRID | space("categorical", list=["a"]), "the grid has 1 points only"),
    ("katib 1229", space("double", list=["0.1"]), "feasibleSpace.list is not for a double"),
    ("katib 2542", space("double", min="1", max="2", distribution=["uniform"]), "Expected `str`"),
    ("katib 2542", space("categorical", list=[]), "feasibleSpace.list must be given"),
    ("own", space("categorical", list=[0.1, 0.01]), "Expected `str`, got `float`"),
    ("own", space("categorical", list=[True, False]), "Expected `str`, got `bool`"),
    ("own", space("categorical", list=["a", "a"]), "must not repeat a value"),
    ("own", space("int", min="1e2", max="1_000"), "not a number of type int"),
    ("own", space("double", min="nan", max="inf"), "must be finite"),
    ("own", space("int", min="10", max="2"), "min 10 must be below max 2"),
    (
        "own",
        {"objective": {"type": "minimize", "objectiveMetricName": "loss", "goal": "0.001"}},
        "Expected `float | null`, got `str`",
    ),
)


@pytest.mark.parametrize(("report", "change", "says"), REFUSED, ids=[r[2] for r in REFUSED])
def test_an_experiment_that_katib_refuses_is_refused_by_name(
    tmp_path: Path, report: str, change: dict[str, Any], says: str
) -> None:
    file = tmp_path / "experiment.json"
    file.write_text(json.dumps(EXPERIMENT | {"spec": EXPERIMENT["spec"] | change}))
    with pytest.raises((BadExperiment, UnsupportedAlgorithm)) as caught:
        document.load(file)
    assert says in caught.value.what
    assert caught.value.fix


@pytest.mark.parametrize("word", ["kubeflow.org/v1alpha3"])
def test_another_version_of_the_api_is_named(tmp_path: Path, word: str) -> None:
    """katib 1428."""
    file = tmp_path / "experiment.json"
    file.write_text(json.dumps(EXPERIMENT | {"apiVersion": word}))
    with pytest.raises(BadExperiment, match=word):
        document.load(file)


def test_numbers_are_those_that_kubernetes_reads(tmp_path: Path) -> None:
    """1e-3 without quotes is a number; as a bound, which is text, it is refused."""
    import yaml

    text = yaml.safe_dump(EXPERIMENT, sort_keys=False)
    file = tmp_path / "experiment.yaml"
    goal = "objectiveMetricName: loss\n    goal: 1e-3"
    file.write_text(text.replace("objectiveMetricName: loss", goal))
    assert document.load(file).spec.objective.goal == 0.001
    file.write_text(text.replace("min: '0.01'", "min: 1e-4"))
    with pytest.raises(BadExperiment, match="Expected `str`, got `float`"):
        document.load(file)


def test_what_kubectl_exports_is_read(tmp_path: Path) -> None:
    """katib 1913."""
    exported = {"managedFields": [{"manager": "katib"}], "finalizers": ["x"], "uid": "1"}
    file = tmp_path / "experiment.json"
    whole = EXPERIMENT | {"status": {"trials": 4}}
    file.write_text(json.dumps(whole | {"metadata": EXPERIMENT["metadata"] | exported}))
    assert document.load(file).name == "reported"


LOSS, ACC = Objective("minimize", "loss"), Objective("maximize", "acc")
OUTPUTS = (
    ("katib 2723", LOSS, ["loss=nan", "loss=", "loss=0.5"], 0.5),
    ("katib 2723", LOSS, ["loss=0.5", "loss=nan"], 0.5),
    ("katib 2723", LOSS, ["loss=nan"], None),
    ("katib 748", Objective("maximize", "val/acc"), ["val/acc=0.9"], None),
    ("katib 748", Objective("maximize", "map.50"), ["map.50=0.9"], None),
    ("katib 748", ACC, ["acc: 0.91"], None),
    ("katib 748", ACC, [" 50%|█████     | 1/2 [00:01<00:01] acc=0.5"], 0.5),
    ("katib 748", ACC, ["acc=91%, lr=1"], 91.0),
    ("katib 748", ACC, ["val_acc=0.9", "acc=0.5", "accuracy=0.99"], 0.5),
)


@pytest.mark.parametrize(("report", "objective", "lines", "value"), OUTPUTS)
def test_metrics_are_collected_as_katib_does(
    report: str, objective: Objective, lines: list[str], value: float | None
) -> None:
    found = observe(read_text(lines, objective.metric_names), objective)
    assert objective_value(objective, found) == value
    assert msgspec.json.encode(found)
