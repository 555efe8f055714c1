"""A home in which something has happened to everything that is monitored, by the real parts."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import yaml

from platform_ctl import targets
from platform_ctl.approvals.local.approvals import SqliteApprovals
from platform_ctl.approvals.request import (
    Answer,
    ApprovalRequest,
    ApprovalState,
    Subject,
    Vote,
)
from platform_ctl.lineage.outbox import Outbox
from platform_ctl.recipe.recipe import CanaryPlan
from platform_ctl.releases.local.releases import SqliteReleases
from platform_ctl.releases.release import Release, ReleaseState, Target
from platform_ctl.runs.local.records import RunRecords
from platform_ctl.runs.record import Run, RunRequest, RunState
from platform_ctl.serving.local import records as service_records
from platform_ctl.serving.service import Revision, ServiceSpec
from platform_ctl.settings import Settings
from platform_ctl.tuning.find_search import FOLDER
from platform_ctl.tuning.local import journal
from tests.support import ir

ROOT = Path(__file__).parents[2]
MODEL = "weekly-commits"
SOURCE = """import kfp
from kfp import dsl
from kfp.dsl import *
from typing import *

def judge(x: int) -> NamedTuple("Said", [("verdict", str), ("reasons", list)]):
    import os

    print("trace", os.environ["TRACEPARENT"])
    if x < 0:
        raise ValueError("cannot log in at https://ann:hunter2@example.org/, token=abc123")
    return ("successful" if x else "failed"), ["x is %s" % x]
"""


def settings_of(home: Path) -> Settings:
    return msgspec.structs.replace(
        Settings(), home=str(home), project_root=str(ROOT), max_parallel_tasks=2
    )


def moment(hours: float) -> str:
    """That many hours from now."""
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat(timespec="milliseconds")


def gate_pipeline(folder: Path, name: str, *, retries: int = 0) -> Path:
    """One task ``gate``: successful unless x is 0, an error when it is negative."""
    document = ir.document()
    document["pipelineInfo"]["name"] = name
    container = ir.container()
    container["command"][-1], container["args"][-1] = SOURCE, "judge"
    document["deploymentSpec"]["executors"]["exec-add"]["container"] = container
    integer = {"parameters": {"x": {"parameterType": "NUMBER_INTEGER"}}}
    document["components"]["comp-add"] = {
        "executorLabel": "exec-add",
        "inputDefinitions": integer,
        "outputDefinitions": {
            "parameters": {
                "verdict": {"parameterType": "STRING"},
                "reasons": {"parameterType": "LIST"},
            }
        },
    }
    task = {
        "taskInfo": {"name": "gate"},
        "componentRef": {"name": "comp-add"},
        "cachingOptions": {"enableCache": True},
        "inputs": {"parameters": {"x": {"componentInputParameter": "x"}}},
    }
    if retries:
        task["retryPolicy"] = {"maxRetryCount": retries, "backoffDuration": "0s"}
    document["root"] = {"inputDefinitions": integer, "dag": {"tasks": {"gate": task}}}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def run(settings: Settings, pipeline: Path, x: int, *, use_cache: bool = True) -> Run:
    request = RunRequest(pipeline, {"x": x}, use_cache=use_cache)
    return targets.orchestrator(settings).run(request, lambda event: None)


def old_commits(folder: Path) -> Path:
    """A clone whose last commit is years old."""
    env = {**os.environ, "GIT_AUTHOR_DATE": "2024-03-04T10:00:00Z"}
    env["GIT_COMMITTER_DATE"] = env["GIT_AUTHOR_DATE"]
    names = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    git = ("git", "-C", str(folder))
    folder.mkdir()
    subprocess.run([*git, "init", "-q"], check=True)
    for number in range(3):
        message = ("commit", "-q", "--allow-empty", "-m", str(number))
        subprocess.run([*git, *names, *message], check=True, env=env)
    return folder


def waiting_approval(settings: Settings, *, expires_h: float = 3) -> ApprovalRequest:
    return _approvals(settings).open(_request("aaaa1111", "4", expires_h))


def blocked_promotion(settings: Settings) -> None:
    """Approved two hours ago, and nothing came of it."""
    approvals = _approvals(settings)
    approvals.open(_request("bbbb2222", "3", 48))
    approvals.vote("bbbb2222", Vote("ann", Answer.APPROVE, "good", moment(-2)))


def _approvals(settings: Settings) -> SqliteApprovals:
    return SqliteApprovals(settings.layout.database)


def _request(request_id: str, version: str, expires_h: float) -> ApprovalRequest:
    subject = Subject("sha256:m", "sha256:e", "4711", "sha256:c", version)
    return ApprovalRequest(
        request_id, MODEL, version, "train_deploy", subject, ApprovalState.PENDING, "bob",
        moment(-1), moment(expires_h),
    )  # fmt: skip


def releases(settings: Settings) -> None:
    """One canary that was rolled back, and one that has been held for half an hour."""
    db = targets.state(settings)
    store = SqliteReleases(db)
    plan = CanaryPlan(weights_percent=(10, 50, 100))
    before = Revision("v1", "/models/1", "1")
    for version, state in (("2", ReleaseState.ROLLED_BACK), ("3", ReleaseState.HELD)):
        target = Target(MODEL, MODEL, Revision(f"v{version}", "/models", version), ())
        made = store.create(Release(str(uuid.uuid4()), target, plan, before), "started")
        verdict = "failed" if state is ReleaseState.ROLLED_BACK else "inconclusive"
        made = store.update(dataclasses.replace(made, step=1), "analysed", verdict=verdict)
        store.update(dataclasses.replace(made, state=state), state.value)
    db.execute("UPDATE release_events SET at = ? WHERE kind = 'held'", (moment(-0.5),))


def dead_service(settings: Settings) -> None:
    """The files that a supervisor leaves behind when it is killed."""
    files = service_records.ServiceFiles(settings.layout.services / MODEL)
    spec = service_records.SavedSpec(ServiceSpec(Revision("v1", "/models/1", "1")), 8080)
    service_records.write_json(files.spec, spec)
    with _Process() as pid:
        running = service_records.Running(service_records.ProcessId.of(pid), "/nowhere")
    service_records.write_json(files.running, running)


def stuck_search(settings: Settings) -> str:
    """An open run whose process is gone, in the middle of a search that has stood still for an
    hour; its id. ``record_deaths`` makes it final."""
    run_id = str(uuid.uuid4())
    directory = settings.layout.runs / run_id
    folder = directory / FOLDER
    folder.mkdir(parents=True)
    (folder / journal.FILE).write_text("{}\n")
    an_hour_ago = time.time() - 3600
    os.utime(folder / journal.FILE, (an_hour_ago, an_hour_ago))
    with _Process() as pid:
        made = Run(
            run_id, "stuck", "train-deploy", RunState.RUNNING, moment(-1), str(directory), pid=pid
        )
        records = RunRecords(targets.database(settings))
        records.create(made)
        assert records.own(made, pid, RunState.RUNNING)
    return run_id


def old_lineage(settings: Settings) -> None:
    """An event that has waited for two hours."""
    event = {"eventTime": moment(-2), "eventType": "START", "run": {"runId": "r", "facets": {}}}
    Outbox(settings.layout.lineage).append([event])


def quarantined(settings: Settings) -> None:
    """What the cache does with entries whose bytes were changed."""
    targets.state(settings).execute("UPDATE cache_entries SET quarantined = 'it was changed'")


class _Process:
    """A process that is killed at the end; its pid is then nobody's."""

    def __enter__(self) -> int:
        self._child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        return self._child.pid

    def __exit__(self, *exc: object) -> None:
        self._child.kill()
        self._child.communicate()
