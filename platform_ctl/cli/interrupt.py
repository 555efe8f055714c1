"""Ctrl-C while a command follows work that another process does: it ends the command alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from platform_ctl.cli.printing import print_line


@contextlib.contextmanager
def goes_on(run_id: str, *, stop: str = "") -> Iterator[None]:
    """On Ctrl-C, say that the run goes on, how to follow it again and how to stop it.

    ``stop``: the command that stops it, where that is not ``run cancel``.
    """
    try:
        yield
    except KeyboardInterrupt:
        print_line(err=True)
        print_line(f"run {run_id[:8]} goes on without this command", err=True)
        for line in how_to_follow(run_id, stop=stop):
            print_line(line, err=True)
        raise


def how_to_follow(run_id: str, *, stop: str = "") -> tuple[str, str]:
    """Two lines: the command that follows a run, the one that stops it."""
    short = run_id[:8]
    return (
        f"follow it: platform-ctl run watch {short}",
        f"stop it:   {stop or f'platform-ctl run cancel {short}'}",
    )
