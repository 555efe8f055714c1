"""Ctrl-C while a command follows a run."""

from __future__ import annotations

import pytest

from platform_ctl.cli.interrupt import goes_on, how_to_follow

RUN = "1aaaaaaa-0000-4000-8000-000000000000"


def test_it_says_that_the_run_goes_on_and_what_stops_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), goes_on(RUN, stop="platform-ctl release abort shop"):
        raise KeyboardInterrupt
    assert capsys.readouterr().err.split("\n")[1:] == [
        "run 1aaaaaaa goes on without this command",
        "follow it: platform-ctl run watch 1aaaaaaa",
        "stop it:   platform-ctl release abort shop",
        "",
    ]


def test_without_an_interrupt_it_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with goes_on(RUN):
        pass
    assert capsys.readouterr().err == ""


def test_a_run_is_stopped_by_cancel() -> None:
    assert how_to_follow(RUN)[1] == "stop it:   platform-ctl run cancel 1aaaaaaa"
