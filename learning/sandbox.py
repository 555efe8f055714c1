"""The lab's folder: a home and a checkout to break, and how to make both quickly.

    lab.json    that this is a lab, and of which project
    home/       PLATFORM_HOME of the lab
    project/    copies of recipes and pipelines: faults in code go here
    base/       both as they were before any fault
    env         source it: commands then work on home/ and project/

Homes hold absolute paths (Iceberg, MLflow, run records): ``home/`` is therefore
always in the same place, and ``base/`` is what is copied over it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import psutil

from learning.lab import Session
from platform_ctl.errors import ConfigError, WorkloadFailed
from platform_ctl.folders import make_private
from platform_ctl.home.process import ProcessId, started
from platform_ctl.home.state import connect
from platform_ctl.settings import TOML_NAME, Settings

MARKER, SESSION = "lab.json", "session.json"
PIPELINE = "train-deploy"
SMALL = ("-p", "max_trials=2", "-p", "epochs=3")
"""The first run: its model is registered."""
CHALLENGER = ("-p", "max_trials=2", "-p", "epochs=4")
"""Trained and evaluated in the cache of ``base``, never registered: a new model in seconds."""
_IR = "pipelines/compiled/train-deploy.yaml"
_CLOSED_GATE = "== 'successful'", "== 'never'"
_MARK = "lab_session"
_TIMEOUT_S = 900
_ANSWER_IS_NO = 1
_CHECKOUT = Path(__file__).parents[1]
_START = "from platform_ctl.cli.app import main; main()"

Progress = Callable[[str], None]


class Sandbox:
    """The lab in one folder. Nothing here touches anything outside it."""

    def __init__(self, root: Path, settings: Settings) -> None:
        self.root = root
        self._settings = settings

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def project(self) -> Path:
        return self.root / "project"

    @property
    def base(self) -> Path:
        return self.root / "base"

    # ---- making it ----------------------------------------------------------------

    def prepare(self, progress: Progress) -> None:
        """A home with one registered model and a pending approval, and nothing wrong with it.

        Builds ``base/`` when there is none for this code; raises ConfigError for a
        folder that is something else, WorkloadFailed when the run does not succeed.
        """
        self._claim()
        stamp = self._code_stamp()
        made = self.base / "stamp"
        if not made.is_file() or made.read_text(encoding="utf-8") != stamp:
            progress("building the lab's home: once, about a minute")
            self._build()
            made.write_text(stamp, encoding="utf-8")
        self.clear()
        for part in (self.home, self.project):
            shutil.copytree(self.base / part.name, part, symlinks=True)
        self._write_env()

    def clear(self) -> None:
        """End what runs in the home, and remove home, checkout and session; ``base/`` stays."""
        self._stop_everything()
        for part in (self.home, self.project):
            shutil.rmtree(part, ignore_errors=True)
        (self.root / SESSION).unlink(missing_ok=True)

    def remove(self) -> None:
        """Everything, ``base/`` included."""
        if (self.root / MARKER).is_file():
            self.clear()
            shutil.rmtree(self.root, ignore_errors=True)

    def _claim(self) -> None:
        marker = self.root / MARKER
        if not marker.is_file() and self.root.exists() and any(self.root.iterdir()):
            raise ConfigError(
                "the lab needs a folder of its own; this one is in use",
                where=str(self.root),
                fix="platform-ctl lab start FAULT --home EMPTY_DIR",
            )
        make_private(self.root)
        called_from = self._settings.project_root
        if called_from != str(self.project):
            marker.write_text(json.dumps({"project": called_from}), encoding="utf-8")

    def _origin(self) -> Path:
        """The user's checkout; also when a command is called from inside the lab."""
        return Path(json.loads((self.root / MARKER).read_text(encoding="utf-8"))["project"])

    def _sources(self) -> list[Path]:
        names = (self._settings.recipes_package, self._settings.pipelines_package, TOML_NAME)
        return [p for name in names if (p := self._origin() / name).exists()]

    def _code_stamp(self) -> str:
        total = hashlib.sha256(str(self.home).encode())
        for source in self._sources():
            files = sorted(p for p in source.rglob("*") if p.is_file()) or [source]
            for file in files:
                if "__pycache__" not in file.parts:
                    total.update(f"{file}\0".encode() + file.read_bytes())
        return total.hexdigest()

    def _build(self) -> None:
        self.clear()
        shutil.rmtree(self.base, ignore_errors=True)
        self.project.mkdir()
        for source in self._sources():
            copy = self.project / source.name
            if source.is_dir():
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, copy)
        self.call("data", "ingest", "--sample")
        self.run_pipeline(*SMALL)
        self.edit(_IR, *_CLOSED_GATE)
        self.run_pipeline(*CHALLENGER)
        self.edit(_IR, *reversed(_CLOSED_GATE))
        self._forget_newest_run()
        self.base.mkdir()
        for part in (self.home, self.project):
            shutil.copytree(part, self.base / part.name, symlinks=True)

    def _forget_newest_run(self) -> None:
        with self.database() as db:
            (run,) = db.execute("SELECT id, directory FROM runs ORDER BY created_at DESC LIMIT 1")
            db.execute("DELETE FROM runs WHERE id = ?", (run["id"],))
        shutil.rmtree(run["directory"], ignore_errors=True)

    def _write_env(self) -> None:
        lines = [f"export {name}={shlex.quote(value)}" for name, value in self._own_env().items()]
        lines.append(f"cd {shlex.quote(str(self.project))}")
        (self.root / "env").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _own_env(self) -> dict[str, str]:
        others = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
        # The lab's own checkout first; `learning` is not copied there, so it comes from this one.
        places = dict.fromkeys([str(self.project), *others, str(_CHECKOUT)])
        return {"PLATFORM_HOME": str(self.home), "PYTHONPATH": os.pathsep.join(places)}

    # ---- using it -----------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        """Of a command in the lab: nothing of the caller's own settings."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PLATFORM_")}
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        return {**kept, **self._own_env()}

    def call(
        self, *words: str, may_fail: bool = False, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """``platform-ctl`` in the lab. Raises WorkloadFailed with the last words of it."""
        done = subprocess.run(
            [sys.executable, "-c", _START, *words],
            cwd=self.project,
            env={**self.environment(), **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        if done.returncode and not may_fail:
            raise _failed(words, done, self.home)
        return done

    def read(self, *words: str) -> Any:
        """What a command prints with ``-o json``; None when it fails."""
        done = self.call(*words, "-o", "json", may_fail=True)
        return json.loads(done.stdout) if done.stdout.strip() else None

    def spawn(self, *words: str) -> dict[str, Any]:
        """A command that goes on; the facts by which ``clear`` finds its process again."""
        process = subprocess.Popen(
            [sys.executable, "-c", _START, *words],
            cwd=self.project,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return {"pid": process.pid, "pid_started": started(process.pid)}

    def run_pipeline(
        self, *words: str, may_fail: bool = False, env: Mapping[str, str] | None = None
    ) -> str:
        """Run the recipe's pipeline; the id of the run. A verdict of "no" is no failure."""
        done = self.call("pipeline", "run", PIPELINE, *words, may_fail=True, env=env)
        if done.returncode not in (0, _ANSWER_IS_NO) and not may_fail:
            raise _failed(("pipeline", "run", PIPELINE, *words), done, self.home)
        return self.newest_run()["id"]

    def edit(self, file: str, old: str, new: str) -> None:
        """Change a file of the scratch checkout. Raises ConfigError when it reads otherwise."""
        path = self.project / file
        text = path.read_text(encoding="utf-8")
        if old not in text:
            raise ConfigError(
                f"{file} does not hold {old!r}, which this fault would change",
                where=str(path),
                fix="platform-ctl lab list",
            )
        path.write_text(text.replace(old, new), encoding="utf-8")

    @contextlib.contextmanager
    def database(self) -> Any:
        """The home's database."""
        db: sqlite3.Connection = connect(self.home / "platform.db")
        try:
            yield db
        finally:
            db.close()

    # ---- what the records of the home say ------------------------------------------

    def runs(self, pipeline: str = PIPELINE) -> list[dict[str, Any]]:
        """Newest first."""
        found = self.read("run", "list", "--limit", "100") or []
        return [r for r in found if r["pipeline"] == pipeline]

    def newest_run(self) -> dict[str, Any]:
        """With its tasks; an empty one when there is none."""
        runs = self.runs()
        found = self.read("run", "show", runs[0]["id"]) if runs else None
        return found or {"id": "", "state": "none", "tasks": [], "verdicts": []}

    def model(self) -> dict[str, Any]:
        """The one registered model: its aliases and versions; empty when there is none."""
        return next(iter(self.read("model", "list") or []), {"aliases": {}, "versions": []})

    def version(self, alias: str) -> dict[str, Any]:
        """The version at an alias; one without tags when there is none."""
        found = [v for v in self.model()["versions"] if alias in v["aliases"]]
        return next(iter(found), {"version": "", "tags": {}})

    def unchanged(self, file: str) -> bool:
        """Whether a file of the checkout is as it was before the fault."""
        parts = self.project / file, self.base / "project" / file
        return parts[0].read_bytes() == parts[1].read_bytes()

    # ---- the session --------------------------------------------------------------

    def mark(self, session_id: str) -> None:
        """Write into the home which session it belongs to."""
        with self.database() as db:
            db.execute("INSERT OR REPLACE INTO home VALUES (?, ?)", (_MARK, session_id))

    def marked(self) -> str:
        """The session of the home that is there; "" for another home, or none."""
        if not (self.home / "platform.db").is_file():
            return ""
        with self.database() as db:
            row = db.execute("SELECT value FROM home WHERE key = ?", (_MARK,)).fetchone()
        return row["value"] if row else ""

    def save(self, session: Session) -> None:
        draft = self.root / f"{SESSION}.draft"
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(session), indent=1))
        draft.replace(self.root / SESSION)

    def session(self) -> Session | None:
        file = self.root / SESSION
        return msgspec.json.decode(file.read_bytes(), type=Session) if file.is_file() else None

    def _stop_everything(self) -> None:
        session = self.session()
        if session and "pid" in session.facts:
            _end(ProcessId(int(session.facts["pid"]), str(session.facts["pid_started"])))
        if not self.project.is_dir() or not (self.home / "platform.db").is_file():
            return
        for run in self.read("run", "list") or []:
            if run["state"] in ("PENDING", "RUNNING"):
                self.call("run", "cancel", run["id"], may_fail=True)
        if (self.home / "services").is_dir():
            for service in self.read("service", "list") or []:
                self.call("service", "stop", service["name"], may_fail=True)


def _failed(
    words: tuple[str, ...], done: subprocess.CompletedProcess[str], home: Path
) -> WorkloadFailed:
    return WorkloadFailed(
        f"in the lab, platform-ctl {' '.join(words)} ended with {done.returncode}: "
        f"{done.stderr.strip()[-400:]}",
        where=str(home),
        fix="platform-ctl lab reset --all",
    )


def _end(spawned: ProcessId) -> None:
    """End a process and what it started; another one that got its number is left alone."""
    try:
        process = spawned.process()
        if process is None:
            return
        family = [*process.children(recursive=True), process]
    except psutil.NoSuchProcess:
        return
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.terminate()
    _, alive = psutil.wait_procs(family, timeout=5)
    for member in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
