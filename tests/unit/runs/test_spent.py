"""What steps in pods have spent, in their logs and in the ledger of a KFP run."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from platform_ctl.cluster.kfp import Kfp
from platform_ctl.runs.budget import cost
from platform_ctl.runs.kubernetes.api import RunsApi
from platform_ctl.runs.kubernetes.ledger import KfpLedger
from platform_ctl.runs.kubernetes.nodes import step_of
from platform_ctl.runs.kubernetes.outputs import last_line
from platform_ctl.runs.kubernetes.runs import KfpRuns
from platform_ctl.runs.record import RunRequest
from platform_ctl.runs.spent import Spent, StepIdentity, line, read
from platform_ctl.settings import KubernetesSettings, Settings
from platform_ctl.targets.step import account_for_step, step_in_pod
from tests.fakes.kfp_runs import Runs
from tests.fakes.kfp_server import serve
from tests.support import run_pipelines

IMAGE = "example/python-recipe:1"


def test_a_line_is_read_back_and_a_broken_one_is_passed_by() -> None:
    spent = Spent("tune", 12.5, 30.0, trials=4, note="budget")
    written = line(StepIdentity("r1", "tune", 0), spent)
    log = f'before\n{written}\n{written[:40]}\nstep.spent {{"kind": 1}}\nafter\n'
    assert read(log.encode()) == [spent]
    assert last_line(f"ValueError: x\n{written}\n".encode()) == "ValueError: x"


def test_a_process_outside_a_pod_is_no_step(tmp_path: Path) -> None:
    """Asked as a step asks: with the whole settings."""
    nowhere = KubernetesSettings(kubeconfig=str(tmp_path / "none"))
    settings = msgspec.structs.replace(Settings(), target="kubernetes", kubernetes=nowhere)
    assert step_in_pod(settings) == StepIdentity()
    account_for_step(settings)


@pytest.mark.parametrize(
    ("node", "step"),
    [
        ("w-1(0).root(0).tune(0).executor(0)", ("tune", 0)),
        ("w-1(2).root(1).condition-2(0).train(1).executor(2)", ("condition-2.train", 2)),
        (
            "w(0).root(0).for-loop-2(0).iteration-iterations(1:1)(0).iteration-item(0)"
            ".double(0).executor(0)",
            ("for-loop-2.1.double", 0),
        ),
        ("w(0).root(0).tune-driver(0)", ("", 0)),
        ("", ("", 0)),
    ],
)
def test_a_node_of_argo_names_task_and_attempt(node: str, step: tuple[str, int]) -> None:
    assert step_of(node) == step


def test_the_ledger_of_a_run_is_what_its_steps_have_written(tmp_path: Path) -> None:
    spent = Spent("step", 2.0, 1.5, 10)
    part = Runs(spent={"judge": spent})
    with serve(part) as fake:
        runs = KfpRuns(RunsApi(Kfp(fake.url)), poll_s=0.01)
        file = run_pipelines.write(tmp_path, "judged", run_pipelines.judged(IMAGE))
        first, again = (runs.run(RunRequest(file, {"x": 1}), lambda e: None) for _ in range(2))
        ledger = KfpLedger(runs.api, money_per_cpu_hour=36.0)
        paid, saved = (cost(ledger.entries(run.id)) for run in (first, again))
        usage = next(t for t in first.tasks if t.path == "judge").usage
    assert (paid.cpu_s, paid.money) == (1.5, pytest.approx(0.015))
    assert (saved.cpu_s, saved.saved_cpu_s, saved.saved_wall_s) == (0.0, 1.5, 2.0)
    assert (usage.wall_s, usage.cpu_s, usage.peak_memory_bytes) == (2.0, 1.5, 10)
    assert ledger.entries("00000000-0000-4000-8000-000000000000") == []
