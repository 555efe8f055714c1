"""Every page: its commands exist, its links resolve, and so do the fixes that errors print."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.support.pages import (
    GENERATED,
    ROOT,
    VALUE,
    calls,
    check_call,
    command_lines,
    page_id,
    pages,
)

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_INLINE = re.compile(r"`((?:platform-ctl|mlship) [^`]+)`")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@pytest.mark.parametrize("page", pages(), ids=page_id)
def test_commands_parse(page: Path) -> None:
    wrong = []
    for call in command_lines(page):
        try:
            check_call(call.text)
        except click.UsageError as exc:
            wrong.append(f"{page_id(page)}:{call.line}: {call.text}: {exc.format_message()}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", pages(), ids=page_id)
def test_commands_in_the_text_parse(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    if text.startswith(GENERATED):
        return
    wrong = []
    for call in _INLINE.findall(re.sub(r"^\s*```.*?^\s*```", "", text, flags=re.S | re.M)):
        try:
            check_call(call, complete=False)
        except click.UsageError as exc:
            wrong.append(f"{page_id(page)}: {call}: {exc.format_message()}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", pages(), ids=page_id)
def test_links_resolve(page: Path) -> None:
    dead = []
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in _anchors(file)):
            dead.append(target)
    assert not dead, f"{page_id(page)}: {dead}"


def test_the_list_of_pages_names_every_page() -> None:
    listing = ROOT / "docs" / "README.md"
    named = {
        (listing.parent / link.partition("#")[0]).resolve()
        for link in _LINK.findall(listing.read_text(encoding="utf-8"))
    }
    below = {p for p in pages() if listing.parent in p.parents} - {listing}
    by_an_index = {p for p in below if p.parent.name == "decisions" and p.name != "README.md"}
    missing = sorted(page_id(p) for p in below - by_an_index - named)
    assert not missing


def _anchors(page: Path) -> set[str]:
    headings = _HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", h).strip().lower().replace(" ", "-") for h in headings}


def fixes() -> Iterator[tuple[str, str]]:
    """(where, fix) of every ``fix=`` in the code that names one of our programs."""
    for package in ("platform_ctl", "recipes", "pipelines"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.keyword) and node.arg == "fix":
                    text = _text(node.value)
                    if text.startswith(("platform-ctl", "mlship")):
                        yield f"{path.relative_to(ROOT)}:{node.value.lineno}", text


def _text(node: ast.expr) -> str:
    """A string literal, with ``VALUE`` for what an f-string fills in; '' for anything else."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(v.value) if isinstance(v, ast.Constant) else VALUE for v in node.values)
    return ""


@pytest.mark.parametrize(("where", "fix"), list(fixes()), ids=lambda value: str(value)[:60])
def test_the_fix_of_an_error_can_be_typed(where: str, fix: str) -> None:
    typed = list(calls(fix))
    assert typed, f"{where}: {fix!r} is no command"
    for call in typed:
        try:
            check_call(call)
        except click.UsageError as exc:
            pytest.fail(f"{where}: {fix}: {exc.format_message()}")
