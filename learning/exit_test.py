"""The exit test: Build, Diagnose and Articulate, each checked from records."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from learning import exit_test_rules as rules
from learning import session as fault_lab
from learning.exit_test_rules import BuildRun, Checked, TextAssessment, TextFacts
from learning.lab import GREEN_RUN, Session
from learning.port import Fault, Lab
from platform_ctl.errors import PreconditionMissing
from platform_ctl.models.model import PRODUCTION, STAGING, ModelVersion
from platform_ctl.models.port import Registry
from platform_ctl.recipe.recipe import Recipe
from platform_ctl.releases.target import target_of
from platform_ctl.runs.cache.port import Cache
from platform_ctl.runs.port import RunReader
from platform_ctl.runs.record import Run, RunState, TaskState

SYMPTOM = "The pipeline succeeded, but its model never appeared where it should be in the registry."
_RUNS = 200


@dataclass(frozen=True)
class ExitTestRecords:
    """What the checks read."""

    orchestrator: RunReader
    cache: Cache
    registry: Registry
    recipe: Recipe
    folder: Path
    """Where the exit test keeps what there was at its start."""


def start_build(records: ExitTestRecords) -> tuple[str, ...]:
    """Remember the features that there are. Raises PreconditionMissing without a finished run."""
    if not _finished(records):
        raise PreconditionMissing(
            f"the exit test starts from a finished run of {records.recipe.pipeline}",
            where="exit test, build",
            fix=f"platform-ctl pipeline run {records.recipe.pipeline}",
        )
    _write(records, "build", {"features": list(records.recipe.features)})
    return records.recipe.features


def check_build(records: ExitTestRecords) -> tuple[Checked, ...]:
    """A new feature, a run with it, hits where expected and only there, a model in Staging."""
    begun = _read(records, "build")
    features = rules.check_features(begun["features"], records.recipe.features)
    runs = [r for r in _finished(records) if r.created_at >= begun["started_at"]]
    version = _staged(records)
    with_it = [r for r in runs if _trained_on(records, r, version)]
    if not with_it:
        return (features, Checked("a run with it put a model into Staging", False, _why(runs)))
    first, again = with_it[0], with_it[1] if len(with_it) > 1 else None
    inputs = target_of(records.registry, records.recipe, version).features if version else ()
    added = set(records.recipe.features) - set(begun["features"])
    return (
        features,
        rules.check_first_run(_build_run(records, first)),
        rules.check_rerun(
            _build_run(records, first), _build_run(records, again) if again else None
        ),
        Checked(
            "the model in Staging takes the new feature",
            bool(added) and added <= set(inputs),
            f"{version}, registered by run {first.id[:8]}",
        ),
    )


def _why(runs: list[Run]) -> str:
    verdicts = [f"{v.task}: {v.verdict}" for r in runs for v in r.verdicts]
    return f"{len(runs)} finished runs since the start; verdicts: {', '.join(verdicts) or 'none'}"


def _staged(records: ExitTestRecords) -> ModelVersion | None:
    for model in records.registry.models():
        if model.name == records.recipe.model_name:
            number = model.aliases.get(STAGING) or model.aliases.get(PRODUCTION, "")
            return model.version(number)
    return None


def _trained_on(records: ExitTestRecords, run: Run, version: ModelVersion | None) -> bool:
    """Whether a run named this very version when it registered."""
    if version is None:
        return False
    return any(
        t.outputs.parameters.get("version") == version.version and t.state is TaskState.SUCCEEDED
        for t in records.orchestrator.get(run.id).tasks
    )


def _build_run(records: ExitTestRecords, run: Run) -> BuildRun:
    return BuildRun(run.id, records.cache.decisions(run.id))


def start_diagnose(
    lab: Lab, faults: Mapping[str, Fault], progress: Callable[[str], None], choose: Callable
) -> Fault:
    """A random fault of the green-run family; the learner hears the same sentence for each."""
    family = sorted(n for n, f in faults.items() if getattr(f, "family", "") == GREEN_RUN)
    return fault_lab.start(lab, faults, choose(family), progress)


def check_diagnose(
    lab: Lab, faults: Mapping[str, Fault], cause: str
) -> tuple[Session, Fault, Checked]:
    """The named cause beside what was injected. Raises UnknownName for no cause."""
    result = fault_lab.check(lab, faults, cause)
    session, fault = fault_lab.current(lab, faults)
    evidence = f"{result.wrong_causes} wrong, {result.hints} hints, {result.elapsed_s / 60:.0f} min"
    return session, fault, Checked("the cause is what was injected", result.cause_named, evidence)


def check_articulate(records: ExitTestRecords, text: str) -> TextAssessment:
    """Hold a text against the records of the learner's own runs."""
    runs = [records.orchestrator.get(r.id) for r in records.orchestrator.list(_RUNS)]
    facts = [_facts(r) for r in runs]
    mine = next((r for r in runs if r.pipeline == records.recipe.pipeline), None)
    steps = [t.name for t in mine.tasks if not t.name.startswith("condition")] if mine else []
    return rules.read(text, facts, steps)


def _facts(run: Run) -> TextFacts:
    return TextFacts(
        id=run.id,
        state=str(run.state),
        tasks={t.name: str(t.state) for t in run.tasks},
        verdicts={v.task.split(".")[-1]: v.verdict for v in run.verdicts},
    )


def _finished(records: ExitTestRecords) -> list[Run]:
    """Oldest first."""
    runs = records.orchestrator.list(_RUNS)
    mine = [r for r in runs if r.pipeline == records.recipe.pipeline]
    return [r for r in reversed(mine) if r.state is RunState.SUCCEEDED]


def _write(records: ExitTestRecords, part: str, facts: dict[str, Any]) -> None:
    records.folder.mkdir(parents=True, exist_ok=True)
    started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    draft = records.folder / f"{part}.draft"
    draft.write_text(json.dumps({"started_at": started_at, **facts}, indent=1), encoding="utf-8")
    draft.replace(records.folder / f"{part}.json")


def _read(records: ExitTestRecords, part: str) -> dict[str, Any]:
    file = records.folder / f"{part}.json"
    if not file.is_file():
        raise PreconditionMissing(
            f"the part {part} of the exit test was not started",
            where=str(file),
            fix=f"platform-ctl exit-test start {part}",
        )
    return json.loads(file.read_text(encoding="utf-8"))
