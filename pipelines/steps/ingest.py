"""New data of a recipe's source, into its table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from platform_ctl import targets


def run(ingest: Callable[..., Any], paths: list[str]) -> tuple[int, str]:
    """-> rows that were new, one line about them. The same ingest twice adds nothing."""
    access = targets.data_access(targets.current_settings())
    arguments = {"paths": [Path(path) for path in paths]} if paths else {}
    report = ingest(access, now=datetime.now(UTC), **arguments)
    known = sum(part.known_rows for part in report.parts)
    return report.new_rows, f"{report.new_rows} new rows and {known} known ones in {report.table}"
