"""The platform names no recipe's problem: not in its code, its messages or its pages."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
WORDS = re.compile(
    r"\bmase\b|last_week|last week|mean_4w|naive|dormant|\brepos?\b|\bweeks?\b|\bcommits\b",
    re.IGNORECASE,
)
OWN = {
    # Cron has days of the week.
    *(str(p.relative_to(ROOT)) for p in (ROOT / "platform_ctl/schedules").rglob("*.py")),
    # The weekly log is of the platform: its weeks are those of the calendar.
    "platform_ctl/report/weekly.py",
    "platform_ctl/cli/report.py",
    "platform_ctl/report/__init__.py",
    # The examples in a command's help are of the recipe that the project comes with.
    "platform_ctl/cli/data.py",
}


def test_the_platform_speaks_the_recipes_names():
    files = (p for kind in ("*.py", "*.html", "*.css") for p in (ROOT / "platform_ctl").rglob(kind))
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted(files)
        if str(path.relative_to(ROOT)) not in OWN
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if WORDS.search(line)
    ]
    assert found == []
