"""How a diagnosis is printed; shared by ``run why`` and ``model why``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from platform_ctl.cli import render
from platform_ctl.text import visible

if TYPE_CHECKING:
    from platform_ctl.explain.diagnosis import Diagnosis, Link

_COLOURS = {"ok": "green", "waiting": "yellow", "broken": "red", "not reached": "bright_black"}


def finish(ctx: click.Context, diagnosis: Diagnosis, output: str) -> None:
    """One line a link, then the first broken one; leaves with exit code 1 when there is one."""
    if output == "json":
        render.print_json(
            {"subject": diagnosis.subject, "links": diagnosis.links, "broken": diagnosis.broken}
        )
    else:
        click.echo(diagnosis.subject)
        for link in diagnosis.links:
            click.secho(f"  {link.state:<12}", fg=_COLOURS[str(link.state)], nl=False)
            click.echo(f"{link.name:<13} {visible(link.says)}".rstrip())
        _print_verdict(diagnosis)
    if diagnosis.broken:
        ctx.exit(1)


def _print_verdict(diagnosis: Diagnosis) -> None:
    link = diagnosis.broken or diagnosis.waiting
    if link is None:
        click.echo("\nnothing is broken")
        return
    heading = "first broken link" if diagnosis.broken else "nothing is broken; it waits for"
    click.echo(f"\n{heading}: {link.name}: {visible(link.says)}")
    _print_details(link)


def _print_details(link: Link) -> None:
    for sentence in link.evidence:
        click.echo(f"{'evidence:':<10}{visible(sentence)}")
    for label, text in (("fix:", link.fix), ("see:", link.runbook)):
        if text:
            click.echo(f"{label:<10}{visible(text)}")
