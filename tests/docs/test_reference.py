"""The generated pages are what the code says today."""

from __future__ import annotations

import difflib
import json
import subprocess
import sys
from pathlib import Path

from platform_ctl.cli import reference
from tests.support.pages import ROOT

PRINT_PAGES = """
import json, pathlib
from platform_ctl.cli import reference
print(json.dumps({str(p): text for p, text in reference.pages(pathlib.Path(".")).items()}))
"""


def pages_of_a_new_process() -> dict[Path, str]:
    """As ``make docs`` sees them: click remembers the context that a command was first used in."""
    printed = subprocess.run(
        [sys.executable, "-c", PRINT_PAGES], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    return {ROOT / path: text for path, text in json.loads(printed).items()}


def test_generated_pages_are_current() -> None:
    stale = []
    for path, wanted in pages_of_a_new_process().items():
        have = path.read_text(encoding="utf-8") if path.is_file() else ""
        diff = difflib.unified_diff(
            have.splitlines(), wanted.splitlines(), "committed", "generated", lineterm="", n=1
        )
        stale += [f"{path.relative_to(ROOT)}:", *list(diff)[:20]] if have != wanted else []
    assert not stale, "\n".join(["run `make docs` and commit what it writes:", *stale])


def test_generating_twice_gives_the_same_bytes() -> None:
    assert reference.pages(ROOT) == reference.pages(ROOT)


def test_nothing_else_lives_among_the_reference_pages() -> None:
    generated = {p for p in reference.pages(ROOT) if p.parent.name == "reference"}
    assert set((ROOT / "docs" / "reference").iterdir()) == generated


def test_the_longest_command_is_found_in_a_line() -> None:
    words = ["platform-ctl", "config", "show", "--origin"]
    assert reference.command_path(words) == "platform-ctl config show"
    assert reference.command_path(["platform-ctl", "doctor", "-o", "json"]) == "platform-ctl doctor"
