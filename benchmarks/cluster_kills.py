"""Kills on a cluster, each followed to its end: ``python -m benchmarks.cluster_kills -h``.

Trains, approves and promotes with the platform that ``target install`` has put into the cluster of
the kubeconfig, and kills what works for it: steps, trials, Ray's head and workers, predictors, the
controllers of Argo and of approvals; the object store is away for 30 s. A run either ends well, or
with an error that has a name; then ``run resume`` has to go on with it. What the cluster holds is
listed before and after: nothing may be left over.

Every kill is one of the installation: do not run this where somebody else works.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from platform_ctl.cluster.api import (
    DEPLOYMENT,
    JOB,
    POD,
    SERVICE,
    Cluster,
    Object,
    ResourceKind,
    connect,
)
from platform_ctl.cluster.owner import RUN_LABEL
from platform_ctl.cluster.pods import phase
from platform_ctl.errors import ClusterUnavailable
from platform_ctl.serving.kubernetes.manifests import SERVICE_LABEL

DESK = Path(__file__).parents[1] / "infra" / "dev" / "desk.yaml"
DESK_POD = f"desk-of-kills-{os.getpid()}"
PLACEHOLDER = "platform-ctl/platform:setting-kubernetes.image"
BUDGET = ("-p", "max_trials=2", "-p", "epochs=3", "-p", "num_workers=1")
AWAY_S = 30.0
"""How long the object store is away."""
APART_S = 30.0
"""Between two kills of the same kind."""
RESUMES = 4
SETTLE_S = 180.0
"""After the last run, until what it had made is gone."""
ROUTE = ResourceKind("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes")
INFERENCE = ResourceKind("serving.kserve.io/v1beta1", "InferenceService", "inferenceservices")
MADE = (
    JOB,
    DEPLOYMENT,
    SERVICE,
    ROUTE,
    INFERENCE,
    ResourceKind("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    ResourceKind("kubeflow.org/v1beta1", "Experiment", "experiments"),
    ResourceKind("kubeflow.org/v1beta1", "Trial", "trials"),
    ResourceKind("kubeflow.org/v1beta1", "Suggestion", "suggestions"),
    ResourceKind("ray.io/v1", "RayJob", "rayjobs"),
    ResourceKind("ray.io/v1", "RayCluster", "rayclusters"),
)
ENDED = ("Complete", "Failed", "Succeeded")
STEP = "-system-container-impl-"
"""In the name of a pod in which KFP 2.17 executes a step."""
ERROR = re.compile(r"^error: .*\((err-[a-z-]+)\)", re.MULTILINE)
RUN = re.compile(r"^where: +run ([0-9a-f-]{36})", re.MULTILINE)


@dataclass(frozen=True)
class Target:
    """What is killed: one of the pods with ``labels`` that run, and whose name has ``part``."""

    name: str
    during: str
    """``ingest``, ``train`` or ``promote``."""
    labels: str = ""
    part: str = ""


TARGETS = (
    Target("step", "ingest", RUN_LABEL, STEP),
    Target("workflow controller", "ingest", "app=workflow-controller"),
    Target("object store", "ingest"),
    Target("step", "train", RUN_LABEL, STEP),
    Target("trial", "train", "katib.kubeflow.org/trial"),
    Target("ray head", "train", "ray.io/node-type=head"),
    Target("ray worker", "train", "ray.io/node-type=worker"),
    Target("workflow controller", "train", "app=workflow-controller"),
    Target("object store", "train"),
    Target("step", "promote", RUN_LABEL, STEP),
    Target("predictor", "promote", SERVICE_LABEL),
    Target("approval controller", "promote", "app=approval-controller"),
)


@dataclass
class Kills:
    """Kills what is due while a command works, and keeps what it has killed."""

    cluster: Cluster
    store: Cluster
    random: random.Random
    done: Counter[str] = field(default_factory=Counter)
    away: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def during(self, targets: Sequence[Target]) -> Iterator[None]:
        """Each target once, some seconds after it is there; one that never comes is left out."""
        over = threading.Event()
        threads = [
            threading.Thread(target=self._kill, args=(t, over, targets[:n].count(t)), daemon=True)
            for n, t in enumerate(targets)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def _kill(self, target: Target, over: threading.Event, earlier: int) -> None:
        """``earlier``: how many others have the same target; they take turns."""
        over.wait(earlier * APART_S)
        if not target.labels:
            over.wait(self.random.uniform(5.0, 40.0))
            if not over.is_set():
                self._take_store_away()
                self._note(target, "s3")
            return
        while not over.is_set():
            found = self._pods(target)
            if found:
                over.wait(self.random.uniform(0.0, 6.0))
                name = self.random.choice(found)
                if self._delete(name):
                    self._note(target, name)
                    return
            over.wait(1.0)

    def _pods(self, target: Target) -> list[str]:
        """None while the API server is away."""
        try:
            pods = self.cluster.list(POD, labels=target.labels)
        except ClusterUnavailable:
            return []
        return [
            p["metadata"]["name"]
            for p in pods
            if target.part in p["metadata"]["name"] and phase(p) == "Running"
        ]

    def _delete(self, name: str) -> bool:
        """At once, as a node that dies takes its pods with it; whether it was there."""
        path = POD.path(self.cluster.namespace, name)
        query = {"gracePeriodSeconds": "0"}
        return self.cluster.call("DELETE", path, query, missing_ok=True) is not None

    def _take_store_away(self) -> None:
        """Its Service finds no pod: connections are refused, and nothing is lost."""
        with self.away:
            try:
                self.store.patch(SERVICE, "s3", {"spec": {"selector": {"away": "yes"}}})
                time.sleep(AWAY_S)
            finally:
                self.store.patch(SERVICE, "s3", {"spec": {"selector": {"away": None}}})

    def _note(self, target: Target, what: str) -> None:
        self.done[f"{target.during}: {target.name}"] += 1
        print(f"  {time.strftime('%H:%M:%S')} killed {target.name}: {what}", flush=True)


@dataclass(frozen=True)
class Desk:
    """Somebody at a command line inside the cluster."""

    cluster: Cluster
    kubectl: Sequence[str]

    def __call__(self, *words: str) -> tuple[int, str]:
        """Exit code and output of a command."""
        command = [*self.kubectl, "exec", DESK_POD, "--", "platform-ctl", *words]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        return done.returncode, done.stdout


@contextlib.contextmanager
def desk(cluster: Cluster, kubectl: Sequence[str], image: str) -> Iterator[Desk]:
    text = DESK.read_text(encoding="utf-8").replace(PLACEHOLDER, image)
    for document in yaml.safe_load_all(text):
        if document["kind"] == "Pod":
            document["metadata"]["name"] = DESK_POD
        document["metadata"]["namespace"] = cluster.namespace
        cluster.apply(document)
    try:
        while phase(cluster.get(POD, DESK_POD) or {}) != "Running":
            time.sleep(1.0)
        yield Desk(cluster, kubectl)
    finally:
        cluster.delete(POD, DESK_POD)


def followed(at: Desk, *words: str) -> tuple[str, list[str]]:
    """The end of a command, and the names of the errors on the way. After each the run is resumed,
    until there is no error or nothing helps."""
    errors: list[str] = []
    code, text = at(*words)
    for _ in range(RESUMES):
        named, run = ERROR.search(text), RUN.search(text)
        if named is None:
            break
        print(f"  {named[0]}", flush=True)
        errors.append(named[1])
        if run is None:
            break
        code, text = at("run", "resume", run[1])
    last = " | ".join(text.strip().splitlines()[-3:])
    return f"exit code {code}: {last}", errors


def inventory(cluster: Cluster) -> set[str]:
    """Without what has ended: a search is kept with its run, and the Jobs of its trials an hour."""
    return {
        f"{kind.kind}/{o['metadata']['name']}"
        for kind in MADE
        for o in cluster.list(kind)
        if not _ended(o)
    }


def _ended(document: Object) -> bool:
    """Of a Job or a kind of Katib's: a condition says so."""
    conditions = document.get("status", {}).get("conditions", [])
    return any(c["type"] in ENDED and c["status"] == "True" for c in conditions)


def settled(cluster: Cluster, wanted: Callable[[set[str]], bool]) -> set[str]:
    """What there is, when ``wanted`` holds or time is up."""
    end = time.monotonic() + SETTLE_S
    while not wanted(found := inventory(cluster)) and time.monotonic() < end:
        time.sleep(5.0)
    return found


def ingests(at: Desk, kills: Kills, asked: argparse.Namespace) -> list[str]:
    """Ingests the sample until so many were killed; no row may come twice."""
    bad: list[str] = []
    while sum(kills.done.values()) < asked.kills:
        words = ("pipeline", "run", "ingest", "-p", "source=sample", "--no-cache")
        with kills.during(_drawn(kills, "ingest", asked.per_run)):
            end, errors = followed(at, *words)
        print(f"ingest: {end} {errors}", flush=True)
        if not end.startswith("exit code 0"):
            bad.append(f"ingest: {end}")
    print(at("data", "show")[1], flush=True)
    return bad


def lottery(at: Desk, kills: Kills, asked: argparse.Namespace) -> list[str]:
    """Trains and promotes until so many were killed; what did not end as it should."""
    number, bad = asked.seed, list[str]()
    while sum(kills.done.values()) < asked.kills:
        number += 1
        seed_word = ("-p", f"seed={number}")
        with kills.during(_drawn(kills, "train", asked.per_run)):
            end, errors = followed(at, "pipeline", "run", "train-deploy", *BUDGET, *seed_word)
        print(f"train {number}: {end} {errors}", flush=True)
        if not end.startswith(("exit code 0", "exit code 1")):
            bad.append(f"train {number}: {end}")
            continue
        if end.startswith("exit code 1"):
            continue  # the gate said no, which is an answer
        with kills.during(_drawn(kills, "promote", asked.per_run // 2)):
            words = ("approval", "approve", "latest", "--reason", "lottery", "--wait")
            end, errors = followed(at, *words)
        print(f"promote {number}: {end} {errors}", flush=True)
        if not end.startswith(("exit code 0", "exit code 1")):
            bad.append(f"promote {number}: {end}")
    return bad


def _drawn(kills: Kills, during: str, count: int) -> list[Target]:
    """The targets that were killed least often so far, in an order of chance."""
    found = [t for t in TARGETS if t.during == during]
    kills.random.shuffle(found)
    found.sort(key=lambda t: kills.done[f"{during}: {t.name}"])
    return list(itertools.islice(itertools.cycle(found), count))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", required=True, help="holds this checkout")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--only", choices=["ingest"], default="", help="no training")
    parser.add_argument("--per-run", type=int, default=8, help="while one run trains")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000)
    parser.add_argument("--kubeconfig", default="")
    parser.add_argument("--namespace", default="kubeflow")
    parser.add_argument("--store-namespace", default="storage")
    asked = parser.parse_args()
    cluster, store = (
        connect(kubeconfig=asked.kubeconfig, namespace=name)
        for name in (asked.namespace, asked.store_namespace)
    )
    kubectl = ["kubectl", *(["--kubeconfig", asked.kubeconfig] if asked.kubeconfig else [])]
    kills = Kills(cluster, store, random.Random(asked.seed))
    before = inventory(cluster)
    with desk(cluster, [*kubectl, "-n", asked.namespace], asked.image) as at:
        bad = (ingests if asked.only == "ingest" else lottery)(at, kills, asked)
        service = at("service", "list")[1]
    left = settled(cluster, lambda found: not _unexplained(found - before, service))
    unexplained = _unexplained(left - before, service)
    print(f"\n{sum(kills.done.values())} kills: {dict(kills.done)}")
    print(service)
    print("left over:", *(sorted(unexplained) or ["nothing"]), sep="\n  ")
    print("did not end as it should:", *(bad or ["nothing"]), sep="\n  ")
    return int(bool(bad or unexplained))


def _unexplained(new: set[str], service: str) -> set[str]:
    """New objects that no service of the list has: those of one have its name in theirs."""
    names = {line.split()[0] for line in service.splitlines()[1:] if line.split()}
    return {n for n in new if not any(n.partition("/")[2].startswith(s) for s in names)}


if __name__ == "__main__":
    sys.exit(main())
