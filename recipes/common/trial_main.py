"""``python -m recipes.NAME.train``: one trial as the command of a Katib Job."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def main(trial: Callable[..., Mapping[str, float]], argv: Sequence[str] | None = None) -> int:
    """Run ``--rows=PATH --NAME=VALUE…`` and print ``name=value`` lines, as Katib's StdOut
    collector reads them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", required=True, help="parquet file that extract wrote")
    known, rest = parser.parse_known_args(argv)
    params: dict[str, Any] = {}
    for word in rest:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not equals:
            parser.error(f"not --NAME=VALUE: {word}")
        params[name.replace("-", "_")] = value

    def write(figures: Mapping[str, float]) -> None:
        line = " ".join(f"{name}={value:.6g}" for name, value in figures.items())
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    write(trial(params, known.rows))
    return 0
