"""Lines of columns on a narrow terminal: broken between words, below their last column."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import pytest

from platform_ctl.cli import render

LINE = "  evaluate          MASE 1.027 (beside last_week 1.340, champion 1.031)"
CASES: Mapping[bool, list[str]] = {
    True: [
        "  evaluate          MASE 1.027 (beside",
        "                    last_week 1.340,",
        "                    champion 1.031)",
    ],
    False: [LINE],
}


@pytest.mark.parametrize("terminal", [True, False])
def test_a_line_is_broken_on_a_terminal_only(terminal, monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    render.print_hanging(LINE)
    assert capsys.readouterr().out.splitlines() == CASES[terminal]


def test_a_line_that_fits_is_left_as_it_is(monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for line in ("run cafe0000 SUCCEEDED: 8 executed, 0 cached", "", "  gate   a  b"):
        render.print_hanging(line)
    assert (
        capsys.readouterr().out == "run cafe0000 SUCCEEDED: 8 executed, 0 cached\n\n  gate   a  b\n"
    )
