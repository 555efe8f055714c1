"""Reading the pages: their command lines, and the real click commands to hold them against."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from platform_ctl.cli import reference

ROOT = Path(__file__).resolve().parents[2]
GENERATED = "<!-- Written by"
SHELLS = {"sh", "bash", "console"}
VALUE = "VALUE"
"""Stands for what a message fills in when it is made, be it a command's name."""
_FENCE = re.compile(r"^\s*```(\w*)\s*$")
_PLACEHOLDER = re.compile(r"^[A-Z][A-Z0-9_]*$|[{}…]")


def pages() -> list[Path]:
    """Every Markdown page of the repository, generated ones included."""
    skipped = {".venv", ".platform", "build"}
    found = [p for p in ROOT.rglob("*.md") if not skipped & set(p.relative_to(ROOT).parts)]
    return sorted(p for p in found if not any(x.startswith(".") for x in p.relative_to(ROOT).parts))


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


@dataclass(frozen=True)
class CommandLine:
    """One call of our programs as a page shows it."""

    page: Path
    line: int
    text: str


def command_lines(page: Path) -> Iterator[CommandLine]:
    """Calls of our programs in the page's shell blocks; output of a console block is no call."""
    language, joined = "", ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if fence := _FENCE.match(line):
            language = fence[1] if not language else ""
            continue
        if language not in SHELLS:
            continue
        if language == "console" and not joined and not line.lstrip().startswith("$ "):
            continue
        joined += line.strip().removeprefix("$ ")
        if joined.endswith("\\"):
            joined = joined[:-1]
            continue
        for call in calls(joined):
            yield CommandLine(page, number, call)
        joined = ""


def calls(shell: str) -> Iterator[str]:
    """The calls of our programs in one line of shell."""
    lexer = shlex.shlex(shell, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    words: list[str] = []
    for token in [*lexer, ";"]:
        if token[0] not in "|&;<>()":
            words.append(token)
            continue
        while words and re.match(r"^[A-Z_]+=", words[0]):
            words.pop(0)
        if words and Path(words[0]).name in reference.PROGRAMS:
            yield shlex.join([Path(words[0]).name, *words[1:]])
        words = []


def check_call(text: str, *, complete: bool = True) -> None:
    """Raise click.UsageError unless the call parses: commands, options, arguments, choices.

    Values are not used: paths need not exist, names need not be known. A word
    in capitals, or with braces, stands for any value. A call that is only
    spoken of need not be ``complete``.
    """
    words = shlex.split(text)
    context = _context(reference.PROGRAMS[words[0]], words[0])
    rest = words[1:]
    while True:
        command = context.command
        values, rest, _ = command.make_parser(context).parse_args(list(rest))
        eager = {p.name for p in command.get_params(context) if p.is_eager}
        if any(values.get(name) is True for name in eager):
            return  # --help, --version: what follows is not looked at
        for parameter in command.get_params(context):
            _check_value(parameter, values.get(parameter.name), context, complete)
        if not isinstance(command, click.Group):
            break
        if not rest:
            if command.invoke_without_command or not complete:
                return
            raise click.UsageError(f"{context.command_path} needs a command", context)
        if rest[0] == VALUE:
            return
        child = command.get_command(context, rest[0])
        if child is None:
            raise click.UsageError(f"no command {rest[0]!r} in {context.command_path}", context)
        context = _context(child, rest[0], context)
        rest = rest[1:]
    if rest:
        raise click.UsageError(f"{context.command_path}: too many words: {rest}", context)


def _context(
    command: click.Command, name: str, parent: click.Context | None = None
) -> click.Context:
    return click.Context(command, info_name=name, parent=parent, **command.context_settings)


def _check_value(
    parameter: click.Parameter, value: object, context: click.Context, complete: bool
) -> None:
    given = [v for v in (value if isinstance(value, list | tuple) else [value]) if _is_text(v)]
    if complete and parameter.required and not given and value is not True:
        raise click.MissingParameter(ctx=context, param=parameter)
    if isinstance(parameter.type, click.Choice | click.types.IntParamType):
        for text in given:
            if not _PLACEHOLDER.search(text):
                parameter.type.convert(text, parameter, context)


def _is_text(value: object) -> bool:
    return isinstance(value, str)
