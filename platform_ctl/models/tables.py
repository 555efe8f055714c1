"""The table of single errors that an evaluation leaves beside its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from platform_ctl.recipe.scores import ERRORS_FILE


def columns(folder: Path) -> Mapping[str, Sequence[Any]]:
    """Column -> values, None where there is none. Empty without the file; ValueError for another
    kind of file."""
    path = folder / ERRORS_FILE
    if not path.is_file():
        return {}
    import pyarrow.parquet as pq

    return pq.read_table(path).to_pydict()
