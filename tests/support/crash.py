"""Verbs of a release in processes that are killed with SIGKILL at a chosen change of state.

``python -m tests.support.crash HOME`` imports everything once, then forks a process for
each line on stdin, ``{"do": VERB, "kill_at": N}``, and answers how it ended. SQLite's own trace
tells of every statement, Python's audit hooks of every file that replaces another
and every connection to a supervisor. The process kills itself right before the
N-th change; with 0 it lives, and the changes are counted.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from platform_ctl import settings as cascade
from platform_ctl import targets
from platform_ctl.approvals import ask as request_approval
from platform_ctl.approvals import decide as approve
from platform_ctl.approvals.request import Answer
from platform_ctl.errors import UnknownName
from platform_ctl.models.register import register_model
from platform_ctl.releases import steps as release
from platform_ctl.releases.deploy import require_approval
from platform_ctl.releases.target import target_of
from platform_ctl.serving.local.records import read_json, write_json
from platform_ctl.serving.service import InferenceService, ServiceSpec, ServiceState
from recipes.train_deploy.recipe import RECIPE
from tests.support.candidates import PASSED, write_candidate

ROOT = Path(__file__).resolve().parents[2]
NAME = RECIPE.inference_service
_CHANGES = ("INSERT", "UPDATE", "DELETE", "REPLACE", "COMMIT")


class FileServing:
    """What is served, as a file: it outlives a process as a supervisor does, and starts at once."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "served.json"

    def get(self, name: str) -> InferenceService:
        spec = read_json(self._file, ServiceSpec)
        if spec is None:
            raise UnknownName(f"there is no InferenceService {name!r}")
        return InferenceService(name, ServiceState.RUNNING, "http://127.0.0.1:1", spec)

    def apply(self, name: str, spec: ServiceSpec) -> InferenceService:
        write_json(self._file, spec)
        return self.get(name)


class Verbs:
    """Each is one process's work on the home of one release."""

    def __init__(self, home: Path, *, real: bool) -> None:
        settings = cascade.load(cwd=ROOT, env={"PLATFORM_HOME": str(home)}).settings
        self.settings = settings
        self.ports = targets.releasing(settings)
        if not real:
            self.ports = dataclasses.replace(self.ports, serving=FileServing(home))

    def prepare(self) -> None:
        """Version 1 in production, version 2 a canary at its first weight."""
        for seed in (0, 1):
            folder = self.settings.layout.database.parent / "candidates" / str(seed)
            folder.mkdir(parents=True)
            model, evaluation = write_candidate(folder, seed=seed)
            version = register_model(
                self.ports.registry,
                recipe=RECIPE,
                model_dir=model,
                evaluation_dir=evaluation,
                decision=PASSED,
                provenance={"run_id": "test"},
            )
            self._approve(version)
            started = self._start(version)
            if seed == 0:
                release.promote_release(self.ports, started.id, actor="test")

    def _approve(self, version: Any) -> None:
        registry, approvals = self.ports.registry, self.ports.approvals
        given = {"settings": self.settings.approval}
        asked = request_approval.request(
            registry, approvals, recipe=RECIPE, version=version, requested_by="ann", **given
        )
        approve.decide(
            registry,
            approvals,
            {RECIPE.name: RECIPE},
            request_id=asked.id,
            answer=Answer.APPROVE,
            approver="bob",
            reason="good",
            **given,
        )

    def _start(self, version: Any) -> Any:
        registry, recipes = self.ports.registry, {RECIPE.name: RECIPE}
        approval = require_approval(registry, self.ports.approvals, recipes, version)
        target = target_of(registry, RECIPE, version)
        return release.start_release(
            self.ports, target, RECIPE.canary, approval_id=approval.id, actor="test"
        )

    def start(self) -> None:
        """Once more: it takes the open release up."""
        self._start(self.ports.registry.models()[0].version("2"))

    def promote(self) -> None:
        release.promote_release(self.ports, self._newest(), actor="test")

    def roll_back(self) -> None:
        release.rollback_release(self.ports, self._newest(), actor="test", reason="bad")

    def undo(self) -> None:
        release.undo_release(self.ports, NAME, actor="test", reason="bad")

    def look(self) -> None:
        """What every command does that looks at a release."""
        release.settle(self.ports, NAME)

    def _newest(self) -> str:
        return self.ports.releases.latest(NAME).id


class Fuse:
    """Kills this process right before its ``kill_at``-th change of state."""

    def __init__(self, kill_at: int) -> None:
        self.kill_at = kill_at
        self.changes: list[str] = []
        sys.addaudithook(self._audit)
        sqlite3.connect = sqlite3.dbapi2.connect = self._traced(sqlite3.connect)

    def _traced(self, connect: Callable[..., sqlite3.Connection]) -> Callable:
        def traced(*args: Any, **options: Any) -> sqlite3.Connection:
            db = connect(*args, **options)
            db.set_trace_callback(self._statement)
            return db

        return traced

    def _audit(self, event: str, args: tuple) -> None:
        if event == "os.rename":
            self._change(f"file {Path(os.fsdecode(args[1])).name}")
        elif event == "socket.connect" and isinstance(args[1], str):
            self._change("supervisor")

    def _statement(self, sql: str) -> None:
        if sql.lstrip().upper().startswith(_CHANGES):
            self._change(" ".join(sql.split()[:3]))

    def _change(self, what: str) -> None:
        self.changes.append(what)
        if len(self.changes) == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def _carry_out(home: Path, asked: dict, report: int) -> None:
    fuse = Fuse(asked.get("kill_at", 0))
    sys.excepthook = _end_badly  # a fork must not go on with its parent's work
    getattr(Verbs(home, real=asked.get("real", False)), asked["do"])()
    os.write(report, json.dumps(fuse.changes).encode())
    os._exit(0)


def _end_badly(*raised: Any) -> None:
    traceback.print_exception(*raised)
    os._exit(1)


def main() -> None:
    import mlflow.tracking  # noqa: F401 - once, instead of in every fork

    home = Path(sys.argv[1])
    for line in sys.stdin:
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            _carry_out(home, json.loads(line), theirs)
        os.close(theirs)
        with os.fdopen(ours, "rb") as pipe:
            told = pipe.read()
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        changes = json.loads(told) if told else []
        print(json.dumps({"code": code, "changes": changes}), flush=True)


if __name__ == "__main__":
    main()
