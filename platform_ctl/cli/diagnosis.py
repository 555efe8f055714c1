"""How a diagnosis is printed; shared by ``run why`` and ``model why``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from platform_ctl.cli import render
from platform_ctl.cli.printing import print_line

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
        print_line(diagnosis.subject)
        for link in diagnosis.links:
            said = f"{link.name:<13} {link.says}".rstrip()
            print_line(said, start=f"  {link.state:<12}", colour=_COLOURS[str(link.state)])
        _print_verdict(diagnosis)
    if diagnosis.broken:
        ctx.exit(1)


def _print_verdict(diagnosis: Diagnosis) -> None:
    link = diagnosis.broken or diagnosis.waiting
    if link is None:
        print_line()
        print_line("nothing is broken")
        return
    heading = "first broken link" if diagnosis.broken else "nothing is broken; it waits for"
    print_line()
    print_line(f"{heading}: {link.name}: {link.says}")
    _print_details(link)


def _print_details(link: Link) -> None:
    for sentence in link.evidence:
        print_line(f"{'evidence:':<10}{sentence}")
    for label, text in (("fix:", link.fix), ("see:", link.runbook)):
        if text:
            print_line(f"{label:<10}{text}")
