"""click's own complaints as errors of the platform: the same four lines, with a command that runs.

The command is the one that was typed with the nearest word that exists, where one is near,
else the help of the command.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Sequence

import click

from platform_ctl.errors import UsageError, nearest


def usage_error(exc: click.ClickException, prog: str, words: Sequence[str]) -> UsageError:
    """``words`` are what followed ``prog`` on the command line."""
    path = _command(exc, prog, words)
    if moved := _before_the_command(exc, words):
        return UsageError(
            f"{moved[0].partition('=')[0]} stands before the command",
            where=path,
            fix=shlex.join([prog, *moved]),
        )
    wrong, right = _correction(exc, words)
    corrected = _replaced(words, wrong, right) if right else []
    what = exc.format_message()
    if isinstance(exc, click.exceptions.NoSuchOption) and exc.option_name == "--json":
        right, corrected = "-o json", [w for word in words for w in _as_json(word)]
    if isinstance(exc, click.exceptions.NoSuchOption | click.exceptions.NoSuchCommand):
        what = exc.message.rstrip(".") + (f"; did you mean {right!r}?" if right else "")
    return UsageError(
        what[:1].lower() + what[1:].rstrip("."),
        where=path,
        fix=shlex.join([prog, *corrected]) if corrected else f"{path} --help",
    )


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
    if isinstance(exc, click.exceptions.NoSuchOption | click.exceptions.NoSuchCommand):
        wrong = getattr(exc, "option_name", "") or getattr(exc, "command_name", "")
        return wrong, (exc.possibilities or [""])[0]
    option = exc.param if isinstance(exc, click.BadParameter) else None
    if isinstance(option, click.Option) and isinstance(option.type, click.Choice):
        choices = [str(choice) for choice in option.type.choices]
        for value in _values(words, option.opts):
            near = nearest(value, choices)
            if value not in choices and near:
                return value, near
    return "", ""


def _values(words: Sequence[str], names: Sequence[str]) -> list[str]:
    """What an option was given: ``--name value``, ``--name=value`` or ``-nvalue``."""
    found = []
    for word, after in itertools.pairwise([*words, ""]):
        for name in names:
            if word == name:
                found.append(after)
            elif name.startswith("--") and word.startswith(f"{name}="):
                found.append(word.partition("=")[2])
            elif not name.startswith("--") and word.startswith(name):
                found.append(word[len(name) :])
    return found


def _replaced(words: Sequence[str], wrong: str, right: str) -> list[str]:
    """The words, the first ``wrong`` corrected: a word, a side of ``--name=value``, or ``-nvalue``.

    Empty when it is in none of them.
    """
    for at, word in enumerate(words):
        name, equals, value = word.partition("=")
        if word == wrong:
            better = right
        elif equals and name == wrong:
            better = f"{right}={value}"
        elif equals and word.startswith("--") and value == wrong:
            better = f"{name}={right}"
        elif word.startswith("-") and word[2:] == wrong:
            better = f"{word[:2]}{right}"
        else:
            continue
        return [*words[:at], better, *words[at + 1 :]]
    return []


def wants_json(words: Sequence[str]) -> bool:
    """Whether ``-o json`` was typed, in any of its spellings; known before click has parsed."""
    return "json" in _values(words, ("-o", "--output"))
