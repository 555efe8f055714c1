"""The weekly log: what the records say about seven days, as figures and as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from platform_ctl.approvals.request import ApprovalRequest
from platform_ctl.models.model import AliasMove
from platform_ctl.runs.budget import LedgerEntry
from platform_ctl.runs.record import Run
from platform_ctl.text import minute, visible

WEEK = timedelta(days=7)


@dataclass(frozen=True)
class WeekCost:
    """CPU-hours and money of a week, and what the cache saved."""

    cpu_h: float
    money: float
    saved_cpu_h: float
    saved_money: float
    trials: int


@dataclass(frozen=True)
class Weekly:
    """Everything that happened from ``starts_at`` (a Monday, 00:00 UTC) for seven days."""

    starts_at: datetime
    runs: tuple[Run, ...]
    asked: tuple[ApprovalRequest, ...]
    decided: tuple[ApprovalRequest, ...]
    moves: tuple[AliasMove, ...]
    cost: WeekCost

    @property
    def ends_at(self) -> datetime:
        return self.starts_at + WEEK


def monday(moment: datetime) -> datetime:
    """The Monday, 00:00 UTC, at or before ``moment``."""
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday())


def weekly(
    starts_at: datetime,
    *,
    runs: Sequence[Run],
    requests: Sequence[ApprovalRequest],
    moves: Sequence[AliasMove],
    ledger: Mapping[str, Sequence[LedgerEntry]],
) -> Weekly:
    """Keep what lies in the week; ``ledger``: run id -> entries."""

    def within(at: str) -> bool:
        return bool(at) and starts_at <= _time(at) < starts_at + WEEK

    mine = tuple(sorted((r for r in runs if within(r.created_at)), key=lambda r: r.created_at))
    return Weekly(
        starts_at=starts_at,
        runs=mine,
        asked=tuple(r for r in requests if within(r.requested_at)),
        decided=tuple(r for r in requests if within(r.decided_at)),
        moves=tuple(m for m in moves if within(m.at)),
        cost=_cost([e for r in mine for e in ledger.get(r.id, ())]),
    )


def _time(at: str) -> datetime:
    moment = datetime.fromisoformat(at)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _cost(entries: Sequence[LedgerEntry]) -> WeekCost:
    paid = [e for e in entries if not e.saved_by_cache]
    saved = [e for e in entries if e.saved_by_cache]
    return WeekCost(
        cpu_h=sum(e.cpu_s for e in paid) / 3600,
        money=sum(e.money for e in paid),
        saved_cpu_h=sum(e.cpu_s for e in saved) / 3600,
        saved_money=sum(e.money for e in saved),
        trials=sum(e.trials for e in paid),
    )


# ---- as Markdown ---------------------------------------------------------------


def markdown(week: Weekly) -> str:
    """One page: what ran, what was decided, what moved, what it cost, what waits."""
    year, number, _ = week.starts_at.isocalendar()
    last = week.ends_at - timedelta(days=1)
    parts = [
        f"# Week {number} of {year}\n\n{week.starts_at:%Y-%m-%d} to {last:%Y-%m-%d}, UTC. "
        "From the records of the platform.",
        "## Runs\n\n" + _runs(week.runs),
        "## Verdicts\n\n" + _verdicts(week.runs),
        "## Approvals\n\n" + _approvals(week),
        "## Releases\n\n" + _moves(week.moves),
        "## Cost\n\n" + _cost_lines(week.cost),
    ]
    return "\n\n".join(parts) + "\n"


def _runs(runs: Sequence[Run]) -> str:
    if not runs:
        return "Nothing ran."
    counts = Counter((r.pipeline, str(r.state)) for r in runs)
    rows = [[p, s, n] for (p, s), n in sorted(counts.items())]
    text = _table(["pipeline", "ended", "runs"], rows)
    bad = [r for r in runs if r.error]
    lines = [f"- `{r.id[:8]}` {r.pipeline}: {_one_line(r.error)}" for r in bad]
    return text + ("\n\nWhat went wrong:\n\n" + "\n".join(lines) if lines else "")


def _verdicts(runs: Sequence[Run]) -> str:
    rows = [
        [f"`{r.id[:8]}`", v.task.split(".")[-1], v.verdict, _one_line("; ".join(v.reasons[:1]))]
        for r in runs
        for v in r.verdicts
    ]
    return _table(["run", "step", "verdict", "first reason"], rows) if rows else "None was written."


def _approvals(week: Weekly) -> str:
    decided = {r.id for r in week.decided}
    waiting = [r for r in week.asked if r.id not in decided]
    rows = [
        [r.reference, str(r.state), ", ".join(v.approver for v in r.votes) or "-", _why(r)]
        for r in (*week.decided, *waiting)
    ]
    return _table(["model", "state", "by", "why"], rows) if rows else "No approval was requested."


def _why(request: ApprovalRequest) -> str:
    return _one_line("; ".join(v.reason for v in request.votes) or request.reason or "-")


def _moves(moves: Sequence[AliasMove]) -> str:
    rows = [
        [
            minute(m.at),
            m.model,
            m.alias,
            m.from_version or "-",
            m.to_version or "-",
            m.actor,
            _one_line(m.reason),
        ]
        for m in moves
    ]
    columns = ["when", "model", "stage", "from", "to", "who", "why"]
    return _table(columns, rows) if rows else "No stage changed."


def _cost_lines(cost: WeekCost) -> str:
    return (
        f"- {cost.cpu_h:.2f} CPU-hours, {cost.money:.3f} in money; {cost.trials} trials\n"
        f"- the cache saved {cost.saved_cpu_h:.2f} CPU-hours, {cost.saved_money:.3f} in money"
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(c) for c in line) + " |" for line in lines)


def _one_line(text: str) -> str:
    return visible(" ".join(text.split())).replace("|", "\\|")
