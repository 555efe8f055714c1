"""``platform-ctl completion``: words for the shell's Tab key, also from the home's records."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from platform_ctl.cli import completion_scripts
from platform_ctl.cli.context import load_settings
from platform_ctl.cli.printing import print_document

COMMANDS = ("platform-ctl", "mlship")
KINDS = {
    "run": {"run": "runs", "a": "runs", "b": "runs", "task": "tasks", "pipeline": "pipelines"},
    "cache": {"run": "runs", "task": "tasks"},
    "experiment": {"name": "runs"},
    "lineage": {"run": "runs", "what": "runs and models"},
    "pipeline": {"pipeline": "pipelines", "names": "pipelines", "params": "parameters"},
    "model": {"model": "versions", "name": "models"},
    "approval": {"request": "approvals", "model": "versions"},
    "release": {"name": "services"},
    "schedule": {"name": "schedules"},
    "service": {"name": "services"},
    "data": {"recipe": "recipes"},
    "recipe check": {"name": "recipes"},
    "target": {"components": "components", "component": "components"},
    "mlship": {"reference": "versions"},
}
"""Command or one subcommand -> its parameters (and its subcommands') -> kind of their names."""
ABOUT = {"tasks": "run", "parameters": "pipeline"}
"""Kind of name -> the argument on which it depends."""


@click.command(short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(completion_scripts.SHELLS))
def command(shell: str) -> None:
    """Print the completion script of a shell: commands, options, and names from the home.

    Names are those of runs, tasks, pipelines and their parameters, models with their
    aliases and versions, approvals, services, schedules, recipes, components and faults.

    \b
    bash   eval "$(platform-ctl completion bash)"       in ~/.bashrc
    zsh    eval "$(platform-ctl completion zsh)"        in ~/.zshrc, after compinit
    fish   platform-ctl completion fish | source        in ~/.config/fish/config.fish
    """
    for name in COMMANDS:
        print_document(completion_scripts.script(shell, name) + "\n")


class Recorded(click.ParamType):
    """Text that completes to names from the home's records; nothing where they cannot be read."""

    name = "text"

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from platform_ctl import targets

        root = ctx.find_root()
        root.obj = root.obj or {k: root.params.get(k) for k in ("home", "target")}
        try:
            recorded = targets.recorded_names(
                load_settings(ctx), self.kind, incomplete, self._about(ctx)
            )
        except Exception:  # noqa: BLE001 - a Tab key has nowhere to show an error
            return []
        named = [CompletionItem(n, help=what) for n, what in recorded]
        files = self.kind == "pipelines" and not named
        return [CompletionItem(incomplete, type="file")] if files else named

    def _about(self, ctx: click.Context) -> str:
        """The argument that the names belong to. While an option lacks its value, click has bound
        no argument yet: they are what is left over."""
        return str(ctx.params.get(ABOUT.get(self.kind, "")) or next(iter(ctx.args), ""))


def teach(group: str, command: click.Command) -> click.Command:
    """The command, with parameters that complete from records. Called only while completing."""
    for parameter in command.params:
        if kind := KINDS.get(group, {}).get(parameter.name or ""):
            parameter.type = Recorded(kind)
    for name, subcommand in getattr(command, "commands", {}).items():
        own = f"{group} {name}"
        teach(own if own in KINDS else group, subcommand)
    return command
