"""A group of commands whose help says the whole first sentence of each."""

from __future__ import annotations

import click

_LONGEST = 1000


class Group(click.Group):
    """Breaks what does not fit into lines, where click cuts it off. Its subgroups do, too."""

    group_class = type

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        rows = [(n, c.get_short_help_str(_LONGEST)) for n, c in found if c and not c.hidden]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)
