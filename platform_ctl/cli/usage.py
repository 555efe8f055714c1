"""click's own complaints as errors of the platform: the same four lines, with a command that runs.

The command is the one that was typed, with what is wrong in it corrected: the nearest word that
exists, the nearest value that is allowed, an option that is missing. Where that cannot be known,
it is the command that lists what could stand there, else the help of the command.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from platform_ctl.errors import PlatformError, UsageError, nearest
from platform_ctl.text import is_reference, redacted


def usage_error(exc: click.ClickException, prog: str, words: Sequence[str]) -> UsageError:
    """``words`` are what followed ``prog`` on the command line."""
    path = _command(exc, prog, words)
    if moved := _before_the_command(exc, words):
        return UsageError(
            f"{moved[0].partition('=')[0]} stands before the command",
            where=path,
            fix=command_line(prog, moved),
        )
    wrong, right = _correction(exc, words)
    corrected = _replaced(words, wrong, right) if right else _completed(exc, words)
    what = _what(exc, wrong)
    if isinstance(exc, click.exceptions.NoSuchOption) and exc.option_name == "--json":
        right, corrected = "-o json", [w for word in words for w in _as_json(word)]
    if isinstance(exc, click.exceptions.NoSuchOption | click.exceptions.NoSuchCommand):
        what = exc.message.rstrip(".") + (f"; did you mean {right!r}?" if right else "")
        if isinstance(exc, click.exceptions.NoSuchCommand) and (elsewhere := _of_groups(exc)):
            what += f"; there is: {', '.join(elsewhere)}"
    return UsageError(
        what[:1].lower() + what[1:].rstrip("."),
        where=path,
        fix=command_line(prog, corrected) if corrected else _instead(exc, path),
    )


def with_correction(exc: PlatformError, prog: str, words: Sequence[str]) -> PlatformError:
    """The error of a mistyped name with, as its fix, the whole command as it was meant."""
    corrected = _replaced(words, exc.typed, exc.meant) if exc.meant else []
    if corrected:
        exc.fix = command_line(prog, corrected)
    return exc


def command_line(prog: str, words: Sequence[str]) -> str:
    """What was typed, as an error may repeat it: without the values of what is called a secret.

    A terminal shows what was typed; a log of a CI keeps what was said of it. In the place of a
    value stands the reference that belongs there.
    """
    return shlex.join([prog, *map(_without_secret, words)])


def _without_secret(word: str) -> str:
    name, equals, value = word.partition("=")
    if equals and value and not is_reference(value) and redacted(word) != word:
        return f"{name}=env:{re.sub('[^A-Z0-9]+', '_', name.upper()).strip('_')}"
    return redacted(word) if "://" in word else word


LISTS = {
    "PIPELINE": "platform-ctl pipeline list",
    "MODEL": "platform-ctl model list",
    "NAME[@alias|/version]": "platform-ctl model list",
    "NAME/VERSION": "platform-ctl model list",
    "REQUEST": "platform-ctl approval list",
    "RUN": "platform-ctl run list",
    "FAULT": "platform-ctl lab list",
}
"""Argument as the help calls it -> what lists the words that can stand there."""
_BY_DEFAULT = {"mlship": "deploy"} | {
    f"platform-ctl {name}": "show" for name in ("run", "model", "approval", "release", "experiment")
}
"""Group -> its command that takes nothing but a name, for who typed the name only."""


def _what(exc: click.ClickException, wrong: str) -> str:
    """click's own sentence; a range in words, where click writes an inequality. ``wrong``: the
    word that is not in it, if that is what is wrong."""
    parameter = exc.param if isinstance(exc, click.BadParameter) else None
    if wrong and parameter is not None and (bounds := _bounds(parameter.type)):
        return f"{parameter.opts[-1]} must be {bounds}, not {wrong}"
    return exc.format_message()


def _bounds(kind: click.ParamType) -> str:
    if not isinstance(kind, click.IntRange | click.FloatRange):
        return ""
    if kind.min is not None and kind.max is not None:
        return f"from {kind.min} to {kind.max}"
    return f"at least {kind.min}" if kind.min is not None else f"at most {kind.max}"


def _completed(exc: click.ClickException, words: Sequence[str]) -> list[str]:
    """The words with the option that is missing, or without the arguments that are too many."""
    if isinstance(exc, click.MissingParameter) and isinstance(exc.param, click.Option):
        option = exc.param
        example = (
            "why" if option.name == "reason" else (option.metavar or option.name or "").upper()
        )
        return [*words, option.opts[-1], example]
    extra = _EXTRA.fullmatch(exc.message) if isinstance(exc, click.UsageError) else None
    if extra:
        remaining, too_many = list(words), shlex.split(extra[1])
        for word in reversed(too_many):
            if word in remaining:
                del remaining[len(remaining) - 1 - remaining[::-1].index(word)]
        return remaining if len(remaining) < len(words) else []
    return []


_EXTRA = re.compile(r"Got unexpected extra arguments? \((.*)\)\.?")


def _instead(exc: click.ClickException, path: str) -> str:
    """The command that lists what could stand there; the help of the command, where none does."""
    if isinstance(exc, click.MissingParameter) and exc.param is not None:
        name = exc.param.make_metavar(exc.ctx) if exc.ctx else ""
        return LISTS.get(name.strip("[]"), f"{path} --help")
    if isinstance(exc, click.exceptions.NoSuchCommand):
        if path in _BY_DEFAULT:
            return f"{path} {_BY_DEFAULT[path]} {shlex.quote(exc.command_name)}"
        elsewhere = _of_groups(exc)
        return f"{path} {elsewhere[0]}" if len(elsewhere) == 1 else f"{path} --help"
    return f"{path} --help"


def _meant_elsewhere(exc: click.exceptions.NoSuchCommand) -> bool:
    return _ID.fullmatch(exc.command_name) is not None or bool(_of_groups(exc))


def _of_groups(exc: click.exceptions.NoSuchCommand) -> list[str]:
    """``GROUP NAME`` of each group that has a command of the unknown name."""
    if exc.ctx is None or not isinstance(exc.ctx.command, click.Group):
        return []
    commands = []
    for name in exc.ctx.command.list_commands(exc.ctx):
        with contextlib.suppress(PlatformError):  # a group of the project, outside of one
            group = exc.ctx.command.get_command(exc.ctx, name)
            if isinstance(group, click.Group) and exc.command_name in group.commands:
                commands.append(f"{name} {exc.command_name}")
    return commands


_ID = re.compile(r"latest|[0-9a-f]{4,36}")
"""What somebody types who means a run or a request."""


def _command(exc: click.ClickException, prog: str, words: Sequence[str]) -> str:
    """The command that complains; click does not always say, then the words before any option."""
    context = getattr(exc, "ctx", None)
    if context:
        return context.command_path
    return " ".join([prog, *itertools.takewhile(lambda word: not word.startswith("-"), words)])


def _as_json(word: str) -> list[str]:
    return ["-o", "json"] if word == "--json" else [word]


def _before_the_command(exc: click.ClickException, words: Sequence[str]) -> list[str]:
    """The words with an option of the program itself moved to the front; empty for any other."""
    context = getattr(exc, "ctx", None)
    if not isinstance(exc, click.exceptions.NoSuchOption) or not context:
        return []
    for option in context.find_root().command.params:
        if exc.option_name not in option.opts or not isinstance(option, click.Option):
            continue
        at = next((i for i, w in enumerate(words) if w.partition("=")[0] == exc.option_name), -1)
        if at < 0:
            return []
        length = 1 if option.is_flag or "=" in words[at] else 2
        return [*words[at : at + length], *words[:at], *words[at + length :]]
    return []


def _correction(exc: click.ClickException, words: Sequence[str]) -> tuple[str, str]:
    """The word that is wrong and the nearest one that is right, or two empty ones."""
    if isinstance(exc, click.exceptions.NoSuchCommand) and _meant_elsewhere(exc):
        return "", ""
    if isinstance(exc, click.exceptions.NoSuchOption | click.exceptions.NoSuchCommand):
        wrong = getattr(exc, "option_name", "") or getattr(exc, "command_name", "")
        return wrong, (exc.possibilities or [""])[0]
    parameter = exc.param if isinstance(exc, click.BadParameter) else None
    if parameter is None or isinstance(exc, click.MissingParameter):
        return "", ""
    values = words if isinstance(parameter, click.Argument) else _values(words, parameter.opts)
    for value in values:
        if near := _allowed(parameter.type, value):
            return value, near
    return "", ""


def _allowed(kind: click.ParamType, value: str) -> str:
    """The allowed value that is nearest to one that is not; "" where the value is right, or
    nothing is near."""
    if isinstance(kind, click.Choice):
        choices = [str(choice) for choice in kind.choices]
        return "" if value in choices else nearest(value, choices)
    if isinstance(kind, click.Path):
        path = Path(value)
        if not value or path.exists() or not path.parent.is_dir():
            return ""
        near = nearest(path.name, (entry.name for entry in path.parent.iterdir()))
        return str(path.with_name(near)) if near else ""
    if isinstance(kind, click.IntRange | click.FloatRange):
        with contextlib.suppress(ValueError):
            number = float(value)
            low = number if kind.min is None else max(number, kind.min)
            inside = low if kind.max is None else min(low, kind.max)
            return "" if inside == number else f"{inside:g}"
    return ""


def _values(words: Sequence[str], names: Sequence[str]) -> list[str]:
    """What an option was given: ``--name value``, ``--name=value`` or ``-nvalue``."""
    values = []
    for word, after in itertools.pairwise([*words, ""]):
        for name in names:
            if word == name:
                values.append(after)
            elif name.startswith("--") and word.startswith(f"{name}="):
                values.append(word.partition("=")[2])
            elif not name.startswith("--") and word.startswith(name):
                values.append(word[len(name) :])
    return values


def _replaced(words: Sequence[str], wrong: str, right: str) -> list[str]:
    """The words, the first ``wrong`` corrected: a word, a side of ``--name=value``, ``-nvalue``,
    or a part of ``NAME@alias`` or ``NAME/version``.

    Empty when it is in none of them.
    """
    for at, word in enumerate(words):
        name, equals, value = word.partition("=")
        parts = re.split(r"([@/:])", word)
        if word == wrong:
            better = right
        elif equals and name == wrong:
            better = f"{right}={value}"
        elif equals and word.startswith("--") and value == wrong:
            better = f"{name}={right}"
        elif word.startswith("-") and word[2:] == wrong:
            better = f"{word[:2]}{right}"
        elif wrong in parts:  # NAME@alias, NAME/version
            better = "".join(right if part == wrong else part for part in parts)
        else:
            continue
        return [*words[:at], better, *words[at + 1 :]]
    return []


def wants_json(words: Sequence[str]) -> bool:
    """Whether ``-o json`` was typed, in any of its spellings; known before click has parsed."""
    return "json" in _values(words, ("-o", "--output"))
