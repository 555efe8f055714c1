"""``run diff`` on simulated runs: a change is seeded among noise, and named first."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_ctl.explain.compared import ComparedRun, DifferenceKind
from platform_ctl.explain.run_diff import compare
from platform_ctl.recipe.tables import Snapshot, TableState
from platform_ctl.runs.budget import Cost
from platform_ctl.runs.cache.key import CacheKeyInputs, CodeDigest, KeyedArtifact
from platform_ctl.runs.record import Artifact, Outputs, Run, RunState, Task, TaskState, Usage
from tests.support.scores import errors

STEPS = {"extract": ("resolve",), "tune": ("extract",), "train": ("extract", "tune"),
         "evaluate": ("train",), "gate": ("evaluate",)}  # fmt: skip
READS = {"tune": "max_trials", "train": "epochs"}


@dataclasses.dataclass
class World:
    """What a run depends on, and what makes it noisy; ``run`` derives the rest."""

    parameters: dict[str, Any] = dataclasses.field(
        default_factory=lambda: {"max_trials": 20, "epochs": 10}
    )
    snapshot: str = "1"
    champion: str = ""
    code: dict[str, dict[str, str]] = dataclasses.field(
        default_factory=lambda: {s: {f"recipes.r.{s}": "0" * 32} for s in STEPS}
    )
    data: dict[str, str] = dataclasses.field(default_factory=lambda: {"experiment.yaml": "0" * 32})
    packages: dict[str, str] = dataclasses.field(default_factory=lambda: {"torch": "2.1"})
    image: str = "python:1"
    env: dict[str, str] = dataclasses.field(default_factory=dict)
    constants: dict[str, Any] = dataclasses.field(default_factory=lambda: {"seed": 0})
    added: tuple[str, ...] = ()
    chance: dict[str, int] = dataclasses.field(default_factory=dict)
    source: dict[str, str] = dataclasses.field(default_factory=dict)

    def side(self, noise: Noise) -> ComparedRun:
        made: dict[str, str] = {"resolve": ""}
        keys, tasks = {}, [self._resolve(noise)]
        for step, upstream in (*STEPS.items(), *((s, ("gate",)) for s in self.added)):
            inputs = {u: made[u] for u in upstream if u != "resolve"}
            keys[step] = key = self._key(step, inputs)
            text = json.dumps([key.digest_text(), self.chance.get(step, 0)])
            made[step] = hashlib.sha256(text.encode()).hexdigest()
            tasks.append(self._task(step, inputs, key, made[step], noise))
        names = [t.path for t in tasks]
        bound: dict[str, dict[str, str]] = {n: {} for n in names}
        bound["extract"] = {"snapshot_id": "resolve", "champion": "resolve"}
        for step, name in READS.items():
            bound[step] = {name: ""}
        run = Run("r" + noise.salt, "r", "p", RunState.SUCCEEDED, "2026-01-01T00:00:00Z", "/r",
                  self.parameters, tasks=tuple(tasks))  # fmt: skip
        plain = {n: k.inputs for n, k in keys.items()}
        return ComparedRun(run, plain, bound, frozenset({"resolve"}), cost=Cost(cpu_s=noise.cpu_s))

    def _key(self, step: str, inputs: dict[str, str]) -> Key:
        parameters = {n: self.parameters[n] for s, n in READS.items() if s == step}
        if step == "extract":
            parameters |= {"snapshot_id": self.snapshot, "champion": self.champion}
        if step == "train":
            parameters |= self.constants
        return Key(
            CacheKeyInputs(
                component=f"comp-{step}",
                image=self.image,
                command=("python", "-c", self.source.get(step, "import x\nx.run()")),
                args=("--function_to_execute", step),
                env=self.env,
                parameters=parameters,
                artifacts={u: (KeyedArtifact(digest=d),) for u, d in inputs.items()},
                code=CodeDigest(
                    modules=self.code.get(step, {}),
                    data=self.data if step == "tune" else {},
                    packages=self.packages if step in ("tune", "train") else {},
                ),
            )
        )

    def _resolve(self, noise: Noise) -> Task:
        found = {"snapshot_id": self.snapshot, "champion": self.champion}
        return Task("resolve", "resolve", "comp-resolve", TaskState.SUCCEEDED,
                    usage=noise.usage(), outputs=Outputs(found))  # fmt: skip

    def _task(self, step: str, inputs: dict[str, str], key: Key, digest: str, noise: Noise) -> Task:
        taken = {u: (Artifact(u, f"/{noise.salt}/{u}", digest=d),) for u, d in inputs.items()}
        made = (Artifact("out", f"/{noise.salt}/{step}", digest=digest),)
        state = TaskState.CACHED if noise.cached(step) else TaskState.SUCCEEDED
        return Task(step, step, f"comp-{step}", state, usage=noise.usage(),
                    inputs=Outputs(key.inputs.parameters, taken),
                    outputs=Outputs({"summary": f"took {noise.cpu_s}"}, {"out": made}),
                    log=f"{noise.salt}.txt", cache=noise.salt)  # fmt: skip


@dataclasses.dataclass
class Key:
    inputs: CacheKeyInputs

    def digest_text(self) -> str:
        return json.dumps(dataclasses.asdict(self.inputs), sort_keys=True)


@dataclasses.dataclass
class Noise:
    """Durations, cost, paths, and which steps the cache answered."""

    salt: str
    cpu_s: float
    wall_s: float
    hits: frozenset[str]

    def usage(self) -> Usage:
        return Usage(self.wall_s, self.cpu_s)

    def cached(self, step: str) -> bool:
        return step in self.hits


noises = st.builds(
    Noise,
    salt=st.text("abcdef", min_size=4, max_size=8),
    cpu_s=st.floats(0, 1e4),
    wall_s=st.floats(0, 1e4),
    hits=st.frozensets(st.sampled_from(sorted(STEPS))),
)


def _set(field: str, name: str, value: Any) -> Callable[[World], None]:
    return lambda world: getattr(world, field).__setitem__(name, value)


def _edit(step: str, module: str) -> Callable[[World], None]:
    return lambda world: world.code[step].__setitem__(module, "1" * 32)


SEEDED: list[tuple[Callable[[World], None], DifferenceKind, str]] = [
    (_set("parameters", "max_trials", 5), DifferenceKind.PARAMETER, "max_trials"),
    (_set("parameters", "epochs", 11), DifferenceKind.PARAMETER, "epochs"),
    (lambda w: setattr(w, "snapshot", "2"), DifferenceKind.DATA, "resolve.snapshot_id"),
    (lambda w: setattr(w, "champion", "7"), DifferenceKind.DATA, "resolve.champion"),
    (_edit("extract", "recipes.r.extract"), DifferenceKind.CODE, "code.modules.recipes.r.extract"),
    (_edit("gate", "recipes.r.gate"), DifferenceKind.CODE, "code.modules.recipes.r.gate"),
    (_edit("train", "recipes.r.new"), DifferenceKind.CODE, "code.modules.recipes.r.new"),
    (_set("data", "experiment.yaml", "1" * 32), DifferenceKind.CODE, "code.data.experiment.yaml"),
    (_set("packages", "torch", "2.2"), DifferenceKind.PACKAGE, "code.packages.torch"),
    (lambda w: setattr(w, "image", "python:2"), DifferenceKind.ENVIRONMENT, "image"),
    (_set("env", "OMP_NUM_THREADS", "8"), DifferenceKind.ENVIRONMENT, "env.OMP_NUM_THREADS"),
    (_set("constants", "seed", 1), DifferenceKind.PIPELINE, "parameters.seed"),
    (lambda w: setattr(w, "added", ("explain",)), DifferenceKind.PIPELINE, "step explain"),
    (_set("chance", "tune", 1), DifferenceKind.CHANCE, "tune.out"),
    (_set("source", "evaluate", "import y\ny.run()"), DifferenceKind.CODE, "component source"),
]


@pytest.mark.parametrize(("change", "kind", "what"), SEEDED, ids=[w for _, _, w in SEEDED])
@given(before=noises, after=noises)
def test_the_seeded_change_is_the_only_cause(
    change: Callable[[World], None], kind: DifferenceKind, what: str, before: Noise, after: Noise
) -> None:
    then, now = World(), World()
    change(now)
    found = compare(then.side(before), now.side(after))
    assert [(d.kind, d.what) for d in found if d.kind.is_cause] == [(kind, what)]
    assert (found[0].kind, found[0].what) == (kind, what) and found[0].tasks


@given(noises, noises)
def test_noise_alone_is_no_cause(before: Noise, after: Noise) -> None:
    found = compare(World().side(before), World().side(after))
    assert {d.kind for d in found} <= {DifferenceKind.COST, DifferenceKind.DURATION}


@given(st.sets(st.integers(0, len(SEEDED) - 1), min_size=2, max_size=4), noises, noises)
def test_of_several_changes_every_one_is_told_and_none_else(
    chosen: set[int], before: Noise, after: Noise
) -> None:
    then, now = World(), World()
    for index in chosen:
        SEEDED[index][0](now)
    found = compare(then.side(before), now.side(after))
    told = {(d.kind, d.what) for d in found if d.kind.is_cause}
    wanted = {SEEDED[i][1:] for i in chosen}
    upstream = any(SEEDED[i][1] is not DifferenceKind.CHANCE for i in chosen)
    if upstream:  # chance in a step whose inputs changed as well cannot be told from them
        wanted = {w for w in wanted if w[0] is not DifferenceKind.CHANCE} | (told & wanted)
    assert told == wanted
    ranks = [d.kind.is_cause for d in found]
    assert ranks == sorted(ranks, reverse=True)


# ---- how much -------------------------------------------------------------------


def run_with(**metrics: float) -> Run:
    artifact = Artifact("m", "/m", "system.Metrics", metadata=metrics, digest=str(metrics))
    task = Task("evaluate", "evaluate", "c", TaskState.SUCCEEDED,
                inputs=Outputs({"x": 1}), outputs=Outputs({}, {"m": (artifact,)}))  # fmt: skip
    return Run("r", "r", "p", RunState.SUCCEEDED, "2026-01-01T00:00:00Z", "/r", tasks=(task,))


def detail(old: ComparedRun, new: ComparedRun, kind: DifferenceKind) -> list[str]:
    return [d.detail for d in compare(old, new) if d.kind is kind]


def test_a_metric_says_how_sure_its_change_is() -> None:
    then = ComparedRun(run_with(mase=1.0), loss="mase", errors=errors())
    worse = ComparedRun(run_with(mase=2.5), loss="mase", errors=errors(shift=12))
    (found,) = (d for d in compare(then, worse) if d.kind is DifferenceKind.METRIC)
    assert found.new == "2.5 (+150.0 %)"
    assert found.detail.startswith("95 % interval +") and "noise" not in found.detail
    again = ComparedRun(run_with(mase=1.01), loss="mase", errors=errors(noise=0.5, seed=3))
    same = ComparedRun(run_with(mase=1.0), loss="mase", errors=errors(noise=0.5, seed=4))
    assert detail(same, again, DifferenceKind.METRIC)[0].endswith("; within noise")
    others = errors()
    others["label"] = others["label"] + 1
    assert detail(
        then, ComparedRun(run_with(mase=1.2), loss="mase", errors=others), DifferenceKind.METRIC
    ) == ["not comparable: other golden rows"]
    assert detail(
        ComparedRun(run_with(mase=1.0)), ComparedRun(run_with(mase=1.2)), DifferenceKind.METRIC
    ) == [""]


def test_a_snapshot_says_how_many_rows_came() -> None:
    table = TableState("a.b", True, current="3", snapshots=tuple(
        Snapshot(str(n), float(n), 1000 * n) for n in (1, 2, 3)))  # fmt: skip
    noise = Noise("a", 1, 1, frozenset())
    then, now = World(), World(snapshot="3")
    new = dataclasses.replace(now.side(noise), table=table)
    assert (
        compare(then.side(noise), new)[0].detail == "+2,000 rows (1,000 -> 3,000), 2 snapshots on"
    )
    back = dataclasses.replace(then.side(noise), table=table)
    assert compare(now.side(noise), back)[0].detail.startswith("-2,000 rows")
    gone = dataclasses.replace(World(snapshot="9").side(noise), table=table)
    assert compare(then.side(noise), gone)[0].detail == ""


def test_drifted_features_are_told_and_the_rest_counted() -> None:
    rng = np.random.default_rng(0)
    then = {f"f{i}": rng.normal(0, 1, 500) for i in range(9)}
    now = {name: column + (3 if name > "f1" else 0) for name, column in then.items()}
    before, after = ComparedRun(run_with(), features=then), ComparedRun(run_with(), features=now)
    found = [d for d in compare(before, after) if d.kind is DifferenceKind.DRIFT]
    assert [d.what for d in found][-1] == "2 more features" and len(found) == 6
    assert "PSI" in found[0].detail and found[0].old.startswith("median")


def test_cost_and_a_search_are_told_by_their_parts() -> None:
    search = Artifact("search", "/s", digest="1")

    def side(rate: str, cpu_s: float, trials: int) -> ComparedRun:
        task = Task("tune", "tune", "c", TaskState.SUCCEEDED, inputs=Outputs({"x": rate}),
                    outputs=Outputs({"parameters": {"rate": rate, "size": "1"}},
                                    {"search": (search,)}))  # fmt: skip
        run = dataclasses.replace(run_with(), tasks=(task,))
        return ComparedRun(run, cost=Cost(cpu_s=cpu_s, money=cpu_s / 1e4, trials=trials))

    found = compare(side("0.1", 10, 2), side("0.2", 40, 20))
    assert [(d.kind, d.what, d.new) for d in found] == [
        (DifferenceKind.SEARCH, "tune.parameters.rate", "0.2"),
        (DifferenceKind.COST, "cost", "40.0 cpu-s, 0.0040 money, 20 trials"),
    ]
