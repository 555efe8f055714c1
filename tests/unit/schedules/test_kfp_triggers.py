"""Conditions on a cluster: a ConfigMap remembers, runs are submitted by key."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from platform_ctl.runs.record import Run, RunRequest, RunState
from platform_ctl.schedules.conditions import Readings
from platform_ctl.schedules.kubernetes.triggers import (
    MEMORIES,
    ConfigMapTriggerStates,
    KfpTriggerPorts,
)
from platform_ctl.schedules.port import Pause
from platform_ctl.schedules.trigger import Triggered, TriggerEvaluator
from tests.support import schedule_files as files

BEGIN = 1_795_000_000


@dataclass
class FakeCluster:
    """ConfigMaps in memory."""

    namespace: str = "kubeflow"
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)

    def get(self, kind: Any, name: str) -> dict[str, Any] | None:
        return self.objects.get(name)

    def create(self, manifest: dict[str, Any]) -> dict[str, Any] | None:
        return self.objects.setdefault(manifest["metadata"]["name"], dict(manifest))

    def patch(self, kind: Any, name: str, change: dict[str, Any]) -> dict[str, Any]:
        self.objects[name].setdefault("data", {}).update(change["data"])
        return self.objects[name]


@dataclass
class FakeKfp:
    """What the arbiter reads of KFP's records."""

    upstream: list[str] = field(default_factory=list)
    open: int = 0

    def succeeded(self, key: str, *, since: int) -> list[str]:
        return self.upstream

    def open_runs_named(self, beginning: str) -> int:
        return self.open


@dataclass
class FakeRuns:
    requests: dict[str, RunRequest] = field(default_factory=dict)

    def submit(self, request: RunRequest) -> Run:
        self.requests.setdefault(request.idempotency_key, request)
        key = request.idempotency_key
        return Run(key, request.name, "hello", RunState.PENDING, "", "")


class World:
    def __init__(self, root: Path, *entries: str) -> None:
        self.documents = files.load(root, *entries)
        self.cluster, self.kfp, self.runs = FakeCluster(), FakeKfp(), FakeRuns()
        self.now, self.newest = BEGIN, float(BEGIN - 100)
        self.pauses: dict[str, Pause] = {}

    def look(self, after_s: int = 0) -> list[Triggered]:
        self.now += after_s
        memories = ConfigMapTriggerStates(self.cluster)
        readings = Readings(lambda recipe: self.newest, lambda service, metric: None)
        target = KfpTriggerPorts(self.kfp, self.runs, readings, lambda: self.now, self.documents)
        triggers = memories.triggers(self.documents, self.pauses, self.now)
        ports = target.ports(lambda key, text: None)
        return TriggerEvaluator(memories, ports, lambda: self.now).look(triggers)


def test_after_starts_one_run_for_each_upstream_run(tmp_path: Path) -> None:
    after = files.entry("train", trigger="{on: {after: ingest}}", parameters="{trials: 5}")
    world = World(tmp_path, files.entry("ingest"), after)
    assert world.look() == []
    world.kfp.upstream = ["aaaa1111"]
    (started,) = world.look(300)
    assert (started.key, started.reason) == ("blue/train", "after")
    assert world.look(300) == []
    (request,) = world.runs.requests.values()
    assert request.parameters == {"trials": 5}
    assert request.name.startswith("blue/train ") and "run aaaa1111 of ingest" in request.name


def test_freshness_remembers_and_counts_in_the_config_map(tmp_path: Path) -> None:
    fresh = "{on: {freshness: {recipe: train_deploy, older_than_s: 60}}}"
    world = World(tmp_path, files.entry("fresh", trigger=fresh))
    assert len(world.look()) == 1
    for _ in range(5):
        assert world.look(300) == []
    data = world.cluster.objects[MEMORIES]["data"]
    assert data["suppressed.blue.fresh.cool_down"] == "5"
    assert data["since.blue.fresh"] == str(BEGIN)
    world.kfp.open = 1
    world.look(90_000)
    assert data["suppressed.blue.fresh.open_run"] == "1"


def test_what_is_paused_or_disabled_is_not_looked_at(tmp_path: Path) -> None:
    changed = "{on: {pipeline_changed: true}}"
    world = World(
        tmp_path,
        files.entry("idle", trigger=changed, enabled="false"),
        files.entry("paused", trigger=changed),
    )
    world.pauses["blue/paused"] = Pause("ann", "x", BEGIN)
    assert world.look() == [] and world.cluster.objects == {}
