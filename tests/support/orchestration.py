"""Compile the test pipelines once a session; run them in homes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from platform_ctl import targets
from platform_ctl.runs.port import Orchestrator
from platform_ctl.runs.record import Run, RunEvent, RunRequest
from platform_ctl.settings import Settings

ROOT = Path(__file__).parents[2]


def build(folder: Path) -> Path:
    """IR of every pipeline in ``folder``, and kfp.local's answers in ``oracle.json``."""
    command = [sys.executable, "-m", "tests.support.kfp_pipelines.build", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


def oracle(folder: Path) -> dict[str, dict]:
    return json.loads((folder / "oracle.json").read_text())


@dataclass
class Lab:
    """An orchestrator on a home of its own, and everything it said."""

    ir: Path
    home: Path
    events: list[RunEvent] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        return msgspec.structs.replace(
            Settings(), home=str(self.home), project_root=str(ROOT), max_parallel_tasks=4
        )

    @property
    def orchestrator(self) -> Orchestrator:
        return targets.orchestrator(self.settings)

    def request(self, name: str, use_cache: bool = True, **parameters: object) -> RunRequest:
        return RunRequest(self.ir / f"{name}.yaml", parameters, use_cache=use_cache)

    def run(self, name: str, use_cache: bool = True, **parameters: object) -> Run:
        return self.orchestrator.run(
            self.request(name, use_cache, **parameters), self.events.append
        )


def answer(run: Run) -> object:
    """The single output parameter of a pipeline."""
    return run.outputs.parameters["Output"]


def states(run: Run) -> dict[str, str]:
    return {task.path: str(task.state) for task in run.tasks}
