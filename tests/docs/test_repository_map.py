"""The README's map names what is there, and all of it."""

from __future__ import annotations

import re
import subprocess

from tests.support.pages import ROOT

BEGIN, END = "<!-- map -->", "<!-- /map -->"


def test_the_map_lists_exactly_what_git_holds() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    text = readme.partition(BEGIN)[2].partition(END)[0]
    listed = re.findall(r"^(\S+) {2,}\S", text, re.MULTILINE)
    held = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    top = {f"{name.split('/')[0]}/" if "/" in name else name for name in held}
    assert sorted(listed) == sorted(top)
