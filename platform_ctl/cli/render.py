"""Output for people and machines: tables by rich, JSON by msgspec, times in UTC."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from platform_ctl.cli.printing import print_encoded, print_line
from platform_ctl.cli.table import PrintedColumn, print_rows, text
from platform_ctl.text import minute, moment, visible

__all__ = [
    "day",
    "minute",
    "moment",
    "output_option",
    "print_entry",
    "print_indented",
    "print_json",
    "print_records",
    "print_table",
    "shortened",
]


def output_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``-o json`` on a command that prints data; passed on as ``output``."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="json: for programs.",
    )(function)


def print_json(value: Any) -> None:
    """One JSON document on stdout; dataclasses, Structs, datetimes and paths are fine."""
    import msgspec

    encoded = msgspec.json.encode(value, enc_hook=str)
    document = msgspec.json.format(encoded, indent=2).decode()
    print_encoded(document)


def print_table(
    columns: Sequence[str | PrintedColumn], rows: Iterable[Sequence[Any]], *, empty: str = ""
) -> None:
    """Aligned columns, fitted to a terminal; in a pipe whole lines of plain text."""
    from rich.console import Console

    rows = list(rows)
    if not rows and empty:
        print_line(empty)
        return
    terminal = sys.stdout.isatty()
    console = Console(soft_wrap=not terminal, width=None if terminal else 10_000)
    left_out = print_rows([PrintedColumn.of(c) for c in columns], rows, console, narrow=terminal)
    if left_out:
        print_line(f"not shown at this width: {', '.join(left_out)}", err=True)


def print_records(records: Sequence[Mapping[str, Any]], *, empty: str = "") -> None:
    """Records of one shape, whatever their fields are called: what all share is said once above."""
    if not records:
        print_line(empty)
        return
    names = list(records[0])
    shared = [n for n in names if len(records) > 1 and len({r[n] for r in records}) == 1]
    names = [n for n in names if n not in shared]
    columns = {name: [r[name] for r in records] for name in names}
    for name in shared:
        print_line(f"{_words(name)}: {text(_day(records[0][name]))}", err=True)
    headings = [PrintedColumn(_words(n), right=_are_numbers(columns[n])) for n in names]
    cells = [_alike(columns[name]) for name in names]
    print_table(headings, zip(*cells, strict=True))


def print_indented(sentence: str, columns: int) -> None:
    """A sentence under its label; on a terminal broken between words, in a pipe one line."""
    import shutil
    import textwrap

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
    blank = " " * columns
    lines = textwrap.wrap(visible(sentence), width, initial_indent=blank, subsequent_indent=blank)
    _print_wrapped(lines)


def print_hanging(line: str) -> None:
    """A line of columns; on a terminal what does not fit goes on below its last column."""
    import shutil
    import textwrap

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
    line = visible(line)
    columns = re.match(r" +(\S+ {2,})?", line)
    blank = " " * (columns.end() if columns else 0)
    broken = textwrap.wrap(line, width, subsequent_indent=blank, break_on_hyphens=False)
    _print_wrapped(broken if len(line) > width else [line])


def print_entry(label: str, sentence: str, *, width: int = 10) -> None:
    """A label and what it labels; on a terminal wrapped under itself, in a pipe one line."""
    import shutil
    import textwrap

    wide = shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
    lines = textwrap.wrap(
        f"{label:<{width}} {visible(sentence)}",
        wide,
        subsequent_indent=" " * (width + 1),
        break_on_hyphens=False,
    )
    _print_wrapped(lines)


def _print_wrapped(lines: Sequence[str]) -> None:
    for line in lines or [""]:
        print_line(line)


def shortened(words: str, longest: int) -> str:
    """At most ``longest`` characters; what is cut off is marked with an ellipsis."""
    return words if len(words) <= longest else f"{words[: longest - 1]}…"


def day(value: Any) -> str:
    """The date of a time in UTC. None is ``-``."""
    return minute(value)[:10]


def _words(name: str) -> str:
    return name.replace("_", " ")


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def _alike(values: Sequence[Any]) -> list[Any]:
    """Cells of one column, written alike: whole numbers as such, others to one decimal."""
    if not _are_numbers(values):
        return [_day(value) for value in values]
    digits = 0 if all(value == int(value) for value in values) else 1
    return [f"{value:,.{digits}f}" for value in values]


def _day(value: Any) -> Any:
    """A time that is the start of a day is that day."""
    if isinstance(value, datetime) and not (value.hour or value.minute or value.second):
        return value.date().isoformat()
    return value
