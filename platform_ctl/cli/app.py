"""Entry point: lazy groups, global flags, and the four lines of an error.

Groups are imported when they are called, so that ``--help`` costs what click
costs. This is the only place that catches every exception.
"""

from __future__ import annotations

import importlib
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from platform_ctl import __version__
from platform_ctl.cli.printing import print_encoded, print_line
from platform_ctl.cli.usage import command_line, usage_error, wants_json, with_correction
from platform_ctl.errors import PlatformError, PreconditionMissing, UsageError
from platform_ctl.text import visible

GROUPS: dict[str, str] = {
    "init": "Make a project of your own.",
    "doctor": "Check what is installed, ports, disk and leftovers.",
    "config": "Show the settings and where each value comes from.",
    "data": "Ingest, show and audit a recipe's data.",
    "recipe": "List recipes, check one, make a new one from a file.",
    "pipeline": "List, compile and run pipelines.",
    "run": "List, show, resume, cancel and explain runs.",
    "cache": "Explain, verify and prune the step cache.",
    "experiment": "Run and show Katib Experiments.",
    "model": "List, show and use registered models.",
    "approval": "List, show and decide approval requests.",
    "release": "Show, continue, abort or roll back a canary.",
    "service": "List, start and stop InferenceServices.",
    "target": "Check the cluster of the kubernetes target.",
    "lab": "Practise: break a scratch home, find the cause, repair it.",
    "exit-test": "Take the exit test: build, diagnose, articulate.",
    "schedule": "Check, plan, apply and run schedules.",
    "report": "Write the weekly log from the records.",
    "lineage": "Show, list and deliver OpenLineage events.",
    "completion": "Print the completion script of a shell.",
    "metrics": "Serve metrics to Prometheus.",
    "ui": "Serve the pages of this home.",
}
"""Command -> help. ``platform_ctl/cli/<command>.py`` (``-`` is ``_``) holds ``command``."""

PLUGINS = {"lab": "learning.cli.lab", "exit-test": "learning.cli.exit_test"}
"""Command -> its module, where that lives outside this package and drives it from there."""


COMPLETION = {"_PLATFORM_CTL_COMPLETE", "_MLSHIP_COMPLETE"}
"""Variables by which a shell asks for completions."""


class LazyGroup(click.Group):
    """Lists its commands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(GROUPS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in GROUPS:
            return None
        if name in PLUGINS:
            return completing(name, _plugin(name))
        module = f"platform_ctl.cli.{name.replace('-', '_')}"
        return completing(name, importlib.import_module(module).command)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        named = [CompletionItem(n, help=h) for n, h in GROUPS.items() if n.startswith(incomplete)]
        return [*named, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in GROUPS and not ctx.resilient_parsing:
            raise click.exceptions.NoSuchCommand(args[0], possibilities=GROUPS, ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(GROUPS.items()))


def _plugin(name: str) -> click.Command:
    """A command of the project around us. Raises PreconditionMissing where it has none."""
    from platform_ctl.cli.context import on_path
    from platform_ctl.settings import find_project_root

    on_path(find_project_root(Path.cwd()))
    try:
        return importlib.import_module(PLUGINS[name]).command
    except ModuleNotFoundError as exc:
        raise PreconditionMissing(
            f"{name} comes with the repository, and this folder is not in a checkout of it",
            where=str(Path.cwd()),
            fix="cd to a checkout of the platform",
        ) from exc


def completing(name: str, command: click.Command) -> click.Command:
    """The command as the Tab key wants it, when it was the Tab key that called."""
    if COMPLETION & os.environ.keys():
        from platform_ctl.cli.completion import teach

        return teach(name, command)
    return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="platform-ctl")
@click.option(
    "--home", metavar="DIR", help="Folder of the state (default: PLATFORM_HOME or .platform)."
)
@click.option("--target", type=click.Choice(["local", "kubernetes"]), help="Where to run.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_context
def cli(ctx: click.Context, home: str | None, target: str | None, debug: bool) -> None:
    """Train, register and deploy models: one pipeline, on a laptop or on Kubeflow."""
    ctx.obj = {"home": home, "target": target, "debug": debug}


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit with the code that spec's table gives."""
    run_command(cli, argv, prog="platform-ctl")


def run_command(command: click.Command, argv: list[str] | None, *, prog: str) -> None:
    """Call ``command`` and turn whatever happens into an exit code and short lines on stderr."""
    words = sys.argv[1:] if argv is None else argv
    if sys.stdout is None:  # closed by the caller
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process
    debug = "--debug" in words
    if COMPLETION & os.environ.keys():
        from platform_ctl.cli import completion_scripts

        completion_scripts.register()
    try:
        _check_utf8(words)
        sys.exit(_call(command, argv, prog))
    except click.exceptions.Abort as exc:
        _exit_of_abort(exc, prog, words)
    except KeyboardInterrupt:
        _exit_interrupted()
    except click.exceptions.NoArgsIsHelpError as exc:
        exc.show()
        sys.exit(2)
    except click.ClickException as exc:
        _print_and_exit(usage_error(exc, prog, words), words)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except PlatformError as exc:
        if debug:
            import traceback

            traceback.print_exc()
        _print_and_exit(with_correction(exc, prog, words), words)
    except Exception as exc:
        if debug:
            raise
        _print_and_exit(_named(exc, command_line(prog, words)), words)


def _exit_of_abort(exc: click.exceptions.Abort, prog: str, words: Sequence[str]) -> NoReturn:
    """click's Abort stands for Ctrl-C and for every end of input; its cause tells which."""
    if isinstance(exc.__cause__, EOFError):  # a file that was cut short, not a person
        _print_and_exit(_named(exc.__cause__, command_line(prog, words)), words)
    if isinstance(exc.__context__, EOFError):  # a question, and nobody to answer it
        _print_and_exit(_unanswered(prog, words), words)
    _exit_interrupted()


def _exit_interrupted() -> NoReturn:
    print_line("interrupted", err=True)
    sys.exit(130)


def _check_utf8(words: Sequence[str]) -> None:
    """Records, logs and reports are UTF-8; only the path of an existing file may be other bytes.

    Python hands on bytes that are no UTF-8 as lone surrogates (PEP 383). Raises UsageError.
    """
    for word in words:
        if not word.isascii() and _has_surrogates(word) and not os.path.exists(word):
            raise UsageError(
                f"the argument '{visible(word)}' is not UTF-8 text",
                where="command line",
                fix="iconv -f ISO-8859-1 -t UTF-8 FILE",
            )


def _has_surrogates(word: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in word)


def _unanswered(prog: str, words: Sequence[str]) -> PlatformError:
    command = [w for w in words if not w.startswith("-")][:2]
    return UsageError(
        "an option is missing, and there is no terminal to ask for it",
        where=command_line(prog, words),
        fix=shlex.join([prog, *command, "--help"]),
    )


def _named(exc: BaseException, command: str) -> PlatformError:
    from platform_ctl.cli.machine_errors import named

    return named(exc, command)


def _call(command: click.Command, argv: list[str] | None, prog: str) -> int:
    try:
        code = command.main(args=argv, prog_name=prog, standalone_mode=False)
        sys.stdout.flush()
    except SystemExit:
        # So click ends, with 1, when the reader of a pipe has left: it had what it wanted.
        wrapper: Any = click.utils.PacifyFlushWrapper
        if isinstance(sys.stdout, wrapper):
            return 0
        raise
    return code if isinstance(code, int) else 0


def _print_and_exit(exc: PlatformError, words: Sequence[str]) -> NoReturn:
    print_error(exc, as_json=wants_json(words))
    sys.exit(exc.exit_code)


def print_error(exc: PlatformError, *, as_json: bool = False) -> None:
    """Four lines on stderr, or one JSON object there when the caller reads JSON."""
    if as_json:
        print_encoded(json.dumps({"error": exc.as_dict()}), err=True)
        return
    print_line(f"{exc.what} ({exc.id})", start="error: ", colour="red", err=True)
    for label, text in (("where", exc.where), ("fix", exc.fix), ("see", exc.runbook)):
        if text:
            print_line(f"{label + ':':<7}{text}", err=True)
