"""Defines metrics of a part of the home, which are read at each scrape."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from platform_ctl.metrics.catalogue import Sample


class Metrics(Protocol):
    """One source of samples. It only reads, and waits for nobody longer than a second."""

    name: str
    """Value of the label ``source``."""

    def samples(self, now: float) -> Iterable[Sample]:
        """What there is to tell at ``now`` (seconds since the epoch); nothing of an empty home.

        Raises whatever its library raises when the part cannot be read.
        """
        ...
