"""The report of a run that failed: what it tells, and what becomes of the file it is written to."""

from __future__ import annotations

import os
import stat
import threading
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from platform_ctl import targets
from platform_ctl.report.gather import run_report
from platform_ctl.report.value import RunReport
from platform_ctl.runs.record import RunState, TaskState
from platform_ctl.settings import Settings
from tests.support.chain import Chain, task

RUN = "1" * 8 + "-1111-4000-8000-" + "1" * 12
QUOTED = "http://me:pass-word@mlflow.lan refused; MLFLOW_TRACKING_TOKEN=t0ken"


@pytest.fixture
def report(tmp_path: Path) -> RunReport:
    chain = Chain(tmp_path / "home", "1")
    run = chain.run(RUN, state=RunState.FAILED)
    log = Path(run.directory) / "tasks" / "train" / "log.txt"
    log.parent.mkdir(parents=True)
    log.write_text(f"Traceback\n{QUOTED}\n")
    failed = replace(task("train", TaskState.FAILED, QUOTED), log="tasks/train/log.txt")
    chain.record(run, [failed], QUOTED)
    return run_report(targets.reporting(chain.settings), RUN)


def test_what_went_wrong_is_told_without_credentials(report: RunReport) -> None:
    for told in (msgspec.json.encode(report, enc_hook=str).decode(), targets.report_page(report)):
        assert "mlflow.lan refused" in told
        assert "pass-word" not in told and "t0ken" not in told


def test_a_pipe_is_written_to_and_stays_one(report: RunReport, tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    targets.write_report(report, pipe)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    reader.join(60)
    assert read[0].startswith("<!doctype html>")


def test_a_link_stays_one_and_the_page_is_its_owners(report: RunReport, tmp_path: Path) -> None:
    page, link = tmp_path / "page.html", tmp_path / "latest.html"
    page.write_text("an old one")
    link.symlink_to(page)
    targets.write_report(report, link)
    assert link.is_symlink() and page.read_text().startswith("<!doctype html>")
    assert stat.S_IMODE(page.stat().st_mode) == 0o600


def test_a_run_without_a_folder_here_has_its_page_in_the_home(
    report: RunReport, tmp_path: Path
) -> None:
    """Runs of KFP have none, and the page never falls into the working directory."""
    settings = Settings(home=str(tmp_path))
    elsewhere = replace(report.run, directory="")
    expected = tmp_path / "reports" / f"{RUN}.html"
    assert targets.report_file(settings, elsewhere) == expected
    targets.write_report(replace(report, run=elsewhere), expected)
    assert expected.is_file()
