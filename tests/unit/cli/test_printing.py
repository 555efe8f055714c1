"""Whatever people and repositories write, a command prints lines without control characters."""

from __future__ import annotations

import ast
import json
import logging
import unicodedata
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from platform_ctl.cli import printing, render
from platform_ctl.cli.app import print_error
from platform_ctl.errors import UsageError
from platform_ctl.home.log_lines import FORMAT, LineFormatter

ROOT = Path(__file__).parents[3]
HOSTILE = "ok\x1b[2J\x1b[32m\nSUCCEEDED gate\r\x07\x7f\x9b\u202e\u2028\U000e0041\ud800"
OBEYED = ("Cc", "Cf", "Cs", "Zl", "Zp")

PRINTED: dict[str, Callable[[str], None]] = {
    "line": printing.print_line,
    "stderr": lambda text: printing.print_line(text, err=True, start=text, colour="red"),
    "entry": lambda text: render.print_entry(text, text),
    "hanging": render.print_hanging,
    "indented": lambda text: render.print_indented(text, 4),
    "table": lambda text: render.print_table(["name", "note …"], [[text, text]]),
    "empty table": lambda text: render.print_table(["name"], [], empty=text),
    "records": lambda text: render.print_records([{"a": text, "b": 1}, {"a": text, "b": 2}]),
    "error": lambda text: print_error(UsageError(text, where=text, fix=text)),
    "error as json": lambda text: print_error(UsageError(text, where=text), as_json=True),
    "log": lambda text: printing.print_log(text.encode(errors="replace")),
}
"""Every way to print something, with a text of somebody else in each place."""


def printed(function: Callable[[str], None], text: str) -> str:
    """What it writes to stdout and stderr, without the colours that are ours."""
    command = click.Command("print", callback=lambda: function(text))
    done = CliRunner().invoke(command, catch_exceptions=False)
    return done.output


@pytest.mark.parametrize("function", PRINTED.values(), ids=PRINTED)
@given(text=st.one_of(st.text(), st.just(HOSTILE)))
def test_nothing_that_a_terminal_obeys_is_printed(function, text: str) -> None:
    output = printed(function, text)
    left = {c for c in output if unicodedata.category(c) in OBEYED and c not in "\n\t"}
    assert left <= {"\u200c", "\u200d"}


@pytest.mark.parametrize("name", [n for n in PRINTED if n not in ("log", "records", "indented")])
def test_a_line_end_in_a_text_begins_no_line(name: str) -> None:
    lines = printed(PRINTED[name], HOSTILE).splitlines()
    assert not [line for line in lines if line.lstrip().startswith("SUCCEEDED")]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_json_stays_the_same_document(text: str) -> None:
    output = printed(lambda value: render.print_json({"reason": value}), text)
    assert json.loads(output) == {"reason": text}
    left = {c for c in output if unicodedata.category(c) in OBEYED and c != "\n"}
    assert left <= {"\u200c", "\u200d"}


def test_a_raw_log_is_what_was_written() -> None:
    written = HOSTILE.encode(errors="replace")
    command = click.Command("raw", callback=lambda: printing.print_log(written, raw=True))
    assert CliRunner().invoke(command).stdout_bytes == written


def test_no_command_prints_by_itself() -> None:
    """One module writes to the terminal, so that no command can forget to look."""
    folders = (ROOT / "platform_ctl" / "cli", ROOT / "learning" / "cli")
    files = [f for folder in folders for f in folder.glob("*.py") if f.name != "printing.py"]
    wrong = [f"{f.name}:{line}" for f in files for line in _prints(ast.parse(f.read_text()))]
    assert len(files) > 30 and wrong == []


def _prints(tree: ast.AST) -> list[int]:
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = {"click.echo", "click.secho", "print", "sys.stdout.write", "sys.stderr.write"}
    return [call.lineno for call in calls if ast.unparse(call.func) in names]


def test_a_log_entry_is_one_line_and_a_traceback_begins_none() -> None:
    forged = f"{HOSTILE}\n2026-01-01 00:00:00 INFO all is well"
    try:
        raise ValueError(forged)
    except ValueError as exc:
        info = (type(exc), exc, exc.__traceback__)
    record = logging.LogRecord("x", logging.ERROR, "", 0, "GET %s", (forged,), info)
    first, *traceback = LineFormatter(FORMAT).format(record).split("\n")
    assert "all is well" in first
    assert traceback and all(line.startswith("  ") for line in traceback)
    left = [c for line in (first, *traceback) for c in line if unicodedata.category(c) in OBEYED]
    assert left == []
