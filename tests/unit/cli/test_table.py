"""Tables in terminals of any width, and in pipes."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from platform_ctl.cli import render
from platform_ctl.cli.table import PrintedColumn, print_rows

COLUMNS = ("task", "state", "wall #", "memory # ?", "tries # ?", "note …")
ROWS = [
    ("condition-1.request-approval", "SUCCEEDED", "0.38 s", "41 MB", 1, "caching is off for it"),
    ("tune", "FAILED", "129.10 s", "1239 MB", 12, "the search ended without a usable trial"),
]


def printed(
    width: int, columns: tuple[str, ...] = COLUMNS, rows: list[tuple] = ROWS, *, pipe: bool = False
) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=10_000 if pipe else width, force_terminal=False)
    print_rows([PrintedColumn.of(c) for c in columns], rows, console, narrow=not pipe)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_a_wide_terminal_shows_everything_in_one_line_each() -> None:
    lines = printed(140)
    assert len(lines) == 1 + len(ROWS)
    assert lines[0].split() == ["task", "state", "wall", "memory", "tries", "note"]


def test_numbers_end_under_the_end_of_their_heading() -> None:
    head, *rows = printed(140)
    end = head.index("wall") + len("wall")
    assert [row[:end].endswith(" s") for row in rows] == [True, True]


def test_at_80_optional_columns_go_and_prose_wraps_between_words() -> None:
    lines = printed(80)
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["task", "state", "wall", "memory", "note"]
    assert any("condition-1.request-approval  SUCCEEDED    0.38 s    41 MB  " in x for x in lines)
    at = lines[0].index("note")
    said = " ".join(line[at:].strip() for line in lines[1:] if line[at:].strip())
    assert said == f"{ROWS[0][-1]} {ROWS[1][-1]}"


def test_at_60_prose_moves_below_its_row() -> None:
    lines = printed(60)
    assert max(map(len, lines)) <= 60
    assert lines[0].split() == ["task", "state", "wall"]
    assert lines[2].strip() == ROWS[0][-1]
    assert " ".join(line.strip() for line in lines[4:]) == ROWS[1][-1]


def test_a_pipe_gets_whole_lines_without_padding() -> None:
    out = io.StringIO()
    console = Console(file=out, width=10_000)
    print_rows([PrintedColumn.of(c) for c in COLUMNS], ROWS, console, narrow=False)
    lines = out.getvalue().splitlines()
    assert len(lines) == 3
    assert all(line == line.rstrip() for line in lines)
    assert ROWS[1][-1] in lines[2] and "1239 MB" in lines[2]


WORD = st.text("abcdefgh-", min_size=1, max_size=25)


@given(
    st.integers(20, 160),
    st.lists(st.tuples(WORD, WORD, WORD.map(lambda w: f"{w} {w} {w}")), min_size=1, max_size=4),
)
def test_no_line_is_longer_than_the_terminal(width: int, rows: list[tuple]) -> None:
    lines = printed(width, ("name", "two words ?", "why …"), rows)
    assert max(map(len, lines)) <= width
    if width >= 27 + 2 + 25:  # the whole columns fit
        text = "\n".join(lines)
        assert all(row[0] in text for row in rows)


@pytest.mark.parametrize(
    ("heading", "column"),
    [
        ("wall #", PrintedColumn("wall", right=True)),
        ("weight %", PrintedColumn("weight %", right=True)),
        ("note …", PrintedColumn("note", prose=True)),
        ("memory # ?", PrintedColumn("memory", right=True, optional=True)),
        ("quarantined: it …", PrintedColumn("quarantined: it", prose=True)),
        ("", PrintedColumn("")),
    ],
)
def test_marks_of_a_heading(heading: str, column: PrintedColumn) -> None:
    assert PrintedColumn.of(heading) == column


def test_records_of_any_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    monday = datetime(2026, 3, 2, tzinfo=UTC)
    records = [
        {
            "repo": "a",
            "week_start": monday,
            "last_week": 46.0,
            "dormant": False,
            "prediction": 35.2,
        },
        {
            "repo": "b",
            "week_start": monday,
            "last_week": 1050.0,
            "dormant": True,
            "prediction": 0.1,
        },
    ]
    render.print_records(records)
    said = capsys.readouterr()
    assert said.err == "week start: 2026-03-02\n"
    assert [line.split() for line in said.out.splitlines()] == [
        ["repo", "last", "week", "dormant", "prediction"],
        ["a", "46", "no", "35.2"],
        ["b", "1,050", "yes", "0.1"],
    ]


def test_times_to_the_minute() -> None:
    assert render.minute("2026-11-21T14:05:07.427+02:00") == "2026-11-21 12:05"
    assert render.minute(datetime(2026, 3, 2, tzinfo=UTC)) == "2026-03-02 00:00"
    assert (render.minute(None), render.day(None)) == ("-", "-")


def test_what_is_left_out_is_named() -> None:
    console = Console(file=io.StringIO(), width=60)
    assert print_rows([PrintedColumn.of(c) for c in COLUMNS], ROWS, console, narrow=True) == [
        "memory",
        "tries",
    ]


def test_a_long_name_is_cut_with_an_ellipsis_before_a_column_goes() -> None:
    rows = [("1f2e", "x" * 69, "SUCCEEDED", "1.031"), ("2a2a", "short", "FAILED", "-")]
    lines = printed(50, ("run", "name ~", "state", "loss ?"), rows)
    assert lines[0].split() == ["run", "name", "state", "loss"]
    assert "xx…  SUCCEEDED" in lines[1] and "short" in lines[2]
    assert max(map(len, lines)) == 50
    assert "x" * 69 in printed(50, ("run", "name ~", "state", "loss ?"), rows, pipe=True)[1]
