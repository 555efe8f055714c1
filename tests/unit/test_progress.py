"""The line of a log that says how far a step is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from platform_ctl.progress import (
    Progress,
    complete_history,
    describe,
    latest,
    line,
    parse,
    summary,
)

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


def made(done: int, seconds: float, total: int = 20, **figures: float) -> Progress:
    at = START + timedelta(seconds=seconds)
    return Progress(done, total, "trials", START, at, figures)


def test_a_line_says_what_was_put_into_it() -> None:
    assert parse(line(made(12, 30, loss=0.5))) == made(12, 30, loss=0.5)


@pytest.mark.parametrize("text", ["", "progress", "progress {}", "progress \ud800", "12 of 20"])
def test_other_lines_are_not_progress(text: str) -> None:
    assert parse(text) is None


def test_the_newest_of_a_log_counts() -> None:
    log = f"{line(made(1, 2))}\nnoise \xff\n2026-03-02 {line(made(2, 4))}\nbye\n".encode("latin-1")
    assert latest(log) == made(2, 4)
    assert latest(b"noise\n") is None


def test_people_read_count_figures_and_time_left() -> None:
    assert describe(made(12, 30, loss=0.5)) == "12 of 20 trials, loss 0.5, about 20 s left"
    assert describe(made(20, 30)) == "20 of 20 trials"
    assert describe(made(3, 30, total=0)) == "3 trials"


def test_a_line_of_a_log_has_the_newest_unit_before_the_figures() -> None:
    trial = made(3, 9, **{"best loss": 0.5})
    assert summary(trial) == "3 of 20 trials: best loss 0.5"
    assert summary(made(0, 0, total=0)) == "0 trials"


def test_a_history_is_complete_or_not_there() -> None:
    """A fit that went on from a kept epoch has not reported those before it."""
    units = [made(n, n, loss=1 / n) for n in (1, 2, 3)]
    assert complete_history(units) == {"loss": [1.0, 0.5, 0.333333]}
    assert complete_history([*units, units[1]]) == complete_history(units)
    assert complete_history(units[1:]) == complete_history([]) == {}
