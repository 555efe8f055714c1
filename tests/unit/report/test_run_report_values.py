"""What a report says: states of the DAG, the critical path, evaluations, the headline."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_ctl.explain.diagnosis import DiagnosisFacts
from platform_ctl.ir.file import read
from platform_ctl.ir.roles import Role
from platform_ctl.lineage.graph import TaskRun
from platform_ctl.models import evaluation
from platform_ctl.report import charts, forest
from platform_ctl.report.dag import NOT_REACHED, graph, picture
from platform_ctl.report.headline import Failure, Tone, headline
from platform_ctl.report.lineage_map import MOST_NODES, lineage_map
from platform_ctl.report.timeline import critical_path, timeline
from platform_ctl.report.value import CanaryAnalysis, CanaryHistory, SearchSummary, SearchTrial
from platform_ctl.runs.record import Outputs, Run, RunState, Task, TaskState, TaskVerdict
from platform_ctl.text import duration
from tests.support.chain import ROOT

TRAIN = read(ROOT / "pipelines" / "compiled" / "train-deploy.yaml")
NOW = "2026-01-01T00:10:00.000Z"


def at(second: float) -> str:
    return f"2026-01-01T00:{int(second) // 60:02}:{second % 60:06.3f}Z"


def task(path: str, start: float, end: float, state=TaskState.SUCCEEDED, error="") -> Task:
    name = path.rpartition(".")[2]
    return Task(path, name, f"comp-{name}", state, at(start), at(end), 1, error)


def run(*tasks: Task, state=RunState.SUCCEEDED, **fields) -> Run:
    return Run(
        "a1", "a", "train-deploy", state, at(0), "/nowhere", tasks=tasks, started_at=at(0), **fields
    )


# ---- DAG -------------------------------------------------------------------------


def by_key(node) -> dict:
    return {node.key: node} | {k: v for c in node.children for k, v in by_key(c).items()}


def test_what_a_skipped_group_holds_is_skipped_and_the_rest_was_not_reached():
    gate = Task(
        "condition-1", "condition-1", "c", TaskState.SKIPPED, error="the condition is false"
    )
    nodes = by_key(graph(TRAIN, run(task("resolve", 0, 1), gate)))
    assert nodes["resolve"].state == "SUCCEEDED"
    assert nodes["condition-1"].shape == "condition" and "gate-passed" in nodes["condition-1"].label
    assert nodes["condition-1.register"].state == "SKIPPED"
    assert nodes["train"].state == NOT_REACHED
    running = by_key(graph(TRAIN, run(task("resolve", 0, 1), state=RunState.RUNNING)))
    assert running["train"].state == "PENDING"


def test_a_loop_is_one_node_that_counts_and_shows_the_worst():
    tasks = [task(f"loop.{i}.add", i, i + 1) for i in range(200)]
    tasks[7] = replace(tasks[7], state=TaskState.FAILED)
    node = graph(None, run(*tasks)).children[0]
    assert (node.key, node.state, node.note) == ("loop.add", "FAILED", "199 of 200")
    assert node.states == {"SUCCEEDED": 199, "FAILED": 1}


@pytest.mark.parametrize("down", [False, True])
def test_what_is_in_a_group_is_drawn_inside_it(down):
    drawn = picture(graph(TRAIN, run()), down=down)
    placed = {p.node.key: p for p in drawn.nodes}
    group, inner = placed["condition-1"], placed["condition-1.register"]
    assert group.x < inner.x and inner.x + inner.width < group.x + group.width
    assert group.y < inner.y and inner.y + inner.height < group.y + group.height
    assert {a.source for a in drawn.arrows if a.target == "condition-1"} == {"gate"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (7530, "2 h 6 min"),
    ],
)
def test_durations_in_words(seconds, text):
    assert duration(seconds) == text


# ---- timeline --------------------------------------------------------------------


def test_the_critical_path_goes_back_through_whatever_came_last():
    """evaluate waits for train and extract; tune is what train waited for."""
    tasks = (
        task("resolve", 0, 2),
        task("extract", 2, 5),
        task("tune", 5, 30),
        task("train", 30, 50),
        task("evaluate", 50, 51),
        task("gate", 51, 52),
        task("condition-1.register", 52, 55),
    )
    whole = run(*tasks, ended_at=at(55))
    assert critical_path(whole, TRAIN, NOW) == tuple(t.path for t in tasks)
    shown = timeline(whole, TRAIN, NOW)
    assert shown.critical_s == 55 and shown.wall_s == 55
    assert [lane.label for lane in shown.lanes][-1] == "register"
    assert shown.lanes[2].bars[0].width == pytest.approx(100 * 25 / 55, abs=0.01)


def test_cached_steps_are_never_what_a_run_waited_for():
    tasks = (
        task("resolve", 0, 2),
        task("extract", 2, 2, TaskState.CACHED),
        task("tune", 2, 9),
    )
    assert critical_path(run(*tasks), TRAIN, NOW) == ("resolve", "tune")


def test_iterations_share_a_lane_and_stay_inside_it():
    shown = timeline(run(*(task(f"loop.{i}.add", i, i) for i in range(100))), None, NOW)
    (lane,) = shown.lanes
    assert len(lane.bars) == 100
    assert all(b.width > 0 and b.start + b.width <= 100 for b in lane.bars)


def test_what_still_runs_ends_now_and_nothing_ran_is_no_timeline():
    running = Task("tune", "tune", "c", TaskState.RUNNING, at(300))
    assert timeline(run(running, state=RunState.RUNNING), TRAIN, NOW).critical_s == 300
    assert timeline(run(), TRAIN, NOW).lanes == ()


# ---- evaluation ------------------------------------------------------------------

DOCUMENT = {
    "rows": 240,
    "finite": True,
    "loss": {"name": "mase", "title": "MASE", "unit": ""},
    "metrics": {"mae": 14.0, "mase": 1.0},
    "baselines": {"last_week": {"mae": 19.0, "mase": 1.4}, "mean_4w": {"mae": 17.0, "mase": 1.2}},
    "champion": {"mae": 15.0, "mase": 1.1},
    "intervals": {"confidence": 0.95, "mase": [0.8, 1.2], "mase_minus_champion": [-0.3, 0.1]},
    "slices": {"small": {"rows": 24, "mase": 0.8, "baseline_mase": 1.0}},
    "leak_check": {"ok": True, "findings": []},
}
COLUMNS = {"row": ["a"], "label": [3.0], "prediction": [2.5], "champion_prediction": [None]}


def test_an_evaluation_as_the_recipes_leave_it():
    found = evaluation.parse(DOCUMENT, COLUMNS)
    assert [f.kind for f in found.forecasts] == ["model", "champion", "baseline", "baseline"]
    assert found.metric == "mase" and found.best_baseline.name == "mean_4w"
    assert found.interval == (0.8, 1.2)
    assert found.differences[0].point == pytest.approx(-0.1)
    assert found.predictions == (evaluation.Prediction("a", 3.0, 2.5, None),)
    shown = forest.metric_forest(found)
    assert [r.kind for r in shown.rows] == ["model", "champion", "baseline", "baseline"]
    assert shown.rows[0].low < shown.rows[0].at < shown.rows[0].high
    assert "(-20 %)" in forest.slice_forest(found).rows[0].text
    assert forest.difference_forest(found).line is not None
    assert len(charts.predicted_against_actual(found).points) == 1


def test_another_recipe_has_other_metrics_and_less_of_everything():
    found = evaluation.parse({"metrics": {"auc": 0.9}})
    assert found.metric == "auc" and found.best_baseline is None and not found.predictions
    assert forest.metric_forest(found).rows[0].text == "0.900"
    assert forest.difference_forest(found) is forest.slice_forest(found) is None
    assert charts.predicted_against_actual(found) is None


def test_thousands_of_rows_are_thinned_by_place_and_not_by_error():
    many = {"label": list(range(5000)), "prediction": list(range(5000))}
    found = evaluation.parse(DOCUMENT, many)
    assert len(found.predictions) <= evaluation.MOST_POINTS
    assert found.predicted_rows == 5000
    assert "of 5000" in charts.predicted_against_actual(found).note


HUGE = 10**400
"""JSON may hold it; no float can."""

_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5) | st.just(HUGE),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def test_a_number_that_no_float_can_hold_is_none():
    found = evaluation.parse(
        {"metrics": {"mase": 0.9, "mae": HUGE}, "intervals": {"mase": [0, HUGE]}}
    )
    assert found.interval is None and found.metrics == ("mase",)


@given(st.fixed_dictionaries({}, optional={k: _JSON for k in DOCUMENT}))
def test_whatever_the_file_holds_it_is_read_or_refused(document):
    try:
        found = evaluation.parse(document)
    except ValueError:
        return
    forest.metric_forest(found)
    json.dumps([r.text for r in forest.metric_forest(found).rows])


# ---- search and canary -----------------------------------------------------------


def search(*scores: float | None) -> SearchSummary:
    trials = tuple(
        SearchTrial(f"t{i}", i, "Succeeded", s, {"rate": str(10.0**-i), "size": "64"}, 1.0, 1.0)
        for i, s in enumerate(scores)
    )
    return SearchSummary("s", "loss", True, "tpe", ("rate",), trials, best="t2")


def test_the_best_so_far_never_gets_worse_and_failed_trials_have_no_point():
    found = search(3.0, None, 1.0, 2.0)
    assert charts.so_far(found) == [3.0, 1.0, 1.0]
    drawn = charts.best_so_far(found)
    assert len(drawn.points) == 3 and [p.kind for p in drawn.points].count("chosen") == 1
    assert charts.best_so_far(search(1.0)) is None
    assert charts.so_far(replace(found, minimize=False)) == [3.0, 3.0, 3.0]


def test_a_parameter_that_never_varied_has_no_picture():
    found = search(3.0, 2.0, 1.0)
    assert charts.against_objective(found, "size") is None
    assert "log" in charts.against_objective(found, "rate").x_label
    by_name = replace(found, numeric=())
    assert {t.label for t in charts.against_objective(by_name, "rate").x_ticks} == {
        "1.0",
        "0.1",
        "0.01",
    }


def test_a_canary_shows_each_look_at_its_weight():
    looks = tuple(
        CanaryAnalysis(at(i), w, "successful", (), {}, 0, 1) for i, w in enumerate((10, 50, 100))
    )
    drawn = charts.canary_weights(CanaryHistory(None, looks))
    heights = [p.y for p in drawn.points]
    assert heights == sorted(heights, reverse=True)
    assert charts.canary_weights(CanaryHistory(None)) is None


# ---- lineage ---------------------------------------------------------------------

TABLE, ROWS, MODEL = (
    ("iceberg", "t", "1"),
    ("platform", "p.extract.rows", "d"),
    ("mlflow", "m", "2"),
)


def told(parent: str, job: str, reads=(), writes=(), moment="1") -> TaskRun:
    return TaskRun(f"{parent}{job}", parent, job, "COMPLETE", moment, tuple(reads), tuple(writes))


def test_lineage_shows_runs_and_what_goes_between_them():
    tasks = [
        told("r1", "p.extract", [TABLE], [ROWS]),
        told("r1", "p.register", [ROWS], [MODEL]),
        told("r2", "promote.deploy", [MODEL], [("kserve", "svc", "2")], "2"),
    ]
    found = lineage_map(tasks, "r1")
    assert {n.label for n in found.nodes} == {"p", "t", "m", "promote", "svc"}
    assert found.inside == 1 and len(found.steps) == 2
    assert {n.label for n in lineage_map(tasks, "r2").nodes} == {"p", "t", "m", "promote", "svc"}
    assert lineage_map(tasks, "r3") is None


def test_a_rerun_that_wrote_the_same_bytes_is_no_reader_of_them():
    tasks = [
        told("r1", "p.extract", [TABLE], [ROWS]),
        told("r2", "p.extract", [TABLE], [ROWS], "2"),
        told("r2", "p.train", [ROWS], [], "2"),
    ]
    assert {n.key for n in lineage_map(tasks, "r1").nodes} & {"r2"} == set()


def test_lineage_stays_a_picture():
    readers = [told(f"r{i}", "q.read", [MODEL], [("x", f"d{i}", "")], "2") for i in range(50)]
    found = lineage_map([told("r", "p.register", [], [MODEL]), *readers], "r")
    assert len(found.nodes) == MOST_NODES and found.left_out > 0
    shown = {n.key for n in found.nodes}
    assert all(a in shown and b in shown for a, b in found.edges)


# ---- headline --------------------------------------------------------------------


def test_a_failure_leads_to_what_its_error_asks_for():
    failed = run(task("train", 0, 1, TaskState.FAILED, "boom"), state=RunState.FAILED)
    told = headline(failed, failures=[Failure("train", "boom", "do this", "runbooks/x.md")])
    assert (told.tone, told.title, told.sentences) == (Tone.BAD, "Failed in train", ("boom",))
    assert told.actions[0].command == "do this" and told.actions[0].runbook == "runbooks/x.md"
    assert "resume" in told.actions[-1].command
    plain = headline(failed, failures=[Failure("train", "boom")])
    assert plain.actions[0].command == "platform-ctl run logs a1 train"


@pytest.mark.parametrize(
    ("state", "error", "title"),
    [
        (RunState.RUNNING, "", "Still running"),
        (RunState.PENDING, "", "Not started yet"),
        (RunState.CANCELED, "cancelled", "Cancelled"),
        (RunState.FAILED, "orphaned", "Its process died"),
        (RunState.SUCCEEDED, "", "Succeeded"),
    ],
)
def test_every_state_has_its_headline(state, error, title):
    died = error == "orphaned"
    assert headline(run(state=state, error=error, orphaned=died)).title == title


@pytest.mark.parametrize(
    ("verdict", "title"),
    [("successful", "The model passed the gate"), ("inconclusive", "Still running")],
)
def test_the_page_that_the_registering_step_leaves_is_true_afterwards(verdict, title):
    """It stays beside the registered model: "still running" would stay there for good."""
    outputs = Outputs({"verdict": verdict, "reasons": ["9 % better"]})
    gate = replace(task("gate", 0, 1), outputs=outputs)
    going_on = run(gate, state=RunState.RUNNING)
    facts = DiagnosisFacts(going_on, now=0.0, roles={Role.GATE: "gate"})
    told = headline(going_on, facts)
    assert told.title == title
    assert ("9 % better" in told.sentences) == (verdict == "successful")


def test_a_verdict_of_no_is_not_a_success():
    no = run(task("judge", 0, 1), verdicts=(TaskVerdict("judge", "failed", ("too bad",)),))
    told = headline(no)
    assert (told.tone, told.title, told.sentences) == (Tone.BAD, "judge: failed", ("too bad",))
