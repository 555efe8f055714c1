"""Distributed compute for training and search: one Ray for a whole run."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol


class Training(Protocol):
    """Connects a step to its run's Ray, and ends that Ray with the run."""

    def connect(self) -> AbstractContextManager[None]:
        """While inside, ``ray`` is connected in this process.

        The first step of a run that needs Ray starts it; later ones find it.
        Raises RayUnavailable when it does not come up.
        """

    def stop(self, run_dir: Path) -> None:
        """End the Ray of that run, if there is one. Idempotent."""
