"""The tutorial, typed: every command in order, in a home of its own, and what the page says of it.

Only the parameters are smaller (``-p`` is the documented way to set them).
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from tests.support.pages import ROOT, command_lines

pytestmark = pytest.mark.e2e

PAGE = ROOT / "docs" / "tutorial.md"
SMALLER = {"max_trials=4": "max_trials=2", "epochs=10": "epochs=3", "epochs=12": "epochs=4"}
AFTERWARDS = (
    "explanation/walk-through.md",
    "how-to/lineage.md",
    "how-to/monitor.md",
    "how-to/read-a-run-report.md",
    "how-to/schedule.md",
    "how-to/weekly-log.md",
)
"""Pages whose commands can be typed in the home that the tutorial leaves."""
NOT_HERE = (
    "approval serve", "exit-test", "lab", "lineage deliver", "schedule run", "schedule trigger",
)  # fmt: skip
"""They stay in the foreground, build a home, need an endpoint or start a run."""
ANSWER_IS_NO = 1
EFFECTS = {"resolve", "register", "request-approval"}
SETUP = "make setup"


class Reader:
    """Somebody who types what the page says. ``typed`` keeps what was printed, by command."""

    def __init__(self, home: str) -> None:
        self.env = {**os.environ, "PLATFORM_HOME": home}
        self.typed: list[tuple[str, subprocess.CompletedProcess[str]]] = []

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        for large, small in SMALLER.items():
            line = line.replace(large, small)
        program, *words = shlex.split(line)
        assert program == "platform-ctl"
        start = "from platform_ctl.cli.app import main; main()"
        return subprocess.run(
            [sys.executable, "-c", start, *words],
            cwd=ROOT,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )

    def type(self, line: str) -> None:
        done = self.run(line)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        self.typed.append((line, done))

    def printed(self, words: str, nth: int = 0) -> str:
        return [d.stdout for line, d in self.typed if line.startswith(words)][nth]

    def json(self, line: str):
        return json.loads(self.run(f"{line} -o json").stdout)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """Has typed the whole page."""
    reader = Reader(str(tmp_path_factory.mktemp("tutorial") / "home"))
    try:
        for call in command_lines(PAGE):
            reader.type(call.text)
        yield reader
    finally:
        reader.run("platform-ctl service stop weekly-commits")


def executed(reader: Reader, run: str) -> set[str]:
    tasks = reader.json(f"platform-ctl run show {run}")["tasks"]
    return {t["name"] for t in tasks if t["state"] == "SUCCEEDED"}


@pytest.fixture(scope="module")
def runs(reader) -> list[str]:
    """Ids of the three trainings, oldest first."""
    found = reader.json("platform-ctl run list")
    return [r["id"] for r in reversed(found) if r["pipeline"] == "train-deploy"]


def test_what_is_not_ours_to_type_is_only_the_set_up():
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    others = {
        line for b in blocks for line in b.splitlines() if not line.startswith("platform-ctl ")
    }
    assert others == {
        SETUP,
        "source .venv/bin/activate",
        "export PLATFORM_HOME=.platform/tutorial",
        'eval "$(platform-ctl completion bash)"',
    }


def test_the_sample_is_what_the_page_says(reader):
    said = re.search(r"history of (\d+) repositories", PAGE.read_text(encoding="utf-8"))
    assert len(reader.json("platform-ctl data show")["entities"]) == int(said[1])


def test_the_first_run_scores_decides_and_names_the_next_command(reader, runs):
    assert len(runs) == 3
    printed = reader.printed("platform-ctl pipeline run")
    assert re.search(r"best of 2 trials", printed)
    assert re.search(r"MASE .*beside last_week .*mean_4w .*log_ses", printed)
    assert "its stage is Staging" in printed
    assert re.search(r"next: platform-ctl approval approve \w+", printed)
    assert "successful" in reader.printed("platform-ctl run show latest")
    tasks = reader.json(f"platform-ctl run show {runs[0]}")["tasks"]
    (rows,) = next(t for t in tasks if t["name"] == "extract")["outputs"]["artifacts"]["rows"]
    assert rows["metadata"]["splits"]["golden"] == 12 * 24, "twelve weeks of every repository"


def test_the_second_run_repeats_only_what_has_effects(reader, runs):
    assert executed(reader, runs[1]) == EFFECTS


def test_a_parameter_of_the_fit_reaches_no_further_back(reader, runs):
    why = {d["task"]: d for d in reader.json(f"platform-ctl cache explain {runs[2]}")}
    assert why["extract"]["decision"] == why["tune"]["decision"] == "HIT"
    assert why["train"]["decision"] == "MISS"
    assert why["train"]["reason"].startswith("parameters.epochs: ")
    assert reader.json(f"platform-ctl run show {runs[2]}")["tasks"]


def test_the_answer_takes_the_model_to_production(reader):
    assert "is in Production at http" in reader.printed("platform-ctl approval approve")
    assert "promoted" in reader.printed("platform-ctl release show")
    assert "running" in reader.printed("platform-ctl service list")
    assert "Production" in reader.printed("platform-ctl model show weekly-commits@production")


def test_the_forecast_names_every_repository(reader):
    lines = reader.printed("platform-ctl model predict").splitlines()
    assert len([line for line in lines if line.startswith("sample/")]) >= 20


def test_the_history_says_who_and_why_and_the_address_stays(reader):
    history = reader.printed("platform-ctl model show weekly-commits --history")
    assert "production" in history and "staging" in history
    urls = {
        url
        for words in ("platform-ctl service list", "platform-ctl service start")
        for url in re.findall(r"http://127\.0\.0\.1:\d+", reader.printed(words))
    }
    assert len(urls) == 1


@pytest.mark.parametrize("name", AFTERWARDS)
def test_pages_about_what_is_there_can_be_typed_afterwards(reader, tmp_path, name):
    page = ROOT / "docs" / name
    calls = [
        c.text.replace("--to report.html", f"--to {tmp_path}/r.html") for c in command_lines(page)
    ]
    typed = [line for line in calls if not line.removeprefix("platform-ctl ").startswith(NOT_HERE)]
    typed = [line for line in typed if line != "platform-ctl metrics serve"]
    assert typed
    for line in typed:
        done = reader.run(line)
        changes = line.startswith("platform-ctl schedule plan")
        assert done.returncode == (ANSWER_IS_NO if changes else 0), f"{line}\n{done.stderr}"
