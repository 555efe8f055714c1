"""Samples as Prometheus reads them: as text, or over HTTP at ``/metrics``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from threading import Lock

from prometheus_client import (
    CollectorRegistry,
    ProcessCollector,
    generate_latest,
    start_http_server,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from platform_ctl.metrics import catalogue as metrics
from platform_ctl.metrics.catalogue import Histogram, MetricType, Sample
from platform_ctl.metrics.collect_metrics import Scrape
from platform_ctl.text import visible

_FAMILIES = {
    MetricType.COUNTER: CounterMetricFamily,
    MetricType.GAUGE: GaugeMetricFamily,
    MetricType.HISTOGRAM: HistogramMetricFamily,
}


def text(scrape: Scrape) -> str:
    """Prometheus' text format, for a textfile collector."""
    registry = CollectorRegistry()
    registry.register(_Scraped(lambda: scrape))
    return generate_latest(registry).decode()


def serve(scrape: Callable[[], Scrape], host: str, port: int) -> MetricsServer:
    """Answer scrapes from now on. Raises OSError when the port cannot be used."""
    registry = CollectorRegistry()
    registry.register(_Scraped(_announcing(scrape)))
    ProcessCollector(registry=registry)  # what the scrapes themselves cost
    server, thread = start_http_server(port, addr=host, registry=registry)
    return MetricsServer(f"http://{host}:{server.server_port}/metrics", thread.join)


@dataclass(frozen=True)
class MetricsServer:
    """Answers in a thread of its own, for as long as the process lives."""

    url: str
    wait: Callable[[], None]
    """Until the thread ends."""


class _Scraped(Collector):
    """Asks anew at each scrape, one at a time."""

    def __init__(self, scrape: Callable[[], Scrape]) -> None:
        self._scrape, self._lock = scrape, Lock()

    def describe(self) -> list[Metric]:
        """Nothing: registering must not read the home."""
        return []

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            samples = self._scrape().samples
        for metric, some in metrics.by_metric(samples):
            yield _family(metric, some)


def _family(metric: metrics.MetricFamily, samples: Iterable[Sample]) -> Metric:
    family = _FAMILIES[metric.kind](metric.name, metric.help, labels=metric.labels)
    for sample in samples:
        if isinstance(sample.value, Histogram):
            buckets = [(floatToGoString(bound), count) for bound, count in sample.value.counts]
            family.add_metric(sample.labels, buckets, sample.value.total)
        else:
            family.add_metric(sample.labels, sample.value)
    return family


def _announcing(scrape: Callable[[], Scrape]) -> Callable[[], Scrape]:
    """Says on stderr what cannot be read, once for as long as it lasts."""
    known: dict[str, str] = {}

    def announced() -> Scrape:
        current = scrape()
        for source, problem in current.problems.items():
            if known.get(source) != problem:
                sys.stderr.write(visible(f"{source}: {problem}") + "\n")
        known.clear()
        known.update(current.problems)
        return current

    return announced
