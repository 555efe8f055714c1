"""platform-ctl release: canaries on their way to Production, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from platform_ctl.cli import promotions, render
from platform_ctl.cli.context import load_settings
from platform_ctl.cli.group import Group
from platform_ctl.cli.printing import print_line
from platform_ctl.releases.release import in_short

if TYPE_CHECKING:
    from platform_ctl.releases.analyse import AnalysisProgress
    from platform_ctl.releases.release import Release
    from platform_ctl.releases.steps import ReleasePorts
    from platform_ctl.runs.record import Run


@click.group(cls=Group, help="Show, continue, abort or roll back a canary.")
def command() -> None:
    pass


@command.command()
@click.argument("name")
@render.output_option
@click.pass_context
def show(ctx: click.Context, name: str, output: str) -> None:
    """Show the newest release of InferenceService NAME and its events."""
    from platform_ctl import targets
    from platform_ctl.releases.observed import observed
    from platform_ctl.releases.steps import newest

    settings = load_settings(ctx)
    promotions.name_interrupted(settings)
    ports = targets.released(settings)
    release = newest(ports, name)
    events = list(ports.releases.events(release.id))
    seen = observed(ports, release)
    if output == "json":
        render.print_json({"release": release, "events": events, **vars(seen)})
        return
    print_release(release)
    if seen.standing is not None:
        print_line(f"{'so far':<9}{_so_far(seen.standing)}")
    if seen.unreadable:
        print_line(f"{'requests':<9}unknown: {seen.unreadable}")
    rows = [(render.moment(e.at), e.kind, in_short(e)) for e in events]
    render.print_table(["at", "what", "detail …"], rows)
    if seen.true_errors:
        print_line()
        print_line("predictions of real traffic whose label has arrived:")
        shown = [(e.revision, e.forecasts, e.last_period, e.loss) for e in seen.true_errors]
        title = release.target.loss_title
        render.print_table(["revision", "predictions #", "up to", f"{title} #"], shown)
    if release.state.is_open:
        _say_next(release)


@command.command("continue")
@click.argument("name")
@render.output_option
@click.pass_context
def continue_(ctx: click.Context, name: str, output: str) -> int:
    """Continue an open release: submit its promote run and follow it to its end."""
    from platform_ctl import targets
    from platform_ctl.releases.deploy import continue_release
    from platform_ctl.releases.steps import open_release

    settings = load_settings(ctx)
    release = open_release(targets.released(settings), name)
    run = continue_release(targets.deploying(settings), release)
    return print_outcome(ctx, run, name, output)


@command.command()
@click.argument("name")
@click.option(
    "--reason", default="aborted by a user", show_default=True, help="Reason, kept in the record."
)
@render.output_option
@click.pass_context
def abort(ctx: click.Context, name: str, reason: str, output: str) -> None:
    """End an open release; production stays as it is."""
    from platform_ctl.releases.steps import rollback_release, settled

    ports = _ports(ctx)
    release = settled(ports, name)
    _print(rollback_release(ports, release.id, actor=_actor(ctx), reason=reason), output)


@command.command()
@click.argument("name")
@click.option(
    "--reason",
    default="rolled back by a user",
    show_default=True,
    help="Reason, kept in the history.",
)
@render.output_option
@click.pass_context
def rollback(ctx: click.Context, name: str, reason: str, output: str) -> None:
    """End an open release, or move production back to the version before."""
    from platform_ctl.releases.steps import undo_release

    _print(undo_release(_ports(ctx), name, actor=_actor(ctx), reason=reason), output)


def print_outcome(ctx: click.Context, run: Run, service: str, output: str) -> int:
    """Follow a promote run and print what became of the release.

    The exit code: 0 when the candidate is in production or stands where it was asked to, 1
    when it was rolled back or held, and that of the run where the run itself failed.
    """
    from platform_ctl import targets
    from platform_ctl.cli.pipeline import finish
    from platform_ctl.releases.release import ReleaseState
    from platform_ctl.runs.record import RunState

    settings = load_settings(ctx)
    say(f"promotion is run {run.id[:8]}; platform-ctl run watch {run.id[:8]} follows it too")
    stop = f"platform-ctl release abort {service}"
    ended = promotions.follow(settings, run, stop=stop)
    if ended.state is not RunState.SUCCEEDED:
        finish(ctx, ended, output)
    ports = targets.released(settings)
    release = ports.releases.latest(service)
    assert release is not None, "a promote run that succeeded has made one"
    verdict = next((v for v in ended.verdicts if v.task == "analyse"), None)
    reasons = verdict.reasons if verdict else ()
    if output == "json":
        word = verdict.verdict if verdict else ""
        render.print_json(
            {"verdict": word, "reasons": reasons, "release": release, "run": ended.id}
        )
    else:
        print_release(release)
        print_line(f"url      {ports.serving.get(service).url}")
        if release.state.is_open:
            _say_next(release)
    stop_wanted = bool(run.parameters.get("stop_at_percent"))
    held = release.state is ReleaseState.HELD and stop_wanted
    return 0 if held or release.state is ReleaseState.PROMOTED else 1


def say(line: str) -> None:
    """Progress goes to stderr."""
    print_line(line, err=True)


def _say_next(release: Release) -> None:
    """Both are safe while the release's own run is at work, and finish it when that has died."""
    name = release.target.service
    say(f"next: platform-ctl release continue {name}, or release abort {name}")


def print_release(release: Release) -> None:
    rows = [
        ("release", release.id),
        ("service", release.target.service),
        ("version", f"{release.target.model}/{release.version}"),
        ("before", release.production.model_version if release.production else "nothing"),
        ("state", release.outcome),
    ]
    if release.state.is_open:
        rows.append(("weight", f"{release.split().weight_percent} %"))
    if release.reason:
        rows.append(("reason", release.reason))
    for label, value in rows:
        print_line(f"{label:<9}{value!s}")


def _so_far(now: AnalysisProgress) -> str:
    parts = [f"step {now.step} of {now.steps}"]
    parts.append(f"the canary answered {now.canary_requests} of {now.wanted} requests")
    if now.canary_failures:
        parts.append(f"{now.canary_failures} of them failed")
    if now.production_requests is not None:
        parts.append(f"production {now.production_requests}")
    return ", ".join([*parts, f"{now.replayed} replayed"])


def _print(release: Release, output: str) -> None:
    if output == "json":
        render.print_json(release)
    else:
        print_release(release)


def _ports(ctx: click.Context) -> ReleasePorts:
    from platform_ctl import targets

    return targets.releasing(load_settings(ctx))


def _actor(ctx: click.Context) -> str:
    from platform_ctl import targets

    return targets.actor(load_settings(ctx))
