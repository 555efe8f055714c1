"""Schedule files: bad ones are refused with file, line and what to write; good ones resolve."""

from __future__ import annotations

import pytest

from platform_ctl.errors import BadSchedule
from platform_ctl.schedules.document import ConditionKind, QuietHours, StartCondition, VersionPolicy
from platform_ctl.schedules.due import CatchUp, Timing
from platform_ctl.schedules.read import documents
from tests.support import schedule_files as files

CRON = '{cron: "0 0 6 * * MON"}'
BAD = {
    "unknown key": (files.entry(pipelin="x"), 5, "did you mean pipeline", "pipeline: …"),
    "unknown file key": ("recuring_runs: []\n", 1, "did you mean recurring_runs", "recurring_runs"),
    "key twice": (
        files.entry() + "  pipeline: other\n",
        5,
        "is there twice, first in line 3",
        "edit",
    ),
    "schedule twice": (files.entry() + files.entry(), 5, "there twice, first in line 2", "edit"),
    "wrong type": (files.entry(enabled="1"), 5, "enabled is a whole number, not true or false", ""),
    "name": (files.entry("Nightly Run"), 2, "the name 'Nightly Run'", "name: nightly-run"),
    "no trigger": (files.entry(trigger=""), 2, "the key 'trigger' is missing", "trigger: …"),
    "two triggers": (
        files.entry(trigger='{cron: "0 0 6 * * *", interval_s: 60}'),
        4,
        "one of cron",
        "cron:",
    ),
    "five fields": (
        files.entry(trigger='{cron: "0 6 * * 1"}'),
        4,
        "five fields",
        'cron: "0 0 6 * * 1"',
    ),
    "sunday is 7": (
        files.entry(trigger='{cron: "0 0 6 * * 7"}'),
        4,
        "Sunday is 0",
        'cron: "0 0 6 * * 0"',
    ),
    "wrapping": (files.entry(trigger='{cron: "0 0 6 * * SAT-MON"}'), 4, "wraps", "SAT,0-MON"),
    "no such date": (files.entry(trigger='{cron: "0 0 0 30 2 *"}'), 4, "does not come", "cron:"),
    "every": (files.entry(trigger='{cron: "@every 1h"}'), 4, "an interval", "interval_s: 3600"),
    "zone": (
        files.entry(trigger='{cron: "TZ=Asia/Tokyo 0 0 6 * * *"}'),
        4,
        "UTC",
        '"0 0 6 * * *"',
    ),
    "cron without quotes": (files.entry(trigger="\n    cron: * * * * * *"), 5, "quotes", "edit"),
    "catch_up none": (
        files.entry(trigger='{cron: "0 0 6 * * *", catch_up: none}'),
        4,
        "newest missed",
        "catch_up: latest",
    ),
    "naive time": (
        files.entry(trigger='{cron: "0 0 6 * * *", start_at: 2026-12-01 06:00:00}'),
        4,
        "no time zone",
        'start_at: "2026-12-01T06:00:00Z"',
    ),
    "no time": (
        files.entry(trigger='{cron: "0 0 6 * * *", start_at: soon}'),
        4,
        "not a time",
        "start_at:",
    ),
    "end before start": (
        files.entry(
            trigger='{cron: "0 0 6 * * *", start_at: 2027-01-02T00:00:00Z,'
            " end_at: 2027-01-01T00:00:00Z}"
        ),
        4,
        "end_at is not later",
        "edit",
    ),
    "experiment not declared": (files.entry(experiment="weekly"), 5, "not declared", "edit"),
    "experiment archived": (files.entry(experiment="old"), 5, "is archived", "edit"),
    "unknown pipeline": (files.entry(pipeline="helo"), 3, "did you mean hello", "edit"),
    "unknown parameter": (
        files.entry(parameters="{trails: 3}"),
        5,
        "did you mean trials",
        "trials",
    ),
    "parameter type": (files.entry(parameters="{trials: many}"), 5, "a whole number", "edit"),
    "parameter range": (files.entry(parameters="{trials: 1000}"), 5, "from 1 to 100", "edit"),
    "parameter file": (
        files.entry(parameters="{text: {valueFrom: {file: none.txt}}}"),
        5,
        "cannot be read",
        "edit",
    ),
    "file outside": (
        files.entry(parameters="{text: {valueFrom: {file: ../../etc/passwd}}}"),
        5,
        "not a file of this project",
        "edit",
    ),
    "git ref": (
        files.entry(parameters="{text: {valueFrom: {file: a.txt, git: {ref: nowhere}}}}"),
        5,
        "git",
        "edit",
    ),
    "concurrency": (
        files.entry(max_concurrency="11"),
        5,
        "not from 1 to 10",
        "max_concurrency: 10",
    ),
    "history": (files.entry(keep_history="-1"), 5, "not from 0 to 100", "keep_history: 0"),
    "version": (files.entry(version="newest"), 5, "not one of pinned, latest", "version:"),
    "cool-down without condition": (files.entry(cool_down_s="60"), 5, "with `on`", "edit"),
    "two conditions": (
        files.entry(trigger="{on: {pipeline_changed: true, after: x}}"),
        4,
        "on has one of",
        "edit",
    ),
    "after nobody": (files.entry(trigger="{on: {after: x}}"), 4, "no schedule 'x'", "edit"),
    "after itself": (files.entry("a", trigger="{on: {after: a}}"), 4, "waits for itself", "edit"),
    "recipe": (
        files.entry(trigger="{on: {freshness: {recipe: train, older_than_s: 60}}}"),
        4,
        "not one of train_deploy",
        "recipe: train_deploy",
    ),
    "quiet hours": (
        files.entry(trigger="{on: {pipeline_changed: true}}", quiet_hours="[22-6]"),
        5,
        "not HH:MM-HH:MM",
        '["22:00-06:00"]',
    ),
    "not YAML": ("recurring_runs: [\n", 2, "not YAML", "edit"),
    "two documents": (files.listed() + "---\n{}\n", 3, "a second document", "edit"),
    "a tag": ("recurring_runs: !!python/name:os.system\n", 1, "tag", "edit"),
    "empty file": ("", 1, "the file is empty", "recurring_runs: []"),
    "number as text": (
        files.entry(pipeline="12"),
        3,
        "pipeline is a whole number",
        'pipeline: "12"',
    ),
}
EXPERIMENTS = "experiments:\n- name: old\n  archived: true\n"


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_with_its_line_and_what_to_write(tmp_path, case):
    text, line, said, fix = BAD[case]
    whole = "recurring_runs:\n" + text if text.startswith("- name") else text
    project = files.project(tmp_path)
    files.write(tmp_path, whole, EXPERIMENTS)
    with pytest.raises(BadSchedule) as raised:
        documents(project)
    error = raised.value
    assert error.id == "err-schedule" and error.exit_code == 2
    assert error.where == f"pipelines/schedules/blue/recurring_runs.yaml:{line}", error.what
    assert said in error.what
    assert fix in error.fix


def test_kfp_does_not_look_more_often_than_each_30_seconds(tmp_path):
    fast = files.entry(trigger='{cron: "*/2 * * * * *"}')
    assert files.load(tmp_path, fast).schedules
    with pytest.raises(BadSchedule, match="2 s apart"):
        files.load(tmp_path, fast, kubernetes=True)
    with pytest.raises(BadSchedule, match="10 s apart"):
        files.load(tmp_path, files.entry(trigger="{interval_s: 10}"), kubernetes=True)


def test_a_team_folder_holds_nothing_else(tmp_path):
    files.write(tmp_path, files.listed(files.entry()))
    (tmp_path / "pipelines/schedules/blue/recurring-runs.yml").write_text("")
    with pytest.raises(BadSchedule, match="and nothing else"):
        documents(files.project(tmp_path))


def test_a_full_entry(tmp_path):
    (tmp_path / "text.txt").write_text("from a file\n")
    found = files.load(
        tmp_path,
        files.entry(
            pipeline="hello",
            version="latest",
            parameters="{trials: 5, rate: 1, text: {valueFrom: {file: text.txt}}}",
            experiment="weekly",
            trigger="\n    interval_s: 3600\n    start_at: 2026-12-01T06:00:00+01:00\n"
            "    catch_up: all",
            max_concurrency="2",
            keep_history="0",
            service_account="runner",
        ),
        experiments="experiments:\n- name: weekly\n  description: Each week\n",
    )
    (schedule,) = found.schedules
    spec = schedule.spec
    assert spec.parameters == {"trials": 5, "rate": 1.0, "text": "from a file"}
    assert spec.version is VersionPolicy.LATEST and spec.ir == ""
    assert spec.timing == Timing(interval_s=3600, start_at=1796101200, catch_up=CatchUp.ALL)
    assert (schedule.keep_history, schedule.enabled) == (0, True)
    assert found.teams == {"blue"}


def test_conditions(tmp_path):
    found = files.load(
        tmp_path,
        files.entry("ingest"),
        files.entry("train", trigger="{on: {after: ingest}}", quiet_hours='["22:00-06:00"]'),
        files.entry("fresh", trigger="{on: {freshness: {recipe: train_deploy, older_than_s: 60}}}"),
        files.entry("drifted", trigger="{on: {drift: {service: s, metric: mae, above: 3}}}"),
    )
    conditions = {s.spec.name: s.spec.condition for s in found.schedules}
    assert conditions["train"] == StartCondition(ConditionKind.AFTER, after="ingest")
    assert conditions["drifted"].above == 3.0
    train = found.find("blue/train").spec
    assert train.quiet_hours == (QuietHours(22 * 3600, 6 * 3600),)
    assert (train.cool_down_s, train.stop_after) == (0, 3)
    assert found.find("blue/fresh").spec.cool_down_s == 86400
    assert [train.quiet_hours[0].hold(h * 3600) for h in (21, 22, 0, 5, 6)] == [0, 1, 1, 1, 0]


def test_the_digest_is_of_values_not_of_spelling(tmp_path):
    one = files.load(tmp_path, files.entry(parameters="{rate: 1}")).schedules[0].spec
    same = files.entry(
        parameters='{"rate": 1.0}', trigger='{"cron":   "0 0 6 * * MON"}', enabled="false"
    )
    assert files.load(tmp_path, same).schedules[0].spec.digest == one.digest
    other = files.load(tmp_path, files.entry(parameters="{rate: 1.5}")).schedules[0].spec
    assert other.digest != one.digest


def test_a_git_reference_is_a_recorded_commit(tmp_path):
    files.project(tmp_path)
    (tmp_path / "text.txt").write_text("old\n")
    commit = files.commit(tmp_path)
    (tmp_path / "text.txt").write_text("new\n")
    files.commit(tmp_path)
    git = "git: {ref: HEAD~1}"
    entry = files.entry(
        pipeline=f"{{file: pipelines/compiled/hello.yaml, {git}}}",
        parameters=f"{{text: {{valueFrom: {{file: text.txt, {git}}}}}}}",
    )
    (schedule,) = files.load(tmp_path, entry).schedules
    assert schedule.spec.parameters == {"text": "old"}
    assert schedule.commits == {"@HEAD~1": commit}


def test_another_repository_is_read_at_its_reference(tmp_path):
    other, mine = tmp_path / "other", tmp_path / "mine"
    other.mkdir()
    (other / "text.txt").write_text("there\n")
    sha = files.commit(other)
    reference = f"{{file: text.txt, git: {{url: '{other}', ref: HEAD}}}}"
    entry = files.entry(parameters=f"{{text: {{valueFrom: {reference}}}}}")
    (schedule,) = files.load(mine, entry).schedules
    assert schedule.spec.parameters == {"text": "there"}
    assert list(schedule.commits.values()) == [sha]


def test_absent_and_no_file_are_not_an_empty_list(tmp_path):
    project = files.project(tmp_path)
    files.write(tmp_path, None, "experiments: []\n", team="green")
    files.write(tmp_path, files.listed(files.entry(state="absent")))
    found = documents(project)
    assert [a.key for a in found.absent] == ["blue/nightly"] and not found.schedules
    assert found.teams == {"blue"}
    files.write(tmp_path, files.listed(), team="green")
    assert documents(project).teams == {"blue", "green"}
