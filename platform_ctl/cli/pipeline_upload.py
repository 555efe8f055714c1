"""``platform-ctl pipeline upload``: committed pipelines become versions on KFP's API server."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from platform_ctl.cli import render
from platform_ctl.cli.context import load_settings


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--all", "every", is_flag=True, help="Every pipeline of the project.")
@click.option("--dry-run", is_flag=True, help="Print what would be uploaded, and end.")
@click.option(
    "--run-url", default="", metavar="URL", help="Page of the CI run, kept with the version."
)
@render.output_option
@click.pass_context
def upload(
    ctx: click.Context,
    names: tuple[str, ...],
    every: bool,
    dry_run: bool,
    run_url: str,
    output: str,
) -> None:
    """Upload the committed IR to KFP, where it differs from the newest version."""
    from platform_ctl import targets
    from platform_ctl.errors import UsageError

    if bool(names) == every:
        raise UsageError(
            "name the pipelines, or give --all",
            where="pipeline upload",
            fix="platform-ctl --target kubernetes pipeline upload --all",
        )
    done = targets.upload(load_settings(ctx), names, dry_run=dry_run, run_url=run_url)
    if output == "json":
        render.print_json(document(done))
    else:
        rows = [[r.name, r.state, r.version or "-", "; ".join(_notes(r))] for r in done.results]
        render.print_table(["pipeline", "", "version", "what …"], rows)
    if done.failure:
        raise done.failure


def document(done: Any) -> dict[str, Any]:
    """Counts and names as the workflow's outputs have them, and each pipeline."""
    count = Counter(str(r.state) for r in done.results)
    return {
        "version": done.version,
        "compiled": len(done.results),
        "uploaded": count["uploaded"],
        "unchanged": count["unchanged"],
        "superseded": count["superseded"],
        "failed": count["failed"],
        "would_upload": count["would-upload"],
        "failed_names": [r.name for r in done.results if r.error],
        "pipelines": [
            {
                "name": r.name,
                "state": str(r.state),
                "version": r.version,
                "pipeline_id": r.pipeline_id,
                "version_id": r.version_id,
                "notes": list(r.notes),
                "error": r.error.as_dict() if r.error else None,
            }
            for r in done.results
        ],
    }


def _notes(result: Any) -> list[str]:
    return [*result.notes, *([result.error.what] if result.error else [])]
