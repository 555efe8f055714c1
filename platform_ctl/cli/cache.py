"""``platform-ctl cache``: why a step ran or did not, and what the cache holds."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from platform_ctl.cli import render
from platform_ctl.cli.context import load_settings
from platform_ctl.cli.group import Group
from platform_ctl.cli.printing import print_line
from platform_ctl.cli.units import Duration, Size, text_of_bytes
from platform_ctl.runs.task_name import shown

if TYPE_CHECKING:
    from platform_ctl.runs.cache.values import CacheDecision


@click.group(cls=Group, help="Explain, verify and prune the step cache.")
def command() -> None:
    pass


@command.command()
@click.argument("run", default="latest")
@click.argument("task", required=False)
@render.output_option
@click.pass_context
def explain(ctx: click.Context, run: str, task: str | None, output: str) -> None:
    """Explain which field of the cache key made each task of RUN (or TASK) hit or miss."""
    from platform_ctl import targets
    from platform_ctl.runs.cache.explain import explain_cache

    settings = load_settings(ctx)
    run_id = targets.run_reader(settings).get(run).id
    decisions = explain_cache(targets.cache_decisions(settings), run_id, task or "")
    if output == "json":
        render.print_json(decisions)
    elif task:
        for decision in decisions:
            _print_decision(decision, on_kfp=settings.target == "kubernetes")
    else:
        rows = [[shown(d.task), d.decision, d.reason] for d in decisions]
        render.print_table(["task", "cache", "why …"], rows)


@command.command()
@render.output_option
@click.pass_context
def verify(ctx: click.Context, output: str) -> int:
    """Hash every cached artifact again, and quarantine those whose bytes changed.

    Exit code 1 when there was one.
    """
    from platform_ctl import targets
    from platform_ctl.runs.cache.verify import verify_cache

    report = verify_cache(targets.step_cache(load_settings(ctx)))
    if output == "json":
        render.print_json(report)
    else:
        print_line(
            f"{report.entries} results, {report.artifacts} artifacts, "
            f"{text_of_bytes(report.size_bytes)} checked"
        )
        rows = [
            [q.component, q.artifact, q.run_id[:8], q.reason, q.path] for q in report.quarantined
        ]
        if rows:
            render.print_table(
                ["component", "artifact", "run", "quarantined: it …", "kept in …"], rows
            )
    return 1 if report.quarantined else 0


@command.command()
@click.option(
    "--older-than",
    type=Duration(),
    metavar="AGE",
    help="Delete results not used for this long: 12h, 30d …",
)
@click.option(
    "--max-size", type=Size(), metavar="SIZE", help="Keep at most this much: 500MB, 2GB …"
)
@render.output_option
@click.pass_context
def prune(
    ctx: click.Context, older_than: timedelta | None, max_size: int | None, output: str
) -> None:
    """Delete cached results: first by age, then the least recently used above a size.

    Runs keep their own artifacts: bytes are freed when no run has them either.
    """
    from platform_ctl import targets
    from platform_ctl.runs.cache.prune import prune_cache

    cache = targets.step_cache(load_settings(ctx))
    report = prune_cache(cache, older_than=older_than, max_size_bytes=max_size)
    if output == "json":
        render.print_json(report)
        return
    print_line(
        f"dropped {report.entries} results ({text_of_bytes(report.freed_bytes)}), "
        f"kept {report.kept_entries} ({text_of_bytes(report.kept_bytes)})"
    )


def _print_decision(decision: CacheDecision, *, on_kfp: bool) -> None:
    print_line(f"task         {decision.task}")
    print_line(f"decision     {decision.decision}: {decision.reason}")
    if decision.source_run_id:
        what = "result of" if decision.decision == "HIT" else "nearest"
        print_line(f"{what:<12} run {decision.source_run_id[:8]}, task {decision.source_task}")
    if decision.key:
        print_line(f"key          {decision.key}")
        if on_kfp:  # ours names input artifacts by their digests, the driver by its own ids
            print_line(f"fingerprint  {decision.fingerprint} (the KFP driver's)")
    if decision.changes:
        rows = [[c.field, c.old or "-", c.new or "-"] for c in decision.changes]
        render.print_table(["field …", "then …", "now …"], rows)
