"""How often a release ends in which verdict on a busy machine: real services, the real judge.

``python -m benchmarks.canary_error_rates --releases 60 --load 8``. Processes that only compute
keep the machine at that load; callers ask 40 times a second. Each release goes through the
weights of the recipe's plan (10, 25, 50, 100 %, 200 requests for each revision at each of them)
on a real InferenceService with a stub model, and is taken back afterwards:

* good: a retrained model whose forecasts are 2 % higher, as slow and as true as production;
* true error +50 %, latency x3 (of computing, so that load slows both), errors 3 % for none.

What the good releases observed is kept, weight by weight, and judged again in as many new
orders as ``--resampled`` says, once as it is and once with the time that the processes waited
for a CPU counted as theirs. ``--record FILE`` adds to the recording of an earlier call.

Goal: the upper 95 % bound of the false rollback rate is at most 5 % (0 of 59 has it).
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.stats import beta

from platform_ctl.approvals.local.approvals import SqliteApprovals
from platform_ctl.home.state import connect
from platform_ctl.recipe.recipe import CanaryPlan, DataAccess
from platform_ctl.recipe.verdict import Verdict
from platform_ctl.releases.analyse import AnalysisResult, run_analysis
from platform_ctl.releases.local.releases import SqliteReleases
from platform_ctl.releases.release import Evidence, Target
from platform_ctl.releases.steps import (
    ReleasePorts,
    promote_release,
    revision_of,
    rollback_release,
    start_release,
)
from platform_ctl.serving.service import (
    InferenceService,
    RequestObservation,
    Revision,
    ServiceSpec,
)
from tests.support import serving
from tests.support.releases import FakeRegistry, FakeServing, Fuse

PLAN = CanaryPlan(weights_percent=(10, 25, 50, 100), min_requests=200)
PRODUCTION = "1"
CPU_MS, SERVER_MS = 2.0, 2.0
"""What the model computes for an answer, and about what the server adds to it."""
MODELS = {
    PRODUCTION: {"cpu_ms": CPU_MS},
    "2": {"cpu_ms": CPU_MS, "factor": 1.02},
    "3": {"cpu_ms": CPU_MS, "factor": 0.0},  # the factor is computed from the rows
    "4": {"cpu_ms": 3 * (CPU_MS + SERVER_MS) - SERVER_MS},
    "5": {"cpu_ms": CPU_MS, "raise_every": 33},
}
CANARIES = {"good": "2", "true error +50 %": "3", "latency x3": "4", "errors 3 %": "5"}
RATE = 40
CALLERS_S = 280.0
"""Longer than a release takes."""


def rows() -> dict[str, list | np.ndarray]:
    """120 golden and 600 recent rows; the label is a noisy sum of two features."""
    rng = np.random.default_rng(7)
    splits = ["golden"] * 120 + ["recent"] * 600
    n = len(splits)
    a, b = rng.lognormal(1, 1, n), rng.lognormal(1, 1, n)
    monday = datetime(2024, 1, 1, tzinfo=UTC)
    return {
        "row": [f"repo-{i % 30}@{monday + timedelta(weeks=i // 30):%Y-%m-%d}" for i in range(n)],
        "split": splits,
        "label": (a + 2 * b) * np.exp(rng.normal(0, 0.5, n)),
        "scale": a + 2 * b,
        "a": a.astype(np.float32),
        "b": b.astype(np.float32),
    }


def factor_of(columns: dict[str, list | np.ndarray], increase: float) -> float:
    """The factor on every forecast that makes the true error larger by ``increase``."""
    total = np.asarray(columns["a"]) + 2 * np.asarray(columns["b"])
    label, scale = np.asarray(columns["label"]), np.asarray(columns["scale"])

    def loss(factor: float) -> float:
        return float(np.mean(np.abs(factor * total - label) / scale))

    factors = np.linspace(1.2, 4.0, 1000)
    return float(factors[np.argmin([abs(loss(f) - (1 + increase) * loss(1.0)) for f in factors])])


Recording = dict[int, list[list[RequestObservation]]]
"""Weight in percent -> for each release, what was observed at that weight."""


class Replayed(FakeServing):
    """A service at which each weight brings what was recorded at that weight of some release."""

    def __init__(self, recording: Recording, rng: random.Random, *, waits_count: bool) -> None:
        super().__init__(Fuse())
        self.recording, self.rng, self.waits_count = recording, rng, waits_count
        self.at = 0.0

    def begin(self, production: Revision) -> None:
        self.specs["stub"] = ServiceSpec(production)
        self.seen, self.at = [], time.time() + 1.0

    def apply(self, name: str, spec: ServiceSpec) -> InferenceService:
        before = self.specs[name].weight_percent
        if spec.canary is not None and spec.weight_percent != before:
            segment = self.rng.choice(self.recording[spec.weight_percent])
            shift = self.at - segment[0].at + 1.0
            self.seen += [self.observed(o, shift) for o in segment]
            self.at = self.seen[-1].at
        return super().apply(name, spec)

    def observed(self, one: RequestObservation, shift: float) -> RequestObservation:
        waited = 0.0 if self.waits_count else one.cpu_wait_ms
        return dataclasses.replace(one, at=one.at + shift, cpu_wait_ms=waited)


class Ground:
    """A home with a service, its models and their approved evaluations."""

    def __init__(self, home: Path) -> None:
        self.home, self.columns = home, rows()
        pq.write_table(pa.table(self.columns), home / "rows.parquet")
        self.models = {**MODELS, "3": {**MODELS["3"], "factor": factor_of(self.columns, 0.5)}}
        folder = home / "models"
        self.saved = {v: serving.save_model(folder / v, **c) for v, c in self.models.items()}
        for version in self.models:
            self.evaluate(version)
        local = serving.local_serving(home, canary_timeout_s=2.0)
        registry = FakeRegistry("stub", self.saved, {}, Fuse(), digests=False)
        data = DataAccess({}, home / "feast", home / "golden", home / "key", home / "locks")
        database = home / "platform.db"
        approvals = SqliteApprovals(database)
        releases = SqliteReleases(connect(database))
        self.ports = ReleasePorts(releases, local, registry, approvals, data)

    def evaluate(self, version: str) -> None:
        """What the approver saw: the forecasts of candidate and champion for the golden rows."""
        golden = [i for i, s in enumerate(self.columns["split"]) if s == "golden"]
        total = np.asarray(self.columns["a"])[golden] + 2 * np.asarray(self.columns["b"])[golden]
        folder = self.home / "evaluations" / version
        folder.mkdir(parents=True)
        errors = {
            "row": [self.columns["row"][i] for i in golden],
            "prediction": total.astype(float) * self.models[version].get("factor", 1.0),
            "champion_prediction": total.astype(float),
        }
        pq.write_table(pa.table(errors), folder / "errors.parquet")

    def release(self, version: str) -> AnalysisResult:
        """One release up to its verdict; a canary is taken back, the first one promoted."""
        found = self.ports.registry.models()[0].version(version)
        evidence = Evidence(
            str(self.home / "rows.parquet"), str(self.home / "evaluations" / version)
        )
        target = Target(
            "stub",
            "stub",
            revision_of(self.ports.registry, found),
            ("a", "b"),
            entity="repo",
            online_features="tests.support.serving:online_features",
            labels="tests.support.serving:labels",
            evidence=evidence,
        )
        begun = start_release(self.ports, target, PLAN, approval_id="approval", actor="benchmark")
        analysed = run_analysis(self.ports, begun.id)
        if version == PRODUCTION:
            promote_release(self.ports, begun.id, actor="benchmark")
        else:
            rollback_release(self.ports, begun.id, actor="benchmark", reason="next release")
        return analysed

    def record(self, result: AnalysisResult, recording: Recording) -> None:
        """Keep what a release observed, by the weight at which it did."""
        since, weight = 0.0, 0
        for event in result.log:
            at = datetime.fromisoformat(event["at"]).timestamp()
            if event["kind"] == "weight":
                since, weight = at, event["weight_percent"]
            elif event["kind"] == "analysed":
                seen = self.ports.serving.observations("stub", since=since)
                plain = [dataclasses.replace(o, request=None) for o in seen if o.at <= at]
                recording.setdefault(weight, []).append(plain)

    def judge_again(self, recording: Recording, count: int, *, waits_count: bool) -> None:
        """Verdicts of ``count`` releases put together from what was recorded."""
        serving = Replayed(recording, random.Random(1), waits_count=waits_count)
        database = self.home / f"again-{waits_count}.db"
        registry = FakeRegistry("stub", self.saved, {"production": "1"}, Fuse(), digests=False)
        approvals, releases = SqliteApprovals(database), SqliteReleases(connect(database))
        ports = ReleasePorts(releases, serving, registry, approvals, self.ports.data)
        found: Counter[Verdict] = Counter()
        for _ in range(count):
            revisions = [revision_of(registry, v) for v in registry.models()[0].versions]
            serving.begin(next(r for r in revisions if r.model_version == PRODUCTION))
            candidate = next(r for r in revisions if r.model_version == CANARIES["good"])
            target = Target("stub", "stub", candidate, ("a", "b"), entity="repo")
            begun = start_release(ports, target, PLAN, approval_id="approval", actor="benchmark")
            found[run_analysis(ports, begun.id).verdict] += 1
            rollback_release(ports, begun.id, actor="benchmark", reason="next release")
        how = "waits for a CPU counted" if waits_count else "as it is judged"
        print(
            f"{count} of the recorded segments, {how}: {found[Verdict.FAILED]} rolled back (upper"
            f" 95 % bound {upper_95(found[Verdict.FAILED], count):.1%}),"
            f" {found[Verdict.INCONCLUSIVE]} inconclusive",
            flush=True,
        )


@contextlib.contextmanager
def contention(load: int) -> Iterator[None]:
    """So many processes that compute and nothing else."""
    code = "while True: pass"
    busy = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(load)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def upper_95(failures: int, trials: int) -> float:
    """Clopper and Pearson's one-sided bound."""
    return float(beta.ppf(0.95, failures + 1, trials - failures)) if failures < trials else 1.0


def measured(
    ground: Ground, name: str, releases: int, deadline: float, recording: Recording
) -> Counter[Verdict]:
    """Verdicts of so many releases of one canary; fewer when the time is up."""
    found: Counter[Verdict] = Counter()
    if not releases:
        return found
    loads, failed, asked = [], 0, 0
    for number in range(1, releases + 1):
        if time.monotonic() > deadline:
            break
        begun = time.monotonic()
        url = ground.ports.serving.get("stub").url
        with serving.steady_load(url, seconds=CALLERS_S, rate=RATE) as report:
            result = ground.release(CANARIES[name])
            if CANARIES[name] == CANARIES["good"]:
                ground.record(result, recording)
        found[result.verdict] += 1
        loads.append(os.getloadavg()[0])
        failed += len(report["failures"])
        asked += sum(report["answers"].values())
        took_s = time.monotonic() - begun
        print(
            f"  {name} {number}: {result.verdict} in {took_s:.0f} s, load {loads[-1]:.1f},"
            f" {len(report['failures'])} failed: {result.reasons[0]}",
            flush=True,
        )
    total = found.total()
    bound = f", upper 95 % bound {upper_95(found[Verdict.FAILED], total):.1%}" if total else ""
    print(
        f"{name}: {found[Verdict.FAILED]} of {total} rolled back{bound};"
        f" {found[Verdict.INCONCLUSIVE]} inconclusive; {failed} of {asked} callers' requests"
        f" failed; load {min(loads, default=0):.0f} to {max(loads, default=0):.0f}",
        flush=True,
    )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--releases", type=int, default=60, help="of the good canary")
    parser.add_argument("--worse", type=int, default=5, help="releases of each worse canary")
    parser.add_argument("--load", type=int, default=8, help="processes that only compute")
    parser.add_argument("--resampled", type=int, default=400, help="releases judged again")
    parser.add_argument("--record", type=Path, help="file of the recording")
    parser.add_argument("--minutes", type=float, default=90.0, help="start none after that")
    asked = parser.parse_args()
    deadline = time.monotonic() + 60 * asked.minutes
    recording: Recording = {}
    if asked.record and asked.record.exists():
        recording = msgspec.json.decode(asked.record.read_bytes(), type=Recording)
    with tempfile.TemporaryDirectory() as folder:
        ground = Ground(Path(folder))
        try:
            ground.release(PRODUCTION)
            with contention(asked.load):
                for name in list(CANARIES)[1:]:
                    measured(ground, name, asked.worse, deadline, recording)
                found = measured(ground, "good", asked.releases, deadline, recording)
        finally:
            ground.ports.serving.stop("stub")
        if asked.record:
            asked.record.write_bytes(msgspec.json.encode(recording))
        if asked.resampled and recording:
            for waits_count in (False, True):
                ground.judge_again(recording, asked.resampled, waits_count=waits_count)
    return int(upper_95(found[Verdict.FAILED], found.total()) > 0.05)


if __name__ == "__main__":
    sys.exit(main())
