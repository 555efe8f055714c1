"""Output for people and machines: tables by rich, JSON by msgspec, times in UTC."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click


def output_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``-o json`` on a command that prints data; passed on as ``output``."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="json for machines.",
    )(function)


def print_json(value: Any) -> None:
    """One JSON document on stdout; dataclasses, Structs, datetimes and paths are fine."""
    import msgspec

    encoded = msgspec.json.encode(value, enc_hook=str)
    click.echo(msgspec.json.format(encoded, indent=2).decode())


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str = "") -> None:
    """Aligned columns; coloured headings on a terminal, plain text in a pipe."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = list(rows)
    if not rows and empty:
        click.echo(empty)
        return
    table = Table(
        box=None, pad_edge=False, show_edge=False, header_style="bold", padding=(0, 2, 0, 0)
    )
    for column in columns:
        right = column.endswith((" #", "%"))
        table.add_column(
            column.removesuffix(" #"), justify="right" if right else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(_text(cell), style=state_style(cell)) for cell in row))
    console = Console(
        soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 10_000
    )
    console.print(table)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


_STYLES = {
    "SUCCEEDED": "green",
    "CACHED": "cyan",
    "FAILED": "red",
    "CANCELED": "yellow",
    "RUNNING": "blue",
    "SKIPPED": "dim",
    "successful": "green",
    "failed": "red",
    "inconclusive": "yellow",
}


def state_style(value: Any) -> str:
    """rich style of a state or verdict; "" for anything else."""
    return _STYLES.get(str(value), "")
