"""The report of a run as one HTML file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platform_ctl.errors import UsageError
from platform_ctl.home import files
from platform_ctl.report import diagrams, html, parts
from platform_ctl.report.dag import key_of
from platform_ctl.report.forest import gate_forest, shares
from platform_ctl.report.plots import Scale, Tick, count, metric, money, number
from platform_ctl.report.value import RunReport, StepRow
from platform_ctl.runs import task_name
from platform_ctl.runs.record import TaskState
from platform_ctl.text import duration

REPORT_FILE = "report.html"
_TITLES = {
    "chain": "From data to service",
    "quality": "Quality",
    "fit": "Fit",
    "metrics": "Figures",
    "gate": "Gate",
    "approval": "Approval",
    "canary": "Canary",
    "search": "Search",
    "steps": "Steps",
    "timeline": "Timeline",
    "cost": "Cache and cost",
    "lineage": "Lineage",
    "facts": "For the record",
}


@dataclass(frozen=True)
class Figure:
    """One of the figures right below the verdict."""

    name: str
    value: str
    note: str


@dataclass(frozen=True)
class StepGroup:
    """A row of the table of steps: one step, or all iterations of one."""

    name: str
    state: str
    states: str
    count: int
    summary: str
    cache: str
    reason: str
    error: str
    took: str
    cpu_s: float
    money: float
    saved_cpu_s: float
    share: float = 0.0


def render(report: RunReport, *, back: str = "") -> str:
    """The page. Everything that is not ours is escaped. ``back``: address of the run's own page."""
    sheet = html.style("tokens.css", "style.css")
    shown = _context(report)
    always = ("steps", "cost", "facts")
    order = (
        _TITLES if shown["quality"] else [*_HOW_FIRST, *(i for i in _TITLES if i not in _HOW_FIRST)]
    )
    sections = [(i, _TITLES[i]) for i in order if i in always or shown[i]]
    return (
        html.environment()
        .get_template("page.html")
        .render(
            report=report, style=sheet, policy=_policy(sheet), sections=sections, back=back, **shown
        )
    )


def write(report: RunReport, path: Path) -> Path:
    """Write the page, whole or not at all, for its owner to read.

    Raises UsageError where it cannot be written.
    """
    content = render(report).encode()
    try:
        if path.exists() and not path.is_file():  # a pipe, a device: it must stay what it is
            path.write_bytes(content)
        else:
            files.replace(path.resolve(), content)
    except OSError as exc:
        raise UsageError(
            f"the report cannot be written: {exc.strerror}",
            where=str(path),
            fix=f"platform-ctl run report {report.run.id[:8]} --to report.html",
        ) from exc
    return path


def _policy(sheet: str) -> str:
    return html.policy(sheet, "img-src data:", "form-action 'none'")


def _context(report: RunReport) -> dict[str, Any]:
    rows = _step_groups(report.steps)
    quality = parts.quality(report.evaluation) if report.evaluation else None
    return {
        "figures": list(_figures(report)),
        "chain": report.chain,
        "quality": quality,
        "fit": parts.fit(report.curves),
        "metrics": parts.metrics_table(report.metrics) if report.metrics and not quality else None,
        "gate": report.gate,
        "gate_forest": gate_forest(report.gate) if report.gate else None,
        "gate_table": parts.gate_table(report.gate) if report.gate else None,
        "approval": report.approval,
        "bound": list(parts.bound(report.approval)) if report.approval else [],
        "canary": parts.canary(report.canary) if report.canary else None,
        "search": parts.search(report.search) if report.search else None,
        "steps": {"lead": _steps_lead(report)},
        "dag": diagrams.of_graph(report.graph),
        "timeline": report.timeline if report.timeline.lanes else None,
        "timeline_lead": _timeline_lead(report),
        "timeline_ticks": _time_ticks(report.timeline.wall_s),
        "cost_lead": _cost_lead(report),
        "cost_notes": report.cost.notes,
        "step_rows": rows,
        "iterations": parts.iterations(report.steps) if len(rows) < len(report.steps) else None,
        "lineage": parts.lineage(report.lineage) if report.lineage else None,
        "record": list(_record(report)),
        "absent": sorted(_absent(report), key=lambda pair: pair[0]),
    }


_UNITS = (("h", 3600), ("min", 60), ("s", 1))
_HOW_FIRST = ("chain", "steps", "timeline", "cost")
"""The order when there is no model to judge: then how the run went is the news."""
_NAMES = {"evaluation": "quality", "importance": "importance of parameters"}


def _absent(report: RunReport) -> Iterator[tuple[str, str]]:
    return ((_NAMES.get(name, name), why) for name, why in report.absent.items())


def _figures(report: RunReport) -> Iterator[Figure]:
    run, evaluation = report.run, report.evaluation
    if evaluation is not None:
        beside = [
            f"{f.name} {metric(f.metrics.get(evaluation.metric))}"
            for f in (evaluation.champion, evaluation.best_baseline)
            if f
        ]
        value = metric(evaluation.forecasts[0].metrics.get(evaluation.metric))
        yield Figure(parts.metric_name(evaluation.metric), value, ", ".join(beside))
    running = "" if run.state.final else "so far"
    yield Figure("Duration", duration(report.timeline.wall_s), running or _critical(report))
    cost = report.cost
    trials = f", {count(cost.trials, 'trial')}" if cost.trials else ""
    if cost.cpu_s or cost.saved_cpu_s:
        yield Figure("Cost", money(cost.money), f"{number(cost.cpu_s)} cpu-s{trials}")
    else:
        yield Figure("Cost", "–", "none was recorded")
    states = Counter(s.state for s in report.steps)
    good = states[TaskState.SUCCEEDED] + states[TaskState.CACHED]
    others = (f"{n} {html.look(s).words}" for s, n in states.items() if s != TaskState.SUCCEEDED)
    yield Figure("Steps done", f"{good} of {len(report.steps)}", ", ".join(others))
    yield _cache_figure(report)


def _cache_figure(report: RunReport) -> Figure:
    decided = [s for s in report.steps if s.cache in ("HIT", "MISS")]
    if not decided:
        return Figure("From the cache", "–", "no step asked the cache")
    hits, cost = sum(s.cache == "HIT" for s in decided), report.cost
    saved = f"saved {duration(cost.saved_wall_s)}, {number(cost.saved_cpu_s)} cpu-s"
    return Figure("From the cache", f"{hits} of {len(decided)}", saved if hits else "nothing saved")


def _critical(report: RunReport) -> str:
    timeline = report.timeline
    return f"{duration(timeline.critical_s)} on the critical path" if timeline.critical else ""


def _steps_lead(report: RunReport) -> str:
    if report.absent.get("pipeline"):
        return (
            f"The pipeline's file is gone, so that arrows are missing: {report.absent['pipeline']}."
        )
    text = "An arrow means that a step waits for another; arrows that others imply are left out."
    if any(s.path != key_of(s.path) for s in report.steps):
        text += " A loop is drawn once, with how many of its iterations ended well."
    return text


def _timeline_lead(report: RunReport) -> str:
    timeline = report.timeline
    if not timeline.critical:
        return "The records do not show a chain of steps."
    share = 100 * timeline.critical_s / timeline.wall_s
    names = " → ".join(key_of(p).rpartition(".")[2] for p in timeline.critical[:12])
    more = f" and {len(timeline.critical) - 12} more" if len(timeline.critical) > 12 else ""
    return (
        f"Critical path (◆, solid bars): {names}{more}; {duration(timeline.critical_s)} of "
        f"{duration(timeline.wall_s)}, {share:.0f} %. "
        "Only a faster step there makes the run faster."
    )


def _cost_lead(report: RunReport) -> str:
    cost = report.cost
    if not cost.cpu_s and not cost.saved_cpu_s:
        return "No cost was recorded."
    kinds = ", ".join(f"{kind} {number(s)}" for kind, s in cost.cpu_s_by_kind.items())
    totals = f"{number(cost.cpu_s)} cpu-s, {money(cost.money)} money" + (
        f" ({kinds})" if kinds else ""
    )
    if cost.saved_cpu_s:
        totals += (
            f"; the cache saved {duration(cost.saved_wall_s)} of steps, "
            f"{number(cost.saved_cpu_s)} cpu-s and {money(cost.saved_money)} money"
        )
    return f"{totals}. Every CPU second that the kernel counted is charged once."


def _time_ticks(wall_s: float) -> tuple[Tick, ...]:
    if wall_s <= 0:
        return ()
    unit, seconds = next((u, s) for u, s in _UNITS if wall_s >= 3 * s or s == 1)
    scale = Scale(0.0, wall_s / seconds, start=0.0, end=100.0)
    return tuple(Tick(t.at, f"{t.label} {unit}") for t in scale.ticks() if t.at < 97)


def _step_groups(steps: Sequence[StepRow]) -> list[StepGroup]:
    groups: dict[str, list[StepRow]] = {}
    for step in steps:
        groups.setdefault(key_of(step.path), []).append(step)
    bars = shares([sum(s.cpu_s for s in some) for some in groups.values()])
    return [
        _step_group(key, some, bar) for (key, some), bar in zip(groups.items(), bars, strict=True)
    ]


def _step_group(key: str, some: Sequence[StepRow], share: float) -> StepGroup:
    one, many = some[0], len(some) > 1
    states = Counter(s.state for s in some)
    worst = next((s for s in ("FAILED", "RUNNING", "CANCELED") if s in states), one.state)
    caches = Counter(s.cache for s in some if s.cache)
    reasons = Counter(s.cache_reason for s in some if s.cache_reason)
    reason = reasons.most_common(1)[0][0] if reasons else ""
    if one.source_run and not many:
        reason = f"made by run {one.source_run[:8]}"
    return StepGroup(
        name=f"{task_name.shown(key)} × {len(some)}" if many else task_name.shown(key),
        state=worst,
        states=", ".join(f"{n} {html.look(s).words}" for s, n in states.items()),
        count=len(some),
        summary="" if many else one.summary,
        cache=", ".join(f"{n} {c}" if many else c for c, n in caches.items()).lower(),
        reason=f"{reason}{', and other reasons' if len(reasons) > 1 else ''}",
        error=next((s.error for s in some if s.error), ""),
        took="" if many else one.took,
        cpu_s=sum(s.cpu_s for s in some),
        money=sum(s.money for s in some),
        saved_cpu_s=sum(s.saved_cpu_s for s in some),
        share=share,
    )


def _record(report: RunReport) -> Iterator[tuple[str, str]]:
    run = report.run
    yield "run", run.id
    yield "name", run.name
    yield "state", f"{run.state}" + (f": {run.error}" if run.error else "")
    for name, moment in (
        ("created", run.created_at),
        ("started", run.started_at),
        ("ended", run.ended_at),
    ):
        yield name, html.when(moment) if moment else "–"
    if report.of_run:
        yield "model made by run", report.of_run
    yield "cache", "in use" if run.use_cache else "switched off"
    yield "files", run.directory
