"""Gather what ``run diff`` compares, from the records and the artifacts that the runs left."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl.errors import MissingExtra, PlatformError, StoreUnavailable, UnknownName
from platform_ctl.explain.compared import ComparedRun
from platform_ctl.explain.score_change import COLUMNS
from platform_ctl.ir.pipeline import Pipeline
from platform_ctl.ir.roles import Role, roles
from platform_ctl.recipe.recipe import Recipe
from platform_ctl.recipe.scores import ERRORS_FILE
from platform_ctl.recipe.tables import TableState
from platform_ctl.runs.budget import LedgerEntry, cost
from platform_ctl.runs.cache.key import CacheKeyInputs
from platform_ctl.runs.cache.port import Decisions
from platform_ctl.runs.port import Artifacts, RunReader
from platform_ctl.runs.record import Run, Task

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_RUNS = 200
SPLIT, TRAIN = "split", "train"
"""A column that says what a row is for, and its value for those that a model learns from."""


@dataclass(frozen=True)
class DiffPorts:
    """Where a run's particulars are found."""

    cache: Decisions
    artifacts: Artifacts
    key_inputs: Callable[[str], CacheKeyInputs | None]
    """Of a key's digest."""
    units: Callable[[str], Mapping[str, str]]
    """Of a module's digest; empty when it is not remembered."""
    read_pipeline: Callable[[Run], Pipeline]
    recipes: Mapping[str, Recipe]
    table: Callable[[str], TableState | None]
    ledger: Callable[[str], Sequence[LedgerEntry]]
    """Of a run's id."""


def side(run: Run, sources: DiffPorts) -> ComparedRun:
    """One run with everything that is still known of it."""
    inputs_of = {
        d.task: sources.key_inputs(d.key) for d in sources.cache.decisions(run.id) if d.key
    }
    keys = {path: inputs for path, inputs in inputs_of.items() if inputs is not None}
    modules = {d for inputs in keys.values() for d in inputs.code.modules.values()}
    pipeline = _pipeline(run, sources)
    recipe = next((r for r in sources.recipes.values() if r.pipeline == run.pipeline), None)
    return ComparedRun(
        run,
        keys,
        bindings(pipeline) if pipeline else {},
        uncached(pipeline) if pipeline else frozenset(),
        units={digest: sources.units(digest) for digest in modules},
        features=_features(run, pipeline, recipe.features, sources.artifacts)
        if pipeline and recipe
        else {},
        errors=_errors(run.tasks, sources.artifacts),
        loss=recipe.loss.name if recipe else "",
        table=sources.table(recipe.table) if recipe and recipe.table else None,
        cost=cost(sources.ledger(run.id)),
    )


def bindings(pipeline: Pipeline) -> dict[str, dict[str, str]]:
    """Path of each step -> its input parameters that are not constants -> the producing task,
    "" when it is a parameter of the DAG."""
    return {
        place.path: {
            parameter: binding.task_output_parameter.producer_task
            if binding.task_output_parameter
            else ""
            for parameter, binding in place.task.inputs.parameters.items()
            if binding.runtime_value is None
        }
        for place in pipeline.walk()
        if not place.component.dag
    }


def uncached(pipeline: Pipeline) -> frozenset[str]:
    """Paths of the steps whose caching is off: they look outside the run, or change it."""
    return frozenset(
        p.path
        for p in pipeline.walk()
        if not p.component.dag and not p.task.caching_options.enable_cache
    )


def two_runs(runs: RunReader, a: str, b: str) -> tuple[Run, Run]:
    """Older and newer. ``b`` "": ``a`` is compared with the run of its pipeline before it.

    Raises UnknownName.
    """
    newer = runs.get(b or a)
    if b:
        return runs.get(a), newer
    earlier = (
        r
        for r in runs.list(_RUNS)
        if r.pipeline == newer.pipeline and r.created_at < newer.created_at
    )
    before = next(earlier, None)
    if before is None:
        raise UnknownName(
            f"run {newer.id[:8]} is the first of {newer.pipeline}",
            where=f"run {newer.id}",
            fix="platform-ctl run list",
        )
    return runs.get(before.id), newer


def _pipeline(run: Run, sources: DiffPorts) -> Pipeline | None:
    try:
        return sources.read_pipeline(run)
    except PlatformError:  # pruned by hand
        return None


# ---- artifacts -------------------------------------------------------------------


def _features(
    run: Run, pipeline: Pipeline, names: Sequence[str], artifacts: Artifacts
) -> dict[str, np.ndarray]:
    """The recipe's features of the rows that the run trained on."""
    import pyarrow.parquet as pq

    path = roles(pipeline).get(Role.FEATURES)
    task = next((t for t in run.tasks if t.path == path), None)
    for file in _files([task] if task else [], artifacts):
        if not file.is_file():
            continue
        try:
            there = pq.read_schema(file).names
            columns = [n for n in (*names, SPLIT) if n in there]
            rows = _training(pq.read_table(file, columns=columns))
        except (OSError, ValueError):  # no Parquet file
            continue
        return {n: rows[n].to_numpy() for n in columns if n != SPLIT}
    return {}


def _training(table: pa.Table) -> pa.Table:
    import pyarrow.compute as pc

    if SPLIT not in table.column_names:
        return table
    return table.filter(pc.equal(table[SPLIT], TRAIN))


def _errors(tasks: Iterable[Task], artifacts: Artifacts) -> dict[str, np.ndarray]:
    """The first ``errors.parquet`` among the tasks' artifacts."""
    import pyarrow.parquet as pq

    for file in _files(tasks, artifacts, ERRORS_FILE):
        if not file.is_file():
            continue
        try:
            table = pq.read_table(file)
        except (OSError, ValueError):  # cut short, or no Parquet file
            continue
        if set(table.column_names) >= COLUMNS:
            return {name: table[name].to_numpy() for name in table.column_names}
    return {}


def _files(tasks: Iterable[Task], artifacts: Artifacts, part: str = "") -> Iterable[Path]:
    """Artifacts of the tasks, or ``part`` of each, that can be had."""
    for artifact in (a for task in tasks for a in task.artifacts):
        with contextlib.suppress(StoreUnavailable, MissingExtra):
            if path := artifacts.fetch(artifact.uri, part):
                yield path
