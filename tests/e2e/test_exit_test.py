"""The exit test's reference solution: build, articulate and diagnose, in a scratch checkout."""

from __future__ import annotations

import json

import pytest

from learning import session as fault_lab
from learning.fault import all_faults
from learning.lab import GREEN_RUN
from learning.sandbox import SMALL

pytestmark = pytest.mark.e2e

DEFINITIONS = "recipes/train_deploy/features/definitions.py"
ANCHOR = '    Feature("age_weeks"'
FEATURE = """    Feature(
        "weekend_weeks_13w",
        "count(*) FILTER (ago <= 13 AND weekend_commits > 0)",
        "weeks with a commit on a weekend, of the last 13",
        "linear",
    ),
"""
"""The one of docs/how-to/add-a-feature.md."""


@pytest.fixture(scope="module")
def solved(sandbox):
    """A home in which the build part was solved, with what was answered on the way."""
    sandbox.prepare(lambda text: None)
    answers = {"early": sandbox.call("exit-test", "check", "build", may_fail=True)}
    sandbox.call("exit-test", "start", "build")
    answers["nothing done"] = sandbox.call("exit-test", "check", "build", may_fail=True)
    sandbox.edit(DEFINITIONS, ANCHOR, FEATURE + ANCHOR)
    answers["first"] = sandbox.run_pipeline(*SMALL)
    answers["run once"] = sandbox.call("exit-test", "check", "build", "-o", "json", may_fail=True)
    answers["again"] = sandbox.run_pipeline(*SMALL)
    answers["done"] = sandbox.call("exit-test", "check", "build", may_fail=True)
    return answers


def test_build_is_checked_from_records(solved):
    assert solved["early"].returncode == 3
    assert "exit-test start build" in solved["early"].stderr
    assert solved["nothing done"].returncode == 1
    once = {c["what"]: c["holds"] for c in json.loads(solved["run once"].stdout)}
    assert [what for what, holds in once.items() if not holds] == [
        "repeating the run hits where it should, and only there"
    ]
    assert solved["done"].returncode == 0, solved["done"].stdout
    assert "added: weekend_weeks_13w" in solved["done"].stdout


def text(first: str, again: str) -> str:
    """About 600 words; what it cites is so."""
    facts = (
        f"In run {first[:8]} the steps `extract`, `tune`, `train`, `evaluate` and `gate` were "
        f"executed. The verdict of `gate` was successful. Then came run {again[:8]}. There "
        "`extract` was cached, `tune` and `train` were cached too. `resolve` was executed, and "
        "`register` was executed: it is idempotent. `request-approval` was executed as well. "
    )
    return facts + "So a green run is not yet a model in production, and that is the point. " * 36


def test_articulate_holds_the_facts_against_the_records(sandbox, solved, tmp_path):
    page = tmp_path / "walk.md"
    page.write_text(text(solved["first"], solved["again"]))
    good = sandbox.call("exit-test", "check", "articulate", str(page), may_fail=True)
    assert good.returncode == 0, good.stdout
    assert "score" not in good.stdout and "for the reader:" in good.stdout
    page.write_text(text(solved["again"], solved["first"]))
    bad = sandbox.call("exit-test", "check", "articulate", str(page), may_fail=True)
    assert bad.returncode == 1
    assert f"NOT SO  tune of {solved['first'][:8]}: cached" in bad.stdout


def test_diagnose_compares_the_answer_with_what_was_injected(sandbox, solved):
    sandbox.call("exit-test", "start", "diagnose")
    _, fault = fault_lab.current(sandbox, all_faults())
    assert fault.family == GREEN_RUN
    assert sandbox.newest_run()["state"] == "SUCCEEDED"
    wrong = sandbox.call("exit-test", "check", "diagnose", "--cause", "disk-full", may_fail=True)
    assert wrong.returncode == 1
    right = sandbox.call("exit-test", "check", "diagnose", "--cause", fault.cause, may_fail=True)
    assert right.returncode == 0, right.stderr
    assert fault.explanation[:40] in right.stdout
