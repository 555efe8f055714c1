"""The two ways in which a command prints, and the only place that writes to a terminal as it is.

Names, reasons, authors, file names and messages of exceptions come from people and from
repositories. Whatever they hold, a line stays one line without colours, and a document keeps
nothing that a terminal obeys but its line ends.
"""

from __future__ import annotations

import json
import sys

import click

from platform_ctl.text import visible


def print_line(text: object = "", *, err: bool = False, start: str = "", colour: str = "") -> None:
    """One line, its control characters written out. ``start``: what comes before, in a colour."""
    if start:
        click.secho(visible(start), fg=colour or None, bold=err, nl=False, err=err)
    click.echo(visible(str(text)), err=err)


def print_document(text: str) -> None:
    """A text of several lines as it is; on a terminal with its control characters written out."""
    if sys.stdout.isatty():
        text = printed_lines(text)
    click.echo(text, nl=False)


def print_log(written: bytes, *, raw: bool = False) -> None:
    """What a process wrote, with its line ends and tabs. ``raw``: byte by byte."""
    click.echo(written if raw else printed_lines(written.decode(errors="replace")), nl=False)


def print_encoded(document: str, *, err: bool = False) -> None:
    """A JSON document; what JSON leaves as it is and a terminal obeys, in JSON's own escapes."""
    click.echo("\n".join(map(_json_line, document.split("\n"))), err=err)


def printed_lines(text: str) -> str:
    """A text with line ends and tabs, and every other control character written out."""
    return "\n".join("\t".join(map(visible, line.split("\t"))) for line in text.split("\n"))


def _json_line(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(c if visible(c) == c else _json_escape(c) for c in line)


def _json_escape(character: str) -> str:
    """``json.dumps`` writes DEL as it is."""
    return "\\u007f" if character == "\x7f" else json.dumps(character)[1:-1]
