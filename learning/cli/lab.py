"""``platform-ctl lab``: faults to find and repair, in a home of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from learning import wiring
from learning.fault import all_faults
from platform_ctl.cli import render
from platform_ctl.cli.context import load_settings
from platform_ctl.cli.group import Group
from platform_ctl.cli.printing import print_document, print_line

if TYPE_CHECKING:
    from learning.lab import CheckResult
    from learning.sandbox import Sandbox

_NO_MORE = "no more hints: platform-ctl lab causes lists what it can be"


@click.group(cls=Group, help="Practise: break a scratch home, find the cause, repair it.")
def command() -> None:
    pass


def home_option(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--home",
        "folder",
        type=click.Path(file_okay=False, path_type=Path),
        help="The lab's folder (default: lab in the platform's home).",
    )(function)


def complete_fault(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The faults whose names begin so, each with its symptom."""
    return [
        CompletionItem(name, help=fault.symptom)
        for name, fault in sorted(all_faults().items())
        if name.startswith(incomplete)
    ]


def complete_cause(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The causes whose names begin so, each with its meaning."""
    from learning.lab import CAUSES

    named = CAUSES.items()
    return [CompletionItem(n, help=means) for n, means in named if n.startswith(incomplete)]


def cause_option(**settings: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option("--cause", metavar="WORD", shell_complete=complete_cause, **settings)


@command.command("list")
@render.output_option
@click.pass_context
def list_(ctx: click.Context, output: str) -> None:
    """List the faults, by the report that somebody on call would get."""

    faults = all_faults()
    if output == "json":
        render.print_json([{"fault": f.name, "symptom": f.symptom} for f in faults.values()])
        return
    render.print_table(["fault", "symptom …"], [[f.name, f.symptom] for f in faults.values()])


@command.command()
@render.output_option
@click.pass_context
def causes(ctx: click.Context, output: str) -> None:
    """List the causes that can be named; some belong to no fault."""
    from learning.lab import CAUSES

    if output == "json":
        render.print_json(CAUSES)
        return
    render.print_table(["cause", "meaning …"], CAUSES.items())


@command.command()
@click.argument("fault", shell_complete=complete_fault)
@home_option
@click.pass_context
def start(ctx: click.Context, fault: str, folder: Path | None) -> None:
    """Break a fresh scratch home with FAULT, or with a random one. The clock starts."""
    from learning import session as fault_lab

    sandbox = wiring.lab(load_settings(ctx), folder)
    begun = fault_lab.start(sandbox, all_faults(), fault, say)
    print_symptom(sandbox, begun.symptom)


def say(text: str) -> None:
    """Progress, on stderr."""
    print_line(text, err=True)


def print_symptom(sandbox: Sandbox, symptom: str) -> None:
    """What is heard, and how to get there."""
    print_line()
    print_document(f"  {symptom}\n\n")
    print_line("look around and repair it in a shell of its own:")
    print_line(f"  source {sandbox.root / 'env'}")
    print_line("then: platform-ctl lab check --cause WORD   (platform-ctl lab causes lists them)")
    print_line("stuck: platform-ctl lab check --hint")


@command.command()
@cause_option(default="", help="The cause; `lab causes` lists them.")
@click.option(
    "--hint", is_flag=True, help="Print one more hint instead of a check; hints are counted."
)
@home_option
@render.output_option
@click.pass_context
def check(ctx: click.Context, cause: str, hint: bool, folder: Path | None, output: str) -> None:
    """Check whether the home is repaired and the cause is named. Exit code 1 until then."""
    from learning import session as fault_lab

    if hint and cause:
        raise click.UsageError("--hint or --cause, not both.", ctx)
    sandbox, faults = wiring.lab(load_settings(ctx), folder), all_faults()
    if hint:
        text = fault_lab.hint(sandbox, faults)
        print_document(f"{text or _NO_MORE}\n")
        return
    result = fault_lab.check(sandbox, faults, cause)
    _, fault = fault_lab.current(sandbox, faults)
    if output == "json":
        render.print_json(result)
    else:
        _print_result(result)
        if result.solved:
            print_line()
            print_document(f"{fault.explanation}\nsee {fault.runbook}\n")
    if not result.solved:
        ctx.exit(1)


def _print_result(result: CheckResult) -> None:
    for note in result.notes:
        print_line(note)
    used = f"{result.hints} hints, {result.wrong_causes} wrong causes"
    verdict = "solved" if result.solved else "not solved yet"
    print_line(f"{verdict} after {_clock(result.elapsed_s)}, {used}")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


@command.command()
@click.option(
    "--all", "everything", is_flag=True, help="Also remove the files that later starts reuse."
)
@home_option
@click.pass_context
def reset(ctx: click.Context, everything: bool, folder: Path | None) -> None:
    """End the attempt and remove its home. The attempt stays unsolved."""

    sandbox = wiring.lab(load_settings(ctx), folder)
    if everything:
        sandbox.remove()
    else:
        sandbox.clear()
    print_line(f"the lab in {sandbox.root} is empty")
