"""Where searches live, and finding one by the Experiment's name or by its run."""

from __future__ import annotations

from pathlib import Path

from platform_ctl.errors import NothingYet, unknown
from platform_ctl.settings import HomeLayout

FOLDER = "tuning"
"""Name of a search's folder inside a run's, and of the folder of searches inside a home."""


def search_dir(layout: HomeLayout, name: str) -> Path:
    """Working directory of the Experiment ``name`` that was run on its own."""
    return layout.root / FOLDER / name


def find_search(layout: HomeLayout, reference: str) -> Path:
    """The working directory of an Experiment's name, a run id, its unique prefix, or ``latest``.

    Raises UnknownName, naming what is near, or NothingYet.
    """
    named = search_dir(layout, reference)
    if named.is_dir():
        return named
    of_runs = {p.parent.name: p for p in layout.runs.glob(f"*/{FOLDER}") if p.is_dir()}
    of_names = {p.name: p for p in (layout.root / FOLDER).glob("*") if p.is_dir()}
    if reference == "latest" and (of_runs or of_names):
        return max([*of_runs.values(), *of_names.values()], key=lambda p: p.stat().st_mtime)
    matching = [path for run_id, path in of_runs.items() if run_id.startswith(reference)]
    if len(matching) == 1:
        return matching[0]
    if not of_runs and not of_names:
        raise NothingYet(
            f"there is no search yet, so there is no {reference!r}",
            where=str(layout.root),
            fix="platform-ctl experiment run FILE",
        )
    known = sorted({*of_names, *of_runs})
    raise unknown(
        f"{'several runs' if matching else 'no search'} called {reference!r}",
        reference,
        known,
        where=str(layout.root),
        fix="platform-ctl experiment show {}",
        otherwise=f"platform-ctl experiment show {known[0]}",
    )
