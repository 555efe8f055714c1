"""``platform-ctl schedule``: recurring runs from files, planned before they are applied."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from platform_ctl.cli import render
from platform_ctl.cli.context import load_settings
from platform_ctl.cli.group import Group
from platform_ctl.cli.interrupt import how_to_follow
from platform_ctl.cli.printing import print_encoded, print_line
from platform_ctl.cli.units import Duration

if TYPE_CHECKING:
    from platform_ctl.schedules.plan import ScheduleChange, SchedulePlan
    from platform_ctl.schedules.report import Row


@click.group(cls=Group, help="Check, plan, apply and run the schedules of pipelines/schedules.")
def command() -> None:
    pass


@command.command()
@render.output_option
@click.pass_context
def check(ctx: click.Context, output: str) -> None:
    """Check the schedule files, offline; refuse what the target would read differently."""
    from platform_ctl import targets
    from platform_ctl.schedules.report import when

    documents = targets.schedule_documents(load_settings(ctx))
    if output == "json":
        render.print_json([s.spec for s in documents.schedules])
        return
    rows = [[s.spec.key, s.spec.pipeline, when(s.spec), s.where] for s in documents.schedules]
    columns = ["schedule", "pipeline", "when …", "file …"]
    render.print_table(columns, rows, empty="no schedules: write pipelines/schedules/TEAM/")


@command.command()
@click.option(
    "--prune", is_flag=True, help="Also delete schedules that are no longer in the files."
)
@render.output_option
@click.pass_context
def plan(ctx: click.Context, prune: bool, output: str) -> None:
    """Show what an apply would change. Exit code 0: nothing, 1: changes."""
    from platform_ctl import targets

    _, proposal = targets.schedule_plan(load_settings(ctx), prune=prune)
    if output == "json":
        render.print_json({**vars(proposal), "prune": prune})
    else:
        _print_plan(proposal)
    ctx.exit(0 if proposal.in_sync else 1)


@command.command()
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Output of `schedule plan -o json`; refused when files or target have moved since.",
)
@click.option(
    "--prune", is_flag=True, help="Also delete schedules that are no longer in the files."
)
@click.option("--now", is_flag=True, help="Do not wait for runs of the versions that are replaced.")
@render.output_option
@click.pass_context
def apply(ctx: click.Context, plan_file: Path | None, prune: bool, now: bool, output: str) -> None:
    """Change the target to what the files declare.

    Exit code 0: done, 1: a change waits for runs to end.
    """
    from platform_ctl import targets
    from platform_ctl.schedules.apply import ApplyOptions, ApplyOutcome

    agreed = _agreed(plan_file) if plan_file else {}
    prune = bool(agreed.get("prune", prune))
    options = ApplyOptions(prune=prune, now=now, fingerprint=agreed.get("fingerprint", ""))
    done = targets.schedule_apply(load_settings(ctx), options)
    if output == "json":
        render.print_json(
            [{**vars(one), "error": one.error and one.error.as_dict()} for one in done]
        )
    else:
        for one in done:
            print_line(f"{one.action:<10} {one.key}  {one.outcome}{_detail(one.detail)}")
        print_line(f"{len(done)} changes")
    failed = next((one.error for one in done if one.error), None)
    if failed is not None:
        raise failed
    ctx.exit(1 if any(one.outcome is ApplyOutcome.WAITING for one in done) else 0)


@command.command("list")
@render.output_option
@click.pass_context
def list_(ctx: click.Context, output: str) -> None:
    """List the applied schedules: next fire times, last run, and what fires them."""
    from platform_ctl import targets

    report = targets.schedule_report(load_settings(ctx))
    if output == "json":
        render.print_json(report)
        return
    rows = [_row(row) for row in report.rows]
    columns = ["schedule", "state", "next (UTC) …", "next (here)", "last run", "verdict …"]
    render.print_table(columns, rows, empty="nothing applied: platform-ctl schedule plan")
    if report.heartbeat:
        print_line(err=True)
        print_line(f"{report.heartbeat}", err=True)


@command.command()
@click.argument("name")
@render.output_option
@click.pass_context
def trigger(ctx: click.Context, name: str, output: str) -> None:
    """Start a run of NAME (or TEAM/NAME) now, with the schedule's parameters."""
    from platform_ctl import targets

    run = targets.schedule_trigger(load_settings(ctx), name)
    if output == "json":
        render.print_json(run)
        return
    for line in (f"run {run.id} started", *how_to_follow(run.id)):
        print_line(line)


@command.command()
@click.argument("name")
@click.option("--reason", required=True, help="Why; shown in the plan.")
@click.option("--until", metavar="TIME", help="RFC 3339 with a zone; without: until resumed.")
@click.option("--for", "duration", type=Duration(), help="As 12h or 3d, instead of --until.")
@click.pass_context
def pause(
    ctx: click.Context, name: str, reason: str, until: str | None, duration: timedelta | None
) -> None:
    """Pause NAME for a while; an apply does not end the pause."""
    from platform_ctl import targets

    if until and duration:
        raise click.UsageError("--until and --for are two ways to say the same")
    end = _moment(until) if until else None
    if duration is not None:
        end = int(time.time() + duration.total_seconds())
    key = targets.schedule_pause(load_settings(ctx), name, reason, end)
    print_line(f"{key} is paused{f' until {_utc(end)}' if end else ''}")


@command.command()
@click.argument("name")
@click.pass_context
def resume(ctx: click.Context, name: str) -> None:
    """End the pause of NAME; missed slots are treated as catch_up says."""
    from platform_ctl import targets

    print_line(f"{targets.schedule_resume(load_settings(ctx), name)} is resumed")


@command.command()
@click.option(
    "--once", is_flag=True, help="Start what is due and end: for cron, systemd or launchd."
)
@click.option("--stop-after", type=Duration(), help="End after this time.")
@render.output_option
@click.pass_context
def run(ctx: click.Context, once: bool, stop_after: timedelta | None, output: str) -> None:
    """Start the runs that are due, in the foreground, until Ctrl-C."""
    from platform_ctl import targets

    end = time.monotonic() + stop_after.total_seconds() if stop_after else None
    try:
        for fired in targets.schedule_run(load_settings(ctx), once=once, until=end):
            if output == "json":
                print_encoded(json.dumps(vars(fired)))
            else:
                print_line(_fired_line(fired))
    except KeyboardInterrupt:
        ctx.exit(0)


def _print_plan(plan: SchedulePlan) -> None:
    for change in plan.changes:
        paused = f"  paused by {change.paused}" if change.paused else ""
        print_line(f"{change.action:<10} {change.key}{paused}")
        for label, text in _change_lines(change):
            print_line(f"  {label:<9} {text}")
    for name in plan.unmanaged:
        print_line(f"unmanaged  {name}")
    for note in plan.notes:
        print_line(f"note: {note}", err=True)
    print_line(f"{len(plan.changes)} changes")


def _change_lines(change: ScheduleChange) -> list[tuple[str, str]]:
    lines = [("why", why) for why in change.why]
    for label, times in (("before", change.before), ("after", change.after)):
        if times:
            lines.append(
                (label, "  ".join(t.removesuffix(":00Z").replace("T", " ") for t in times))
            )
    if change.in_flight:
        lines.append(("in flight", ", ".join(run[:8] for run in change.in_flight)))
    if change.at_once:
        lines.append(("at once", f"{change.at_once} slot(s) fire when it is enabled"))
    if change.lost:
        lines.append(("lost", f"up to {change.lost} slot(s) in the switch"))
    return lines


def _agreed(file: Path) -> dict[str, Any]:
    """A plan file. Raises UsageError for one that is none."""
    from platform_ctl.errors import UsageError

    try:
        document = json.loads(file.read_bytes())
        fingerprint = document["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it has no fingerprint"
        raise UsageError(
            f"{file} is not a plan: {why}",
            where=str(file),
            fix="platform-ctl schedule plan -o json > plan.json",
        ) from exc
    return {"fingerprint": str(fingerprint), "prune": bool(document.get("prune"))}


def _row(row: Row) -> list[str]:
    upcoming = "  ".join(render.minute(moment) for moment in row.next)
    here = "-"
    if row.next:
        here = datetime.fromisoformat(row.next[0]).astimezone().strftime("%a %d %b %H:%M %Z")
    verdict = ", ".join(row.verdicts) or "-"
    return [row.key, row.state, upcoming or row.when, here, row.last_run or "-", verdict]


def _fired_line(fired: Any) -> str:
    moment = _utc(fired.slot) if fired.slot is not None else _utc(int(time.time()))
    what = f"run {fired.run_id[:8]}" if fired.run_id else f"not started: {fired.error}"
    return f"{moment}  {fired.key}  {fired.reason}  {what}"


def _detail(text: str) -> str:
    return f": {text}" if text else ""


def _utc(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a time", param_hint="--until") from None
    if at.tzinfo is None:
        raise click.BadParameter(f"{text!r} has no time zone: {text}Z", param_hint="--until")
    return int(at.timestamp())
