"""``platform-ctl exit-test``: build, diagnose, articulate; each checked from records."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from learning.cli.lab import cause_option, home_option, print_symptom, say
from platform_ctl.cli import render
from platform_ctl.cli.context import load_settings
from platform_ctl.cli.group import Group
from platform_ctl.cli.printing import print_document, print_line

if TYPE_CHECKING:
    from learning.exit_test import ExitTestRecords
    from learning.exit_test_rules import Checked

_BUILD = """Build (90 minutes). The recipe has {count} features.
  1. Add one: an entry in FEATURES of recipes/train_deploy/features/definitions.py.
  2. Run the pipeline, and then run it again.
  3. See in the records that nothing stale was used, that the second run repeated nothing it
     need not repeat, and that the model with your feature is in Staging.
then: platform-ctl exit-test check build"""
_ARTICULATE = """Articulate (30 minutes). 600 words in a Markdown file:
  Walk the train-deploy pipeline. What patterns fire at each step? Where could it go wrong?
Cite your own runs: `run 1a2b3c4d`, steps in backquotes with executed, cached, skipped or failed,
and verdicts ("the verdict of `gate` was successful"). These are checked; the rest is for a reader.
then: platform-ctl exit-test check articulate FILE"""


@click.group("exit-test", cls=Group, help="Take the exit test: build, diagnose, articulate.")
def command() -> None:
    pass


@command.group()
def start() -> None:
    """Start a part; its check compares with the present state."""


@start.command("build")
@click.pass_context
def start_build(ctx: click.Context) -> None:
    """Start the part in which you add a feature and take it to Staging."""
    from learning import exit_test

    features = exit_test.start_build(_records(ctx))
    print_document(_BUILD.format(count=len(features)) + "\n")


@start.command("diagnose")
@home_option
@click.pass_context
def start_diagnose(ctx: click.Context, folder: Path | None) -> None:
    """Start the part in which you find why a run has no model, with a random cause."""
    from learning import exit_test, wiring
    from learning.fault import all_faults

    sandbox = wiring.lab(load_settings(ctx), folder)
    exit_test.start_diagnose(sandbox, all_faults(), say, random.SystemRandom().choice)
    print_symptom(sandbox, exit_test.SYMPTOM)
    print_line("answer: platform-ctl exit-test check diagnose --cause WORD")


@start.command("articulate")
def start_articulate() -> None:
    """Start the part in which you write about your own runs."""
    print_document(f"{_ARTICULATE}\n")


@command.group()
def check() -> None:
    """Check a part. Exit code 1 while something is missing."""


@check.command("build")
@render.output_option
@click.pass_context
def check_build(ctx: click.Context, output: str) -> None:
    """Check for a new feature, the expected cache hits, and a model in Staging."""
    from learning import exit_test

    _print(ctx, exit_test.check_build(_records(ctx)), output)


@check.command("diagnose")
@cause_option(required=True, help="`lab causes` lists them.")
@home_option
@render.output_option
@click.pass_context
def check_diagnose(ctx: click.Context, cause: str, folder: Path | None, output: str) -> None:
    """Check whether CAUSE is the fault that was injected."""
    from learning import exit_test, wiring
    from learning.fault import all_faults

    sandbox = wiring.lab(load_settings(ctx), folder)
    _, fault, checked = exit_test.check_diagnose(sandbox, all_faults(), cause)
    if checked.holds and output != "json":
        print_document(f"{fault.explanation}\n\n")
    _print(ctx, [checked], output)


@check.command("articulate")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@render.output_option
@click.pass_context
def check_articulate(ctx: click.Context, file: Path, output: str) -> None:
    """Check the facts in FILE against the records. A rubric for a human covers the rest."""
    from learning import exit_test
    from learning.exit_test_rules import RUBRIC

    text = file.read_text(encoding="utf-8")
    reading = exit_test.check_articulate(_records(ctx), text)
    if output == "json":
        render.print_json({"reading": reading, "ok": reading.ok, "rubric": RUBRIC})
        ctx.exit(0 if reading.ok else 1)
    for claim in reading.claims:
        print_line(f"{'so ' if claim.true else 'NOT SO'}  {claim.fact}")
    print_line()
    print_line("for the reader:")
    for question in RUBRIC:
        print_line(f"  [ ] {question}")
    print_line()
    _print(ctx, reading.checks, output)


def _records(ctx: click.Context) -> ExitTestRecords:
    from learning import wiring

    return wiring.exit_test_records(load_settings(ctx))


def _print(ctx: click.Context, checks: Sequence[Checked], output: str) -> None:
    if output == "json":
        render.print_json(list(checks))
    else:
        rows = [["yes" if c.holds else "no", c.what, c.evidence] for c in checks]
        render.print_table(["", "what …", "records …"], rows)
    if not all(c.holds for c in checks):
        ctx.exit(1)
