"""``platform-ctl init``: a project of one's own, outside of a checkout."""

from __future__ import annotations

from pathlib import Path

import click

from platform_ctl.cli.printing import print_line


@click.command(help="Make a project in FOLDER: recipes, pipelines, runbooks and settings.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("."))
def command(folder: Path) -> None:
    """FOLDER may exist; nothing in it is replaced."""
    from platform_ctl.project.start import start

    for path in start(folder):
        print_line(path)
    step = "" if folder == Path(".") else f"cd {folder} && "
    print_line(f"next: {step}platform-ctl data ingest --sample", err=True)
