"""``platform-ctl completion``: words for the shell's Tab key, also from the home's records."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem, get_completion_class

from platform_ctl.cli.context import load_settings

COMMANDS = ("platform-ctl", "mlship")
KINDS = {
    "run": {"run": "runs", "a": "runs", "b": "runs", "task": "tasks"},
    "cache": {"run": "runs", "task": "tasks"},
    "experiment": {"name": "runs"},
    "lineage": {"run": "runs", "what": "runs"},
    "pipeline": {"pipeline": "pipelines"},
    "model": {"model": "models", "name": "models"},
    "approval": {"request": "approvals", "model": "models"},
    "release": {"name": "services"},
    "service": {"name": "services"},
    "data": {"recipe": "recipes"},
    "recipe": {"source": "recipes"},
    "mlship": {"reference": "models"},
}
"""Command -> its parameters (and its subcommands') -> kind of name that completes them."""


@click.command(short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a shell: commands, options, and names from the home.

    Names are those of runs, tasks, models, approvals, services, recipes and faults.

    \b
    bash   eval "$(platform-ctl completion bash)"       in ~/.bashrc
    zsh    eval "$(platform-ctl completion zsh)"        in ~/.zshrc, after compinit
    fish   platform-ctl completion fish | source        in ~/.config/fish/config.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    if shell == "bash":  # else bash takes NAME@alias for three words
        click.echo("COMP_WORDBREAKS=${COMP_WORDBREAKS//@/}")
    for name in COMMANDS:
        variable = f"_{name.replace('-', '_')}_complete".upper()
        click.echo(kind(click.Command(name), {}, name, variable).source())


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
            found = targets.recorded_names(load_settings(ctx), self.kind)
        except Exception:  # noqa: BLE001 - a Tab key has nowhere to show an error
            return []
        return [CompletionItem(n, help=what) for n, what in found if n.startswith(incomplete)]


def teach(group: str, command: click.Command) -> click.Command:
    """The command, with parameters that complete from records. Called only while completing."""
    for parameter in command.params:
        if kind := KINDS.get(group, {}).get(parameter.name or ""):
            parameter.type = Recorded(kind)
    for subcommand in getattr(command, "commands", {}).values():
        teach(group, subcommand)
    return command
