"""``platform-ctl config``: the settings and where each comes from."""

from __future__ import annotations

import os
from pathlib import Path

import click

from platform_ctl.cli import render
from platform_ctl.cli.group import Group


@click.group(cls=Group, help="Show the settings and where each value comes from.")
def command() -> None:
    pass


@command.command()
@click.option("--origin", is_flag=True, help="Also say where each value was set.")
@render.output_option
@click.pass_context
def show(ctx: click.Context, origin: bool, output: str) -> None:
    """Print every setting, after the whole cascade; secrets only as references to them."""
    import msgspec

    from platform_ctl import settings as cascade

    flags = {k: ctx.find_root().obj.get(k) for k in ("home", "target")}
    loaded = cascade.load(cwd=Path.cwd(), env=os.environ, flags=flags)
    flat = cascade.flatten(msgspec.to_builtins(loaded.settings))
    rows = [
        (key, cascade.shown(key, flat.get(key, "")), loaded.origin[key]) for key in loaded.origin
    ]
    if output == "json":
        render.print_json({k: {"value": v, "origin": o} for k, v, o in rows})
        return
    columns = ["setting", "value …", "origin"] if origin else ["setting", "value …"]
    shown = [(key, _as_written(value), where) for key, value, where in rows]
    render.print_table(columns, [r[: len(columns)] for r in shown])


def _as_written(value: object) -> object:
    """As in platform-ctl.toml."""
    if value == "":
        return "-"
    return str(value).lower() if isinstance(value, bool) else value
