"""One scrape: ask every source, and let none take the others' figures with it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from platform_ctl.errors import PlatformError
from platform_ctl.metrics import catalogue as metrics
from platform_ctl.metrics.catalogue import Sample
from platform_ctl.metrics.port import Metrics


@dataclass(frozen=True)
class Scrape:
    samples: tuple[Sample, ...]
    problems: dict[str, str] = field(default_factory=dict)
    """Source -> why it could not be read."""


def collect(sources: Sequence[Metrics], version: str) -> Scrape:
    """Samples of all sources now. Never raises: a source that fails says so by a metric."""
    samples: list[Sample] = [metrics.BUILD.of(version, value=1)]
    problems: dict[str, str] = {}
    now = time.time()
    for source in sources:
        begun = time.perf_counter()
        try:
            samples.extend(list(source.samples(now)))  # all of a source, or nothing
        except Exception as exc:  # noqa: BLE001 - a damaged file must not blind the rest
            problems[source.name] = _why(exc)
        took_s = time.perf_counter() - begun
        samples.append(metrics.SOURCE_UP.of(source.name, value=source.name not in problems))
        samples.append(metrics.SOURCE_DURATION.of(source.name, value=took_s))
    return Scrape(tuple(samples), problems)


def _why(exc: Exception) -> str:
    if isinstance(exc, PlatformError):
        return f"{exc.what} ({exc.fix})"
    return f"{type(exc).__name__}: {exc}"
