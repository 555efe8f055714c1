"""Every fault of the lab is injected for real, seen as broken, repaired, and seen as repaired."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest

from learning import session as fault_lab
from learning import wiring
from learning.fault import all_faults
from learning.lab import CAUSES, GREEN_RUN, MAX_WRONG_CAUSES
from learning.sandbox import CHALLENGER, SMALL, Sandbox
from platform_ctl import settings as settings_module
from platform_ctl.errors import ConfigError, PlatformError, PreconditionMissing
from tests.support.pages import command_lines

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
FAULTS = all_faults()
BUG = PlatformError.exit_code
RECIPE = "recipes/train_deploy/recipe.py"


def rerun(sandbox: Sandbox) -> None:
    sandbox.run_pipeline(*CHALLENGER)


def shipped(sandbox: Sandbox, file: str) -> None:
    shutil.copyfile(sandbox.base / "project" / file, sandbox.project / file)


def put_back(*files: str, run: tuple[str, ...] = CHALLENGER):
    def repair(sandbox: Sandbox) -> None:
        for file in files:
            shipped(sandbox, file)
        if run:
            sandbox.run_pipeline(*run)

    return repair


def ask_again(sandbox: Sandbox) -> None:
    sandbox.call("approval", "request", "weekly-commits@staging")
    sandbox.call("approval", "approve", "latest", "--reason", "plan is wanted", "--wait")


def restore_golden(sandbox: Sandbox) -> None:
    shutil.copytree(sandbox.base / "home" / "golden", sandbox.home / "golden", dirs_exist_ok=True)
    sandbox.run_pipeline(*SMALL)


def verify_cache(sandbox: Sandbox) -> None:
    sandbox.call("cache", "verify", may_fail=True)
    sandbox.run_pipeline(*CHALLENGER)


def free_lock(sandbox: Sandbox) -> None:
    import time

    (sandbox.home / "locks" / "dataset.lock").unlink()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        shown = sandbox.read("experiment", "show", "nightly")
        if all(t["state"] == "Succeeded" for t in shown["trials"]) and len(shown["trials"]) == 3:
            return
        time.sleep(0.5)


def tell_again(sandbox: Sandbox) -> None:
    sandbox.call("lineage", "repair", sandbox.version("staging")["tags"]["run_id"])


REPAIRS = {
    "failed-step": put_back("recipes/train_deploy/features/definitions.py", run=SMALL),
    "failed-at-once": restore_golden,
    "stuck-trials": free_lock,
    "register-refused": verify_cache,
    "blocked-promotion": ask_again,
    "green-run-1": put_back(RECIPE),
    "green-run-2": put_back("pipelines/compiled/train-deploy.yaml"),
    "green-run-3": rerun,
    "green-run-4": rerun,
    "green-run-5": rerun,
    "no-origin": tell_again,
    "too-good": put_back("recipes/train_deploy/features/weekly.py", run=()),
    "rolled-back": put_back(RECIPE, "recipes/train_deploy/experiment.yaml"),
}


SHOWN_BY_DIAGNOSIS = {
    "failed-step": "files_touched",
    "stuck-trials": "Running",
    "register-refused": "FAILED",
    "blocked-promotion": "the canary plan was",
    "green-run-1": "ceiling",
}
"""What the commands under Diagnosis of the fault's runbook print, at least, while it is broken."""


def diagnose(sandbox: Sandbox, runbook: str) -> str:
    """Type the commands under Diagnosis as they stand, but start no run; what they print."""
    page = ROOT / runbook
    lines = page.read_text(encoding="utf-8").splitlines()
    first, last = lines.index("## Diagnosis") + 1, lines.index("## Mitigation") + 1
    printed = []
    for call in command_lines(page):
        if not first < call.line < last or call.text.startswith("platform-ctl pipeline run"):
            continue
        done = sandbox.call(*shlex.split(call.text)[1:], may_fail=True)
        assert done.returncode != BUG and "Traceback" not in done.stderr, done.stderr
        printed.append(done.stdout + done.stderr)
    return "\n".join(printed)


def test_every_fault_has_a_repair_here_and_a_known_cause():
    assert set(REPAIRS) == set(FAULTS)
    assert len(FAULTS) >= 8
    assert {f.cause for f in FAULTS.values()} < set(CAUSES)
    assert sum(f.family == GREEN_RUN for f in FAULTS.values()) >= 4
    for fault in FAULTS.values():
        assert (ROOT / fault.runbook).is_file()
        assert fault.cause not in fault.symptom
        assert len(fault.hints) >= 3


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_broken_then_repaired(sandbox, name):
    fault = fault_lab.start(sandbox, FAULTS, name, lambda text: None)
    before = fault_lab.check(sandbox, FAULTS, cause=fault.cause)
    assert before.cause_named
    assert not before.repaired, "the symptom is not there"
    assert not fault_lab.check(sandbox, FAULTS).repaired, "the check repaired it"
    if name in SHOWN_BY_DIAGNOSIS:
        assert SHOWN_BY_DIAGNOSIS[name] in diagnose(sandbox, fault.runbook)
    REPAIRS[name](sandbox)
    after = fault_lab.check(sandbox, FAULTS)
    assert after.solved, after.notes
    assert after.hints == after.wrong_causes == 0


def test_nothing_passes_by_a_reset_or_another_home(sandbox):
    fault_lab.start(sandbox, FAULTS, "failed-at-once", lambda text: None)
    shutil.rmtree(sandbox.home)
    shutil.copytree(sandbox.base / "home", sandbox.home)
    result = fault_lab.check(sandbox, FAULTS, cause="golden-changed")
    assert not result.solved
    assert "not the home" in result.notes[0]
    sandbox.clear()
    with pytest.raises(PreconditionMissing):
        fault_lab.check(sandbox, FAULTS)


def test_guessing_ends_the_attempt(sandbox):
    fault_lab.start(sandbox, FAULTS, "failed-at-once", lambda text: None)
    for word in ["alias moved", "disk_full", "no-data"][: MAX_WRONG_CAUSES + 1]:
        fault_lab.check(sandbox, FAULTS, cause=word)
    restore_golden(sandbox)
    result = fault_lab.check(sandbox, FAULTS, cause="golden-changed")
    assert not result.solved
    assert "too many guesses: start again" in result.notes


def test_hints_come_one_at_a_time_and_the_name_is_not_in_the_session(sandbox):
    fault = fault_lab.start(sandbox, FAULTS, "failed-at-once", lambda text: None)
    given = [fault_lab.hint(sandbox, FAULTS) for _ in range(len(fault.hints) + 1)]
    assert given == [*fault.hints, ""]
    written = (sandbox.root / "session.json").read_text()
    assert fault.name not in written and fault.cause not in written
    assert json.loads(written)["hints"] == len(fault.hints)


def test_a_folder_that_is_no_lab_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("keep")
    settings = settings_module.load(cwd=ROOT, env={}, flags={"home": str(tmp_path)}).settings
    stranger = wiring.lab(settings, tmp_path)
    with pytest.raises(ConfigError):
        stranger.prepare(lambda text: None)
    stranger.remove()
    assert (tmp_path / "mine").read_text() == "keep"
