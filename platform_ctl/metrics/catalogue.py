"""Every metric of the platform: names by Prometheus' conventions, and what a sample of one is.

Names have the prefix ``platform_``, base units, and ``_total`` on what only goes
up. Moments are exported as moments (``_timestamp_seconds``), never as ages: who
asks knows what time it is. Labels are names that somebody wrote into a file
(pipelines, tasks, models, services, tables) or words of a fixed list, never ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class MetricType(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Histogram:
    """``counts`` are (upper bound, observations at or below it), ascending, up to +Inf."""

    counts: tuple[tuple[float, int], ...]
    total: float
    """Sum of what was observed."""


@dataclass(frozen=True)
class Sample:
    """One value of a metric, for one combination of label values."""

    metric: MetricFamily
    labels: tuple[str, ...]
    value: float | Histogram


@dataclass(frozen=True)
class MetricFamily:
    name: str
    kind: MetricType
    help: str
    labels: tuple[str, ...] = ()

    def of(self, *labels: str, value: float | Histogram) -> Sample:
        """A sample; ``labels`` in the order of the metric's own."""
        if len(labels) != len(self.labels):
            raise ValueError(f"{self.name} has labels {self.labels}, not {labels}")
        return Sample(self, labels, value)


def _counter(name: str, help_: str, *labels: str) -> MetricFamily:
    return MetricFamily(f"platform_{name}", MetricType.COUNTER, help_, labels)


def _gauge(name: str, help_: str, *labels: str) -> MetricFamily:
    return MetricFamily(f"platform_{name}", MetricType.GAUGE, help_, labels)


# ---- runs and tasks ---------------------------------------------------------

RUNS = _counter(
    "runs_total", "Runs that ended; one that is resumed ends again.", "pipeline", "state"
)
RUN_LAST_END = _gauge(
    "run_last_end_timestamp_seconds",
    "When a run of the pipeline last ended in this state.",
    "pipeline",
    "state",
)
RUN_LAST_DURATION = _gauge(
    "run_last_duration_seconds",
    "From start to end of the run that last ended in this state.",
    "pipeline",
    "state",
)
TRAINING_NEWEST_ROW = _gauge(
    "training_newest_row_timestamp_seconds",
    "Time of the newest row that the newest evaluated model of the pipeline was trained on.",
    "pipeline",
)
TRAINING_AGE_LIMIT = _gauge(
    "training_age_limit_seconds", "Maximum age of that row by the recipe.", "pipeline"
)
RUNS_OPEN = _gauge("runs_open", "Runs that have not ended.", "pipeline", "state")
RUNS_ORPHANED = _gauge(
    "runs_orphaned", "Runs that have not ended though their process is gone.", "pipeline"
)
TASKS = _counter("tasks_total", "Tasks that ended.", "pipeline", "task", "state")
TASK_DURATION = MetricFamily(
    "platform_task_duration_seconds",
    MetricType.HISTOGRAM,
    "Wall time of executed tasks; cached ones are not in it.",
    ("pipeline", "task"),
)
VERDICTS = _counter(
    "verdicts_total",
    "Verdicts of gates, analyses and registrations.",
    "pipeline",
    "task",
    "verdict",
)
VERDICT_LAST = _gauge(
    "verdict_last_timestamp_seconds",
    "When the task last gave this verdict.",
    "pipeline",
    "task",
    "verdict",
)

# ---- cache and cost ---------------------------------------------------------

CACHE_LOOKUPS = _counter(
    "cache_lookups_total",
    "Answers of the step cache: hit, miss, or bypass where caching is off.",
    "pipeline",
    "result",
)
CACHE_QUARANTINES = _counter(
    "cache_quarantines_total", "Entries that were quarantined because their bytes had changed."
)
CACHE_SAVED_WALL = _counter(
    "cache_saved_seconds_total", "Wall time of the work that hits replaced.", "pipeline"
)
CACHE_SAVED_CPU = _counter(
    "cache_saved_cpu_seconds_total", "CPU time of the work that hits replaced.", "pipeline"
)
CACHE_SAVED_MONEY = _counter(
    "cache_saved_money_total", "Cost of the work that hits replaced.", "pipeline"
)
COST_CPU = _counter("cost_cpu_seconds_total", "CPU time that runs used.", "pipeline", "kind")
COST_MONEY = _counter(
    "cost_money_total", "What runs cost, in the currency of money_per_cpu_hour.", "pipeline", "kind"
)
TRIALS = _counter("trials_total", "Trials of hyperparameter searches.", "pipeline")

# ---- searches ---------------------------------------------------------------

SEARCHES_RUNNING = _gauge(
    "searches_running", "Hyperparameter searches under way in open runs.", "pipeline"
)
SEARCH_PROGRESS = _gauge(
    "search_last_progress_timestamp_seconds",
    "When a trial last changed, in the running search where that is longest ago.",
    "pipeline",
)

# ---- approvals and releases -------------------------------------------------

APPROVALS = _gauge("approvals", "Approval requests by state.", "model", "state")
APPROVAL_OLDEST = _gauge(
    "approval_oldest_pending_timestamp_seconds",
    "When the request that has waited longest was made.",
    "model",
)
APPROVAL_EXPIRY = _gauge(
    "approval_next_expiry_timestamp_seconds",
    "When the first pending request expires, which means no.",
    "model",
)
PROMOTION_SINCE = _gauge(
    "promotion_pending_since_timestamp_seconds",
    "Since when the newest approved version waits for its promotion.",
    "model",
)
RELEASES = _counter(
    "releases_total", "Releases that ended: promoted or rolled_back.", "service", "outcome"
)
CANARY_WEIGHT = _gauge(
    "canary_weight_ratio",
    "Share of the traffic that the canary has: weight_percent / 100, 0 without one.",
    "service",
)
CANARY_VERDICTS = _counter(
    "canary_verdicts_total",
    "Verdicts of the canary's analysis, one for each analysis.",
    "service",
    "verdict",
)
CANARY_HELD = _gauge(
    "canary_held_since_timestamp_seconds",
    "Since when an inconclusive canary waits for a human.",
    "service",
)
CANARY_ROLLBACK = _gauge(
    "canary_last_rollback_timestamp_seconds",
    "When a canary was last rolled back.",
    "service",
)
SERVICE_UP = _gauge(
    "inference_service_up",
    "1 while the InferenceService's supervisor runs, 0 when it died; stopped ones have none.",
    "service",
)

# ---- data and lineage -------------------------------------------------------

TABLE_SNAPSHOT = _gauge(
    "table_last_snapshot_timestamp_seconds",
    "When the table was last written: the last ingest that added rows.",
    "table",
)
TABLE_ROWS = _gauge("table_rows", "Rows of the table's newest snapshot.", "table")
TABLE_NEWEST = _gauge(
    "table_newest_record_timestamp_seconds",
    "Time of the newest record in the table, by its recipe.",
    "table",
)
LINEAGE_WAITING = _gauge(
    "lineage_events_waiting", "Events not delivered yet; 0 without an endpoint."
)
LINEAGE_OLDEST = _gauge(
    "lineage_oldest_waiting_timestamp_seconds", "Time of the first event that waits."
)
LINEAGE_REFUSED = _gauge("lineage_events_refused", "Events that the endpoint refused for good.")

# ---- schedules --------------------------------------------------------------

SCHEDULE_DRIFT = _gauge(
    "schedule_drift", "Changes that an apply of the team's files would make.", "team"
)
SCHEDULE_NEXT = _gauge(
    "schedule_next_fire_timestamp_seconds",
    "The slot that fires next; in the past when it is late or held.",
    "team",
    "schedule",
)
SCHEDULE_LAST = _gauge(
    "schedule_last_fire_timestamp_seconds", "The slot that fired last.", "team", "schedule"
)
SCHEDULE_SLOTS = _counter(
    "schedule_slots_total",
    "Slots that were fired, held by max_concurrency, or left out because they were missed.",
    "team",
    "schedule",
    "outcome",
)
SCHEDULE_SUPPRESSED = _counter(
    "schedule_triggers_suppressed_total",
    "Evaluations in which a true condition started no run.",
    "team",
    "schedule",
    "reason",
)
SCHEDULE_HEARTBEAT = _gauge(
    "schedule_engine_heartbeat_timestamp_seconds", "When the engine last checked what is due."
)

# ---- the exporter itself ----------------------------------------------------

BUILD = _gauge("build_info", "1, with the version of the platform.", "version")
SOURCE_UP = _gauge(
    "metrics_source_up", "Whether this part of the home could be read at this scrape.", "source"
)
SOURCE_DURATION = _gauge(
    "metrics_source_duration_seconds", "How long reading it took at this scrape.", "source"
)

CATALOGUE: tuple[MetricFamily, ...] = tuple(
    v for v in vars().values() if isinstance(v, MetricFamily)
)
"""All of them, in the order of this page."""


def by_metric(samples: Iterable[Sample]) -> list[tuple[MetricFamily, Sequence[Sample]]]:
    """Samples of each metric together, metrics in the order of the catalogue."""
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.metric.name, []).append(sample)
    return [(metric, by_name[metric.name]) for metric in CATALOGUE if metric.name in by_name]


def cumulative(counts: Iterable[tuple[float, int]], total: float) -> Histogram:
    """From observations in each bucket, ascending, to observations at or below each bound."""
    running, summed = 0, []
    for bound, count in counts:
        running += count
        summed.append((bound, running))
    return Histogram(tuple(summed), total)
