"""Tables that read well in any terminal: what must stay whole stays whole, prose wraps.

A column is a heading, or a ``PrintedColumn`` where it needs more. On a terminal that is
too narrow prose wraps between words first, then columns marked ``cut`` are
shortened with an ellipsis, then columns marked ``optional`` go (from the right),
and at last prose moves below its row. A pipe gets everything, in lines without
an end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from platform_ctl.text import moment, visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_GAP = 2
_PROSE_WIDTH = 20
"""Narrower than this a sentence is a ladder of words."""
_CUT_WIDTH = 12
"""A name is not shortened to less."""


@dataclass(frozen=True)
class PrintedColumn:
    """``prose`` may be broken between words; everything else is printed whole."""

    name: str
    right: bool = False
    prose: bool = False
    optional: bool = False
    """Left out where the terminal is too narrow for all."""
    cut: bool = False
    """Shortened, with an ellipsis, where the terminal is too narrow for all."""

    @classmethod
    def of(cls, column: str | PrintedColumn) -> PrintedColumn:
        """A heading with its marks: ``wall #`` is right, ``note …`` prose, ``memory ?`` optional,
        ``name ~`` cut.

        What ends in ``%`` is a number anyway.
        """
        if isinstance(column, PrintedColumn):
            return column
        name, marks = column, set()
        while name[-2:] in (" #", " …", " ?", " ~"):
            marks.add(name[-1])
            name = name[:-2]
        return cls(
            name,
            right="#" in marks or name.endswith("%"),
            prose="…" in marks,
            optional="?" in marks,
            cut="~" in marks,
        )


def print_rows(
    columns: Sequence[PrintedColumn],
    rows: Sequence[Sequence[Any]],
    console: Console,
    *,
    narrow: bool,
) -> list[str]:
    """Prints one table; ``narrow`` fits it to the console's width. Returns what is left out."""
    texts = [[text(cell) for cell in row] for row in rows]
    shown = list(range(len(columns)))
    if not narrow:
        widths = _natural(columns, texts)
    else:
        shown, widths = _fitted(columns, texts, console.width)
        texts = [_shortened(row, columns, widths) for row in texts]
    below = [i for i in shown if widths[i] == 0]
    beside = [i for i in shown if i not in below]
    table = _empty_table([columns[i] for i in beside], [widths[i] for i in beside])
    if not below:
        for row in texts:
            table.add_row(*(_cell(row[i]) for i in beside))
        _print(console, table, strip=not narrow)
        return [c.name for i, c in enumerate(columns) if i not in shown]
    for at, row in enumerate(texts):
        one = _empty_table([columns[i] for i in beside], [widths[i] for i in beside], head=at == 0)
        one.add_row(*(_cell(row[i]) for i in beside))
        console.print(one)
        for i in below:
            _print_below(console, row[i])
    return [c.name for i, c in enumerate(columns) if i not in shown]


def _shortened(
    row: Sequence[str], columns: Sequence[PrintedColumn], widths: Sequence[int]
) -> list[str]:
    return [
        f"{cell[: width - 1]}…" if column.cut and len(cell) > width > 1 else cell
        for cell, column, width in zip(row, columns, widths, strict=True)
    ]


def text(value: Any) -> str:
    """A cell: times in UTC to the second, floats to four figures, nothing as ``-``; one line."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return visible(str(value))


def _natural(columns: Sequence[PrintedColumn], texts: Sequence[Sequence[str]]) -> list[int]:
    """Widths at which nothing is broken."""
    return [
        max([len(column.name), *(_longest_line(row[i]) for row in texts)])
        for i, column in enumerate(columns)
    ]


def _least(columns: Sequence[PrintedColumn], texts: Sequence[Sequence[str]]) -> list[int]:
    """Widths at which only headings and prose are broken, between words."""
    least = []
    for i, column in enumerate(columns):
        heading = max((len(word) for word in column.name.split()), default=0)
        cells = max((_longest_line(row[i]) for row in texts), default=0)
        if column.prose:
            cells = min(cells, _PROSE_WIDTH)
        elif column.cut:
            cells = min(cells, _CUT_WIDTH)
        least.append(max(heading, cells))
    return least


def _longest_line(cell: str) -> int:
    return max(map(len, cell.splitlines()), default=0)


def _fitted(
    columns: Sequence[PrintedColumn], texts: Sequence[Sequence[str]], width: int
) -> tuple[list[int], list[int]]:
    """Which columns are shown, and how wide each is; 0 is for prose below its row."""
    natural, least = _natural(columns, texts), _least(columns, texts)
    shown = list(range(len(columns)))
    for i in reversed([i for i in shown if columns[i].optional]):
        if _total(shown, least) > width:
            shown.remove(i)
    widths = list(least)
    if _total(shown, least) > width:
        for i in shown:
            if columns[i].prose and _total(shown, widths) > width:
                widths[i] = 0
    # What is left over goes to whole columns first, then to those that may be cut, then to prose.
    beside = [i for i in shown if widths[i]]
    for i in sorted(beside, key=lambda i: (columns[i].prose, columns[i].cut)):
        widths[i] += max(0, min(width - _total(beside, widths), natural[i] - widths[i]))
    while _total(beside, widths) > width and max(widths[i] for i in beside) > 1:
        widths[max(beside, key=lambda i: widths[i])] -= 1
    return shown, widths


def _total(shown: Sequence[int], widths: Sequence[int]) -> int:
    return sum(widths[i] for i in shown) + _GAP * (len(shown) - 1)


def _empty_table(
    columns: Sequence[PrintedColumn], widths: Sequence[int], *, head: bool = True
) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=None,
        pad_edge=False,
        show_edge=False,
        show_header=head,
        header_style="bold",
        padding=(0, _GAP, 0, 0),
    )
    for column, width in zip(columns, widths, strict=True):
        table.add_column(
            Text(column.name),
            justify="right" if column.right else "left",
            width=width,
            overflow="fold",
            vertical="top",
        )
    return table


def _cell(value: str) -> Any:
    from rich.text import Text

    return Text(value, style=state_style(value))


def _print(console: Console, table: Table, *, strip: bool) -> None:
    """Print; in a pipe without the blanks that pad a table to its width."""
    if not strip:
        console.print(table)
        return
    with console.capture() as capture:
        console.print(table)
    lines = capture.get().splitlines()
    console.file.write("".join(f"{line.rstrip()}\n" for line in lines))


def _print_below(console: Console, value: str) -> None:
    from rich.padding import Padding
    from rich.text import Text

    if value not in ("", "-"):
        console.print(Padding(Text(value, style="dim"), (0, 0, 0, 4)))


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
    "ok": "green",
    "warn": "yellow",
    "fail": "red",
}


def state_style(value: Any) -> str:
    """rich style of a state, verdict or health; "" for anything else."""
    return _STYLES.get(str(value), "")
