"""Reads ``pipelines/schedules/<team>/{experiments,recurring_runs}.yaml``, strictly.

Everything is checked before anything is returned; the first problem is raised with its
file and line as BadSchedule.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platform_ctl.errors import BadParameter, PlatformError
from platform_ctl.ir import file as ir_file
from platform_ctl.ir import meaning
from platform_ctl.ir import parameters as ir_parameters
from platform_ctl.ir.parameters import Allowed
from platform_ctl.ir.pipeline import ParameterType, Pipeline
from platform_ctl.schedules import cron, git_ref
from platform_ctl.schedules.document import (
    DEFAULT_EXPERIMENT,
    Absent,
    ConditionKind,
    Documents,
    KfpExperiment,
    QuietHours,
    Schedule,
    Spec,
    StartCondition,
    VersionPolicy,
)
from platform_ctl.schedules.due import CatchUp, Timing
from platform_ctl.schedules.located import Fields, Located, moment, read

FOLDER = "schedules"
"""Below the package of the pipelines; one folder a team."""
CONTROLLER_LOOKS_S = 30
"""KFP's controller looks at each schedule this often (``recurringRunResyncIntervalSeconds``)."""
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?")
_ENTRY = (
    "name",
    "pipeline",
    "version",
    "parameters",
    "experiment",
    "enabled",
    "state",
    "trigger",
    "max_concurrency",
    "keep_history",
    "service_account",
    "cool_down_s",
    "quiet_hours",
    "stop_after",
)
_TRIGGER = ("cron", "interval_s", "on", "start_at", "end_at", "catch_up")
_CONDITIONS: Mapping[ConditionKind, tuple[str, ...]] = {
    ConditionKind.FRESHNESS: ("recipe", "older_than_s"),
    ConditionKind.DRIFT: ("service", "metric", "above"),
}
_EXAMPLE = 'cron: "0 0 6 * * MON"'
_MAX_SECONDS = 366 * cron.DAY_S


@dataclass(frozen=True)
class Project:
    """What schedule files may refer to."""

    root: Path
    folder: Path
    """Holds one folder a team."""
    find: Callable[[str], Path]
    """Compiled file of a pipeline by name. Raises UnknownName."""
    allowed: Callable[[str], Mapping[str, Allowed]]
    """What a recipe says of the parameters of a pipeline."""
    recipes: Callable[[], list[str]]
    kubernetes: bool
    """Whether what only KFP refuses is refused."""


@dataclass(frozen=True)
class _Compiled:
    path: Path
    data: bytes
    pipeline: Pipeline
    digest: str
    commits: Mapping[str, str]


def documents(project: Project) -> Documents:
    """All files, checked and resolved. Raises BadSchedule.

    A team without a ``recurring_runs.yaml`` has no schedules and none that may be pruned.
    """
    schedules: list[Schedule] = []
    experiments: list[KfpExperiment] = []
    absent: list[Absent] = []
    teams: set[str] = set()
    for team in sorted(p for p in project.folder.glob("*") if p.is_dir()):
        _check_team(project, team)
        declared = _experiments(project, team)
        experiments += declared
        entries = _entries(project, team, "recurring_runs")
        if entries is None:
            continue
        teams.add(team.name)
        reader = _Entries(project, team.name, declared)
        for entry in entries:
            reader.add(entry)
        reader.check_after()
        schedules += reader.schedules
        absent += reader.absent
    return Documents(tuple(schedules), tuple(experiments), tuple(absent), frozenset(teams))


def _check_team(project: Project, team: Path) -> None:
    shown = str(team.relative_to(project.root))
    if not _NAME.fullmatch(team.name):
        Located(None, "", shown, 1).refuse(f"the team's name is not {_NAME.pattern}")
    for file in sorted(team.iterdir()):
        if file.name not in ("experiments.yaml", "recurring_runs.yaml"):
            Located(None, "", f"{shown}/{file.name}", 1).refuse(
                "a team's folder holds experiments.yaml and recurring_runs.yaml and nothing else"
            )


def _entries(project: Project, team: Path, name: str) -> list[Located] | None:
    """The list under the file's one key; None when there is no file."""
    path = team / f"{name}.yaml"
    if not path.is_file():
        return None
    shown = str(path.relative_to(project.root))
    document = read(path, shown)
    if document is None:
        Located(None, "", shown, 1).refuse("the file is empty", f"{name}: []")
    return list(document.fields([name], [name])[name].items())


def _experiments(project: Project, team: Path) -> list[KfpExperiment]:
    experiments: dict[str, KfpExperiment] = {}
    for entry in _entries(project, team, "experiments") or []:
        fields = entry.fields(["name", "description", "archived"], ["name"])
        name = fields["name"].of(str, "name")
        if not name.strip() or len(name) > 128:
            fields["name"].refuse("an experiment's name has 1 to 128 characters")
        if name in experiments:
            fields["name"].refuse(f"the experiment {name!r} is declared twice")
        experiments[name] = KfpExperiment(
            team.name,
            name,
            fields.get("description", str, ""),
            fields.get("archived", bool, False),
            fields["name"].where,
        )
    return list(experiments.values())


class _Entries:
    """The entries of one ``recurring_runs.yaml``, one after the other."""

    def __init__(self, project: Project, team: str, experiments: list[KfpExperiment]) -> None:
        self._project, self._team = project, team
        self._experiments = {e.name: e for e in experiments}
        self._lines: dict[str, Located] = {}
        self._after: list[tuple[str, Located]] = []
        self.schedules: list[Schedule] = []
        self.absent: list[Absent] = []

    def add(self, entry: Located) -> None:
        fields = entry.fields(_ENTRY, ["name"])
        name = fields["name"].of(str, "name")
        if not _NAME.fullmatch(name):
            better = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:50]
            fields["name"].refuse(f"the name {name!r} is not {_NAME.pattern}", f"name: {better}")
        if name in self._lines:
            first = self._lines[name].line
            fields["name"].refuse(f"the schedule {name!r} is there twice, first in line {first}")
        self._lines[name] = fields["name"]
        if fields.word("state", ["present", "absent"], "present") == "absent":
            self.absent.append(Absent(self._team, name, fields["name"].where))
            return
        entry.fields(_ENTRY, ["pipeline", "trigger"])
        self.schedules.append(self._schedule(name, fields))

    def check_after(self) -> None:
        """``after`` names a schedule of the team, and no chain of them closes."""
        upstream = {
            s.spec.name: s.spec.condition.after
            for s in self.schedules
            if s.spec.condition and s.spec.condition.after
        }
        names = {s.spec.name for s in self.schedules}
        for name, node in self._after:
            if upstream[name] not in names:
                node.refuse(f"after: there is no schedule {upstream[name]!r} in this team")
            seen, at = {name}, upstream[name]
            while at in upstream:
                if at in seen:
                    node.refuse(f"after: {name} waits for itself")
                seen.add(at)
                at = upstream[at]

    def _schedule(self, name: str, fields: Fields) -> Schedule:
        compiled = _compiled(self._project, fields["pipeline"])
        version = VersionPolicy(fields.word("version", VersionPolicy, VersionPolicy.PINNED))
        timing, condition = self._trigger(name, fields["trigger"])
        values, commits = self._parameters(fields, compiled)
        self._refuse_of_conditions(fields, condition)
        spec = Spec(
            team=self._team,
            name=name,
            pipeline=compiled.pipeline.name,
            version=version,
            ir=compiled.digest if version is VersionPolicy.PINNED else "",
            parameters=values,
            experiment=self._experiment(fields),
            timing=timing,
            condition=condition,
            max_concurrency=fields.whole("max_concurrency", 1, 1, 10),
            service_account=fields.get("service_account", str, ""),
            cool_down_s=_cool_down_s(fields, condition),
            quiet_hours=_quiet_hours(fields) if condition else (),
            stop_after=fields.whole("stop_after", 3, 1, 100) if condition else 0,
        )
        return Schedule(
            spec,
            enabled=fields.get("enabled", bool, True),
            keep_history=fields.whole("keep_history", 3, 0, 100),
            compiled=compiled.path,
            ir=compiled.digest,
            compiled_bytes=compiled.data,
            commits={**compiled.commits, **commits},
            where=fields["name"].where,
        )

    def _experiment(self, fields: Fields) -> str:
        name = fields.get("experiment", str, DEFAULT_EXPERIMENT)
        if name == DEFAULT_EXPERIMENT:
            return name
        declared = self._experiments.get(name)
        if declared is None:
            fields["experiment"].refuse(
                f"the experiment {name!r} is not declared in experiments.yaml of {self._team}"
            )
        if declared.archived:
            fields["experiment"].refuse(f"the experiment {name!r} is archived")
        return name

    def _refuse_of_conditions(self, fields: Fields, condition: StartCondition | None) -> None:
        for name in ("cool_down_s", "quiet_hours", "stop_after"):
            if name in fields and condition is None:
                fields[name].refuse(f"{name} is for a trigger with `on`")

    # ---- the trigger ------------------------------------------------------

    def _trigger(self, name: str, node: Located) -> tuple[Timing | None, StartCondition | None]:
        fields = node.fields(_TRIGGER)
        triggers = [key for key in ("cron", "interval_s", "on") if key in fields]
        if len(triggers) != 1:
            node.refuse("a trigger has one of cron, interval_s and on", _EXAMPLE)
        if triggers == ["on"]:
            for key in ("start_at", "end_at", "catch_up"):
                if key in fields:
                    fields[key].refuse(f"{key} is for a trigger with a clock")
            return None, self._condition(name, fields["on"])
        return self._timing(fields), None

    def _timing(self, fields: Fields) -> Timing:
        start = moment(fields["start_at"], "start_at") if "start_at" in fields else None
        end = moment(fields["end_at"], "end_at") if "end_at" in fields else None
        if start is not None and end is not None and end <= start:
            fields["end_at"].refuse("end_at is not later than start_at")
        if fields.get("catch_up", str, "") == "none":
            fields["catch_up"].refuse(
                "catch_up none: KFP always runs the newest missed slot", "catch_up: latest"
            )
        catch_up = CatchUp(fields.word("catch_up", CatchUp, CatchUp.LATEST))
        expression = _cron(fields["cron"]) if "cron" in fields else ""
        interval_s = fields.whole("interval_s", 0, 1, 10 * _MAX_SECONDS)
        timing = Timing(expression, interval_s, start, end, catch_up)
        gap_s = timing.shortest_gap_s()
        if self._project.kubernetes and gap_s < CONTROLLER_LOOKS_S:
            place = fields["cron" if expression else "interval_s"]
            place.refuse(
                f"slots {gap_s} s apart: KFP's controller checks every {CONTROLLER_LOOKS_S} s",
                'cron: "0 * * * * *"' if expression else f"interval_s: {CONTROLLER_LOOKS_S}",
            )
        return timing

    def _condition(self, name: str, node: Located) -> StartCondition:
        fields = node.fields(ConditionKind)
        if len(fields.value) != 1:
            node.refuse(f"on has one of {', '.join(ConditionKind)}")
        kind = ConditionKind(next(iter(fields.value)))
        inner = fields[kind]
        if kind is ConditionKind.PIPELINE_CHANGED:
            if inner.of(bool, kind) is not True:
                inner.refuse("pipeline_changed is true or left out", "pipeline_changed: true")
            return StartCondition(kind)
        if kind is ConditionKind.AFTER:
            self._after.append((name, inner))
            return StartCondition(kind, after=inner.of(str, kind))
        values = inner.fields(_CONDITIONS[kind], _CONDITIONS[kind])
        if kind is ConditionKind.FRESHNESS:
            recipe = values.word("recipe", self._project.recipes(), "")
            older = values.whole("older_than_s", 0, 1, 10 * _MAX_SECONDS)
            return StartCondition(kind, recipe=recipe, older_than_s=older)
        return StartCondition(
            kind,
            service=values["service"].of(str, "service"),
            metric=values["metric"].of(str, "metric"),
            above=values["above"].of(float, "above"),
        )

    # ---- parameters -------------------------------------------------------

    def _parameters(
        self, fields: Fields, compiled: _Compiled
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """Typed as the pipeline declares them; ``valueFrom`` is read. Raises BadSchedule."""
        pipeline = compiled.pipeline
        declared = pipeline.root.input_definitions.parameters
        place = fields["parameters"] if "parameters" in fields else fields["pipeline"]
        nodes = fields["parameters"].fields(declared).value if "parameters" in fields else {}
        allowed = self._project.allowed(pipeline.name)
        values: dict[str, Any] = {}
        commits: dict[str, str] = {}
        for name, node in nodes.items():
            value = self._given(node, declared[name].parameter_type, commits)
            try:
                values[name] = ir_parameters.typed(pipeline, name, value, allowed=allowed)
            except BadParameter as exc:
                node.refuse(exc.what)
        try:
            ir_parameters.resolve(pipeline, values, allowed=allowed)
        except BadParameter as exc:
            place.refuse(exc.what)
        return values, commits

    def _given(self, node: Located, kind: ParameterType, commits: dict[str, str]) -> Any:
        if isinstance(node.value, dict) and "valueFrom" in node.value:
            return self._value_from(node, kind, commits)
        return node.plain()

    def _value_from(self, node: Located, kind: ParameterType, commits: dict[str, str]) -> Any:
        reference = node.fields(["valueFrom"])["valueFrom"]
        fields = reference.fields(["file", "git"], ["file"])
        data, commit = _file(self._project, fields)
        commits.update(commit)
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            fields["file"].refuse("the file is not UTF-8 text")
        if kind is ParameterType.STRING:
            return text.removesuffix("\n")
        import yaml

        try:
            return yaml.safe_load(text)
        except (yaml.YAMLError, ValueError) as exc:
            fields["file"].refuse(f"the file holds no {kind}: {' '.join(str(exc).split())[:120]}")


# ---- pipelines, files, small values -----------------------------------------


def _compiled(project: Project, node: Located) -> _Compiled:
    """By name, or a file of the project at a git reference."""
    commits: dict[str, str] = {}
    try:
        if isinstance(node.value, dict):
            fields = node.fields(["file", "git"], ["file"])
            data, commits = _file(project, fields)
            path = project.root / fields["file"].value
        else:
            path = project.find(node.of(str, "pipeline"))
            data = path.read_bytes()
        pipeline = ir_file.parse(data, path)
    except PlatformError as exc:
        if exc.where.startswith(node.file):
            raise
        node.refuse(exc.what)
    except OSError as exc:
        node.refuse(f"the pipeline cannot be read: {exc.strerror}")
    digest = meaning.digest(meaning.documents(data))
    return _Compiled(path, data, pipeline, digest, commits)


def _file(project: Project, fields: Fields) -> tuple[bytes, dict[str, str]]:
    """A file of the project, today's or at a git reference, and the commit of that."""
    name = fields["file"].of(str, "file")
    path = (project.root / name).resolve()
    if not path.is_relative_to(project.root.resolve()):
        fields["file"].refuse(f"{name} is not a file of this project")
    if "git" not in fields:
        try:
            return path.read_bytes(), {}
        except OSError as exc:
            fields["file"].refuse(f"{name} cannot be read: {exc.strerror}")
    reference = fields["git"].fields(["ref", "url"], ["ref"])
    ref, url = reference["ref"].of(str, "ref"), reference.get("url", str, "")
    try:
        commit = git_ref.commit(project.root, ref, url)
        return git_ref.content(project.root, commit, name, url), {f"{url}@{ref}": commit}
    except git_ref.NotInGit as exc:
        fields["git"].refuse(str(exc))


def _cron(node: Located) -> str:
    text = node.of(str, "cron")
    try:
        return cron.parse(text).text
    except cron.BadCron as exc:
        better = f'cron: "{exc.suggestion}"' if exc.suggestion else ""
        if exc.interval_s:
            better = f"interval_s: {exc.interval_s}"
        node.refuse(f"cron {text!r}: {exc}", better or _EXAMPLE)


def _cool_down_s(fields: Fields, condition: StartCondition | None) -> int:
    """A day for what a run may not cure at once; none for what happens once each."""
    if condition is None:
        return 0
    slow = condition.kind in (ConditionKind.FRESHNESS, ConditionKind.DRIFT)
    return fields.whole("cool_down_s", cron.DAY_S if slow else 0, 0, _MAX_SECONDS)


def _quiet_hours(fields: Fields) -> tuple[QuietHours, ...]:
    pauses = []
    for node in fields["quiet_hours"].items() if "quiet_hours" in fields else ():
        text = node.of(str, "quiet_hours")
        matched = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", text)
        if not matched:
            node.refuse(f"quiet hours {text!r} are not HH:MM-HH:MM", 'quiet_hours: ["22:00-06:00"]')
        hours = [int(n) for n in matched.groups()]
        begin, end = hours[0] * 3600 + hours[1] * 60, hours[2] * 3600 + hours[3] * 60
        if begin == end:
            node.refuse("quiet hours that end when they begin")
        pauses.append(QuietHours(begin, end))
    return tuple(pauses)
