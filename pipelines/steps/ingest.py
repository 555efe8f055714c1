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
    report = ingest(access, now=datetime.now(UTC), progress=lambda line: print(line), **arguments)
    return report.appended, f"{report.appended} new rows, {report.already_there} known ones"
