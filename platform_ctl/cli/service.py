"""platform-ctl service: the InferenceServices of this home."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from platform_ctl.cli import promotions, render
from platform_ctl.cli.context import load_settings
from platform_ctl.cli.group import Group
from platform_ctl.cli.printing import print_line, print_log

if TYPE_CHECKING:
    from platform_ctl.serving.port import Serving
    from platform_ctl.serving.service import InferenceService, RevisionStatus


@click.group(cls=Group, help="List, start and stop InferenceServices.")
def command() -> None:
    pass


@command.command("list")
@render.output_option
@click.pass_context
def list_(ctx: click.Context, output: str) -> None:
    """Print every InferenceService, its address and its revisions."""
    promotions.name_interrupted(load_settings(ctx))
    _print(_serving(ctx).list(), output)


@command.command()
@click.argument("name")
@render.output_option
@click.pass_context
def start(ctx: click.Context, name: str, output: str) -> None:
    """Start NAME with the revisions that it served last, at the same address."""
    _print([_serving(ctx).start(name)], output)


@command.command()
@click.argument("name")
@render.output_option
@click.pass_context
def restart(ctx: click.Context, name: str, output: str) -> None:
    """Replace every process of NAME without refusing a request.

    With the settings of now. One that is stopped is started.
    """
    _print([_serving(ctx).start(name, anew=True)], output)


@command.command()
@click.argument("name")
@render.output_option
@click.pass_context
def stop(ctx: click.Context, name: str, output: str) -> None:
    """Stop NAME: answer the accepted requests, then end every process."""
    _print([_serving(ctx).stop(name)], output)


@command.command()
@click.argument("name")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(min=0),
    default=50,
    show_default=True,
    help="Number of lines from the end.",
)
@click.option("--revision", metavar="NAME", help="Only lines of this revision.")
@click.pass_context
def logs(ctx: click.Context, name: str, lines: int, revision: str | None) -> None:
    """Print the log of NAME: its supervisor and its revisions."""
    for line in _serving(ctx).log(name, lines=lines, revision=revision):
        print_log(f"{line}\n".encode())


def _serving(ctx: click.Context) -> Serving:
    from platform_ctl import targets

    return targets.serving(load_settings(ctx))


def _print(services: Sequence[InferenceService], output: str) -> None:
    if output == "json":
        render.print_json(services)
        return
    rows = []
    for service in services:
        rows.append((service.name, service.state, service.url, *_split(service)))
    render.print_table(
        ["service", "state", "url ?", "production", "canary", "weight %"],
        rows,
        empty="no InferenceServices; mlship deploy NAME makes one",
    )
    for service in services:
        for revision in service.revisions:
            if condition := _condition(revision):
                print_line(f"{service.name}: {revision.role} {revision.name} {condition}")


def _condition(revision: RevisionStatus) -> str:
    """What is worth knowing about a process that is, or was, not well; empty otherwise."""
    parts = [] if revision.ready or not revision.last_failure else ["is down"]
    if revision.restarts:
        times = "once" if revision.restarts == 1 else f"{revision.restarts} times"
        parts.append(f"was restarted {times}")
    return ", ".join([*parts, f"last: {revision.last_failure}"]) if parts else ""


def _split(service: InferenceService) -> tuple[str | None, str | None, int | None]:
    spec = service.spec
    return (
        spec.production.name if spec.production else None,
        spec.canary.name if spec.canary else None,
        spec.weight_percent if spec.canary else None,
    )
