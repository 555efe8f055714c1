"""A sample history with the texture of real projects: deterministic for a seed.

How it is made, for each of 24 repositories and each of 182 weeks:

* **People.** A pool of authors with skewed appetites (log-normal). Each is
  active or not in a week, a two-state Markov chain, so that who was here last
  week says something about next week. Authors join as the project grows.
* **Energy.** A slow log-rate that all authors of a repository share: AR(1)
  around a level, plus a linear growth or decline, plus one or two regime
  changes (a release announced, a sponsor lost).
* **Rhythm.** Release cycles of 5 to 9 weeks: work piles up before, and falls
  off after. Holidays: late December, a shallower August.
* **Noise.** Commits of an active author are gamma-Poisson (over-dispersed).
  Bursts: now and then one author lands a long branch, many small commits in
  one week that say nothing about the next.
* **Ends.** Four repositories die part-way; four begin late.

So last week is a noisy witness (bursts, over-dispersion), the four-week mean a
slow one (cycles, holidays, regime changes), and who was active, the churn and
the season tell more than either. The generator is frozen: its constants are
part of the sample's meaning, not knobs. ``RandomState`` is used because NumPy
guarantees its streams for ever.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from platform_ctl.recipe.datasets import Ingested, IngestReport, Progress, no_progress
from platform_ctl.recipe.recipe import DataAccess
from recipes.common import iceberg
from recipes.train_deploy import names, tables
from recipes.train_deploy.ingest import pseudonymiser
from recipes.train_deploy.tables import RepoObservation

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

DEFAULT_SEED = 7
WEEKS = 182
ENDS_AT = datetime(2026, 3, 2, tzinfo=UTC)
"""The Monday up to which the sample vouches for its repositories."""
NAMES = (
    "atlas", "beacon", "cedar", "drift", "ember", "fjord", "garnet", "harbor",
    "iris", "juniper", "kestrel", "lumen", "meadow", "nimbus", "onyx", "pine",
    "quartz", "rowan", "saffron", "thistle", "umber", "vesper", "willow", "zephyr",
)  # fmt: skip
_WEEK_S = 7 * 86_400
_WEEKDAY_SHARE = (0.19, 0.20, 0.19, 0.18, 0.15, 0.05, 0.04)
_HOUR_PEAK, _HOUR_SPREAD = 14.5, 3.6


class _Repo(NamedTuple):
    name: str
    first_week: int
    last_week: int
    energy: np.ndarray
    authors: int


def generate(seed: int) -> pa.Table:
    """Every commit of the sample, oldest first within a repository.

    Columns: repo, hash, author (a made-up e-mail), committed_at (epoch s),
    files_changed, insertions, deletions.
    """
    import numpy as np
    import pyarrow as pa

    rng = np.random.RandomState(seed)
    parts = []
    for index, name in enumerate(NAMES):
        repo = _repository(rng, index, name, seed)
        parts.append(_commits(rng, repo, _author_weeks(rng, repo), seed))
    return pa.concat_tables(parts)


def repo_name(name: str, seed: int) -> str:
    """Samples of other seeds are other repositories, so that two never mix."""
    return f"sample/{name}" if seed == DEFAULT_SEED else f"sample-{seed}/{name}"


def _repository(rng: np.random.RandomState, index: int, name: str, seed: int) -> _Repo:
    """When it lives, and its energy (a factor on everybody's rate) for each week."""
    import numpy as np

    first = int(rng.randint(30, 80)) if index % 6 == 1 else 0
    last = int(rng.randint(70, 140)) if index % 6 == 4 else WEEKS
    week = np.arange(WEEKS)
    level = np.zeros(WEEKS)
    shock = rng.normal(0, 0.16, WEEKS)
    for t in range(1, WEEKS):
        level[t] = 0.90 * level[t - 1] + shock[t]
    trend = rng.normal(0.25, 0.45) * (week - WEEKS / 2) / WEEKS
    for _ in range(rng.randint(1, 3)):
        level = level + np.where(week >= rng.randint(20, WEEKS - 10), rng.choice([-0.6, 0.55]), 0)
    period, phase = rng.randint(5, 10), rng.rand()
    to_release = (week / period + phase) % 1.0
    cycle = 0.55 * (to_release - 0.5) - 0.75 * (to_release < 1.0 / period)
    if last < WEEKS:
        level = level - np.clip((week - last + 12) / 12, 0, None) * 1.5
    energy = np.exp(level + trend + cycle) * _holiday_factor(week)
    authors = int(np.clip(rng.lognormal(2.3, 0.55), 4, 34))
    return _Repo(repo_name(name, seed), first, last, energy, authors)


def _holiday_factor(week: np.ndarray) -> np.ndarray:
    """Late December and the first days of January, and a shallower August."""
    import numpy as np

    start_s = int(ENDS_AT.timestamp()) - WEEKS * _WEEK_S
    middle_of_week = (start_s + week * _WEEK_S + _WEEK_S // 2).astype("datetime64[s]")
    year_start = middle_of_week.astype("datetime64[Y]")
    day = (middle_of_week - year_start).astype("timedelta64[D]").astype(int)
    december = np.where((day >= 354) | (day <= 3), 0.35, 1.0)
    return december * np.where((day >= 213) & (day < 241), 0.75, 1.0)


def _author_weeks(rng: np.random.RandomState, repo: _Repo) -> np.ndarray:
    """Commits of each author in each week, shape (weeks, authors)."""
    import numpy as np

    appetite = rng.lognormal(1.2, 0.7, repo.authors)
    loyalty = rng.uniform(0.72, 0.95, repo.authors)
    comeback = rng.uniform(0.06, 0.30, repo.authors)
    founders = max(2, repo.authors // 3)
    joined = np.r_[np.zeros(founders), rng.uniform(0, WEEKS * 0.8, repo.authors - founders)]
    joined = joined + repo.first_week
    active = rng.rand(repo.authors) < 0.6
    counts = np.zeros((WEEKS, repo.authors), dtype=int)
    for week in range(repo.first_week, min(repo.last_week, WEEKS)):
        draw = rng.rand(repo.authors)
        active = np.where(active, draw < loyalty, draw < comeback)
        here = active & (joined <= week)
        mood = rng.gamma(2.2, 1 / 2.2, repo.authors)
        counts[week] = rng.poisson(appetite * repo.energy[week] * mood) * here
        if rng.rand() < 0.035:
            counts[week, rng.randint(repo.authors)] += rng.randint(15, 70)
    return counts


def _commits(rng: np.random.RandomState, repo: _Repo, counts: np.ndarray, seed: int) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    week, author = (np.repeat(axis.ravel(), counts.ravel()) for axis in np.indices(counts.shape))
    size = len(week)
    day = rng.choice(7, size, p=_WEEKDAY_SHARE)
    hour = np.clip(rng.normal(_HOUR_PEAK, _HOUR_SPREAD, size), 0, 23.99)
    start_s = int(ENDS_AT.timestamp()) - WEEKS * _WEEK_S
    seconds = start_s + week * _WEEK_S + day * 86_400 + (hour * 3600).astype(int)
    order = np.argsort(seconds, kind="stable")
    lines = rng.lognormal(3.0, 1.4, size).astype(int)
    removed = (lines * rng.beta(1.2, 2.2, size)).astype(int)
    merge = rng.rand(size) < 0.12
    prefix = f"{seed}:{repo.name}:"
    hashes = [hashlib.sha1(f"{prefix}{i}".encode()).hexdigest() for i in range(size)]
    mails = [f"author{i}@{repo.name.replace('/', '.')}.example" for i in range(repo.authors)]
    return pa.table(
        {
            "repo": pa.repeat(pa.scalar(repo.name), size),
            "hash": hashes,
            "author": pa.DictionaryArray.from_arrays(pa.array(author[order], pa.int32()), mails),
            "committed_at": seconds[order],
            "files_changed": np.where(merge, 0, 1 + lines // 25).astype("int32"),
            "insertions": np.where(merge, 0, lines).astype("int32"),
            "deletions": np.where(merge, 0, removed).astype("int32"),
        }
    )


def ingest_sample(
    data: DataAccess,
    seed: int = DEFAULT_SEED,
    now: datetime | None = None,
    progress: Progress = no_progress,
) -> IngestReport:
    """Put the sample into the commits table, as a backfill; nothing when it is there already.

    Raises HomeBusy, DiskFull.
    """
    now = now or datetime.now(UTC)
    ends_s, now_s = int(ENDS_AT.timestamp()), int(now.timestamp())
    with tables.exclusive(data, "data"):
        table = iceberg.load_or_create(data, names.COMMITS, tables.commits_schema(), "committed_at")
        current = table.current_snapshot()
        present = tables.timelines(table, current.snapshot_id if current else None)
        repos = [repo_name(name, seed) for name in NAMES]
        missing = [repo for repo in repos if repo not in present]
        progress("making the sample", 0, 0)
        commits = generate(seed)
        rows = _rows(commits, missing, now_s, pseudonymiser(data))
        observed = {
            repo: RepoObservation(head=f"seed {seed}", at=now_s, until=ends_s, last=last)
            for repo, last in _last_commits(rows).items()
        }
        snapshot_id = tables.append(table, rows, observed) if observed else None
    counts = Counter(commits["repo"].to_pylist())
    ingested = tuple(_ingested(repo, counts[repo], repo in missing, seed) for repo in repos)
    return IngestReport(names.COMMITS, snapshot_id, now, ingested)


def _ingested(repo: str, rows: int, new: bool, seed: int) -> Ingested:
    return Ingested(
        name=repo,
        path=f"sample, seed {seed}",
        new_rows=rows if new else 0,
        known_rows=0 if new else rows,
        backfill=new,
        observed_until=ENDS_AT,
    )


def _rows(
    commits: pa.Table, repos: list[str], now_s: int, pseudonym: Callable[[bytes], str]
) -> pa.Table:
    """Sample commits as rows of the commits table."""
    import pyarrow as pa
    import pyarrow.compute as pc

    commits = commits.filter(pc.is_in(commits["repo"], pa.array(repos, pa.string())))
    mails = commits["author"].unify_dictionaries().combine_chunks()
    names = pa.array([pseudonym(m.encode()) for m in mails.dictionary.to_pylist()], pa.string())
    moment = pa.timestamp("us", "UTC")
    committed_at = pc.multiply(commits["committed_at"], 1_000_000).cast(moment)
    rows = pa.table(
        {
            "repo": commits["repo"],
            "hash": commits["hash"],
            "author": names.take(mails.indices),
            "committed_at": committed_at,
            "ingested_at": pa.repeat(pa.scalar(now_s * 1_000_000, moment), len(mails)),
            "available_at": committed_at,
            "files_changed": commits["files_changed"],
            "insertions": commits["insertions"],
            "deletions": commits["deletions"],
            "backfill": pa.repeat(pa.scalar(True), len(mails)),
        }
    )
    return rows.cast(tables.commits_schema().as_arrow())


def _last_commits(rows: pa.Table) -> dict[str, int]:
    grouped = rows.group_by("repo").aggregate([("committed_at", "max")])
    return {r["repo"]: int(r["committed_at_max"].timestamp()) for r in grouped.to_pylist()}
