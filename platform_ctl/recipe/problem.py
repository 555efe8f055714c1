"""One thing that keeps a recipe from running, and where."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RecipeProblem:
    """``line`` 0: of the file as a whole, or of one that is not there."""

    file: str
    line: int
    what: str
