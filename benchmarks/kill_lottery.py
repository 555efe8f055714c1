"""kill -9 at random moments of the main job: ``python -m benchmarks.kill_lottery --kills 40``.

Each round starts with an empty home and goes from ingest over two trained versions, their
approvals and promotions to a rollback, by the commands a person types. At random moments a
random process of the home is killed: the command, the engine, a step and its template, Ray,
a worker, the supervisor, a revision; or all of them at once. After each kill the commands
that ``doctor`` prints are typed, then the interrupted command again, until the stage has
reached its goal. Rounds follow until so many kills have been made. Checked on the way:

* no command waits for ever, and each stage reaches its goal;
* once the command has ended, no process but those of the service is left;
* each database is whole, and ``doctor`` has no complaint;
* one version is in production, and alias and service name the same;
* no task whose outputs were in the cache was computed a second time;
* nothing is left half written.

The same seed draws the same victims; what they were doing at that moment depends on the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
CLI = (sys.executable, "-c", "from platform_ctl.cli.app import main; main()")
MODEL = "weekly-commits"
SMALL = ("-p", "max_trials=3", "-p", "epochs=3")
WAIT_S = 600.0
"""Longer than any command takes on a busy machine."""
SETTLE_S = 90.0
"""Within which the processes of a killed command have ended."""
MAX_ATTEMPTS = 8
MOST_KILLS = 4
"""In one stage."""
ALL = "all of them"
SQLITE = b"SQLite format 3\0"
SERVICE_ROLES = ("supervisor", "revision")
ROLES = {
    "platform_ctl.serving.local.supervisor": "supervisor",
    "platform_ctl.serving.local.revision": "revision",
    "platform_ctl.runs.local.step_server": "step",
    "platform_ctl.training.local.ray_head": "ray head",
    "platform_ctl.tuning.local": "tuner",
    "ray::": "ray worker",
    "/ray/": "ray daemon",
    "platform_ctl": "engine",
}
"""Part of the command line -> what the process is; the first that is there."""


@dataclass(frozen=True)
class Stage:
    """Words of a command, and whether the home is where the command leads."""

    name: str
    words: tuple[str, ...]
    reached: Callable[[Home], bool]
    typical_s: float
    """A kill falls within so many seconds; replaced by what the last undisturbed one took."""


@dataclass
class Kill:
    stage: str
    role: str
    after_s: float
    attempts: int = 0
    recovered_s: float = 0.0
    typed: list[str] = field(default_factory=list)


class Home:
    """A home, the commands typed in it, and what is wrong with it."""

    def __init__(self, path: Path, log: Path) -> None:
        self.path, self.log = path, log
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PLATFORM_")}
        self.env = {**kept, "PLATFORM_HOME": str(path)}
        self.executed: dict[tuple[str, str], tuple[str, str]] = {}
        """(component, digest of the inputs) -> (run, moment) of the execution that succeeded."""

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as out:
            out.write(f"\n$ platform-ctl {shlex.join(words)}\n".encode())
            out.flush()
            return subprocess.Popen(
                (*CLI, *words),
                cwd=ROOT,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def ask(self, *words: str) -> Any:
        """What a command answers as JSON; None when it could not be asked."""
        done = subprocess.run(
            (*CLI, *words, "-o", "json"),
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            timeout=WAIT_S,
            check=False,
        )
        with contextlib.suppress(ValueError):
            return json.loads(done.stdout)
        return None

    def processes(self) -> dict[psutil.Process, str]:
        """The processes of this home, and what each is."""
        found: dict[psutil.Process, str] = {}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                words = process.cmdline()
                of_home = process.environ().get("PLATFORM_HOME") == str(self.path)
                if not (of_home or any(w.startswith(f"{self.path}/") for w in words)):
                    continue
                line = " ".join(words)
                if process.pid != os.getpid() and line:
                    found[process] = next((r for part, r in ROLES.items() if part in line), "other")
        return found

    def aliases(self) -> dict[str, str]:
        return next((dict(m["aliases"]) for m in self.ask("model", "list") or []), {})

    def versions(self) -> int:
        return sum(len(m["versions"]) for m in self.ask("model", "list") or [])

    def runs(self) -> list[dict[str, Any]]:
        """In the order in which they were created."""
        return list(reversed(self.ask("run", "list", "--limit", "100") or []))

    def settle(self) -> list[str]:
        """Waits until no run goes on; what is wrong when that takes too long."""
        deadline = time.monotonic() + WAIT_S
        while any(r["state"] == "RUNNING" and not r["orphaned"] for r in self.runs()):
            if time.monotonic() > deadline:
                return [f"a run goes on after {WAIT_S:.0f} s"]
            time.sleep(1.0)
        return []


def trained(count: int) -> Callable[[Home], bool]:
    """So many versions wait for approval or were approved, and no run is unfinished."""

    def reached(home: Home) -> bool:
        requests = home.ask("approval", "list", "--all") or []
        return home.versions() >= count and len(requests) >= count

    return reached


def in_production(version: str) -> Callable[[Home], bool]:
    return lambda home: home.aliases().get("production") == version and released(home)


def released(home: Home) -> bool:
    """No release is open: promoted or rolled back, with its history."""
    release = home.ask("release", "show", MODEL)
    return release is not None and release["release"]["state"] in ("promoted", "rolled back")


def ingested(home: Home) -> bool:
    return bool(home.ask("data", "show"))


def approve(seed: int) -> tuple[str, ...]:
    return ("approval", "approve", "latest", "--reason", f"lottery {seed}", "--wait")


STAGES = (
    Stage("ingest", ("data", "ingest", "--sample"), ingested, 8),
    Stage("train 1", ("pipeline", "run", "train-deploy", *SMALL), trained(1), 100),
    Stage("approve 1", approve(1), in_production("1"), 30),
    Stage("train 2", ("pipeline", "run", "train-deploy", *SMALL, "-p", "seed=1"), trained(2), 90),
    Stage("approve 2", approve(2), in_production("2"), 60),
    Stage("rollback", ("release", "rollback", MODEL, "--reason", "back"), in_production("1"), 5),
)


class Lottery:
    """Draws the victims, kills them, types what is printed, and notes what is wrong."""

    def __init__(self, seed: int, kills: int, folder: Path) -> None:
        self.rng = random.Random(seed)
        self.left, self.folder = kills, folder
        self.kills: list[Kill] = []
        self.wrong: list[str] = []
        self.rounds = 0
        self.typical_s = {stage.name: stage.typical_s for stage in STAGES}

    def round(self) -> None:
        """From an empty home to the rollback; the home stays when something is wrong."""
        self.rounds += 1
        path, before = self.folder / f"home{self.rounds}", len(self.wrong)
        home = Home(path, self.folder / f"round{self.rounds}.log")
        try:
            if all(self.play(home, stage) for stage in STAGES):
                self.check_service(home)
                self.check_files(home)
        finally:
            stop(home)
        if len(self.wrong) == before:
            shutil.rmtree(path, ignore_errors=True)

    def play(self, home: Home, stage: Stage) -> bool:
        """Types the stage's command, with up to MOST_KILLS kills, until its goal is reached."""
        kills = min(self.left, self.rng.randint(1, MOST_KILLS))
        for _ in range(MAX_ATTEMPTS + kills):
            kill = self.attempt(home, stage, disturbed=kills > 0)
            begun = time.monotonic()
            if kill is not None:
                kills, self.left = kills - 1, self.left - 1
                self.kills.append(kill)
            self.recover(home, kill)
            self.check(home, stage.name)
            reached = stage.reached(home)
            if kill is not None:
                kill.recovered_s = time.monotonic() - begun
                say(f"{len(self.kills):3d} {kill} {'goal reached' if reached else ''}")
            if reached:
                return True
        self.note(home, f"{stage.name}: not reached in {MAX_ATTEMPTS} attempts")
        return False

    def attempt(self, home: Home, stage: Stage, *, disturbed: bool) -> Kill | None:
        """Types the command once; the kill, when one fell before the command had ended."""
        begun = time.monotonic()
        delay_s = self.rng.uniform(0.3, self.typical_s[stage.name])
        role_drawn, victim_drawn = self.rng.random(), self.rng.random()
        command = home.start(*stage.words)
        kill = None
        if disturbed:
            with contextlib.suppress(subprocess.TimeoutExpired):
                command.wait(delay_s)
            if command.returncode is None:
                role, victims = draw(home, command, role_drawn, victim_drawn)
                for victim in victims:
                    with contextlib.suppress(psutil.Error):
                        victim.kill()
                kill = Kill(stage.name, role, time.monotonic() - begun)
        try:
            command.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self.note(home, f"{stage.name}: the command hangs, {kill}")
            command.kill()
            command.wait()
        if kill is None and command.returncode == 0:
            self.typical_s[stage.name] = max(2.0, time.monotonic() - begun)
        return kill

    def recover(self, home: Home, kill: Kill | None) -> None:
        """Types what doctor prints, as long as it prints something that can be typed."""
        self.wrong += home.settle()
        self.check_processes(home, kill)
        for _ in range(MAX_ATTEMPTS):
            found = complaints(home)
            fixes = [c["fix"] for c in found if c["fix"].startswith("platform-ctl ")]
            if not fixes or kill is None:
                break
            kill.typed.append(fixes[0])
            command = home.start(*shlex.split(fixes[0])[1:])
            try:
                command.wait(WAIT_S)
            except subprocess.TimeoutExpired:
                self.note(home, f"{fixes[0]} hangs")
                command.kill()
            self.wrong += home.settle()
        for one in found:
            self.note(home, f"doctor: {one['name']}: {one['detail']}")

    # ---- what must hold ------------------------------------------------------

    def note(self, home: Home, what: str) -> None:
        self.wrong.append(f"round {self.rounds}: {what} ({home.path})")
        say(f"WRONG {self.wrong[-1]}")

    def check_processes(self, home: Home, kill: Kill | None) -> None:
        """No process but those of the service outlives the command for long."""
        deadline = time.monotonic() + SETTLE_S
        while others := [
            f"{role} {p.pid}" for p, role in home.processes().items() if role not in SERVICE_ROLES
        ]:
            if time.monotonic() > deadline:
                self.note(home, f"{kill}: still there after {SETTLE_S:.0f} s: {others}")
                break
            time.sleep(0.5)

    def check(self, home: Home, stage: str) -> None:
        """What must hold after each command: databases and the cache."""
        for database in databases(home.path):
            with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
                if (found := db.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
                    self.note(home, f"{stage}: {database.name}: {found}")
        self.check_cache(home)

    def check_cache(self, home: Home) -> None:
        """Each computation that may be cached was done once."""
        for run in home.runs():
            for task in (home.ask("run", "show", run["id"]) or {}).get("tasks", []):
                done = task["state"] == "SUCCEEDED" and task["cache_use"] == "MISS"
                if not done or not task["inputs_digest"]:
                    continue
                key = (task["component"], task["inputs_digest"])
                execution = (run["id"], task["started_at"])
                if home.executed.setdefault(key, execution) != execution:
                    self.note(
                        home,
                        f"{task['path']} was computed in {home.executed[key]} and again"
                        f" in {execution}",
                    )
                    home.executed[key] = execution

    def check_service(self, home: Home) -> None:
        """Alias and service name one version, which answers; so many versions as runs made."""
        aliases = home.aliases()
        services = home.ask("service", "list") or []
        served = [s["spec"]["production"]["model_version"] for s in services]
        if served != [aliases.get("production")]:
            self.note(home, f"alias {aliases}, served {served}")
        if home.versions() != 2:
            self.note(home, f"{home.versions()} versions are registered, 2 were asked for")

    def check_files(self, home: Home) -> None:
        """Nothing half written is left."""
        for left in half_written(home.path):
            self.note(home, f"half written: {left.relative_to(home.path)}")

    def report(self) -> str:
        """The table, and the sentence."""
        by_role = Counter(kill.role for kill in self.kills)
        by_stage = Counter(kill.stage for kill in self.kills)
        lines = ["", "killed: " + ", ".join(f"{r} {n}" for r, n in by_role.most_common())]
        lines.append("during: " + ", ".join(f"{s} {n}" for s, n in by_stage.items()))
        lines += self.wrong
        lines.append(
            f"{len(self.kills)} kills in {self.rounds} rounds, {len(self.wrong)} things wrong;"
            f" load {os.getloadavg()[0]:.0f}"
        )
        return "\n".join(lines)


def say(line: str) -> None:
    print(line, flush=True)


def draw(
    home: Home, command: subprocess.Popen[bytes], role_drawn: float, victim_drawn: float
) -> tuple[str, list[psutil.Process]]:
    """A role, and one of its processes; each role is as likely as another."""
    by_role: dict[str, list[psutil.Process]] = {}
    for process, role in home.processes().items():
        role = "command" if process.pid == command.pid else role
        by_role.setdefault(role, []).append(process)
    by_role[ALL] = [p for processes in by_role.values() for p in processes]
    role = sorted(by_role)[int(role_drawn * len(by_role))]
    victims = sorted(by_role[role], key=lambda p: p.pid)
    return role, victims if role == ALL else [victims[int(victim_drawn * len(victims))]]


def complaints(home: Home) -> list[dict[str, str]]:
    """What doctor does not find in order."""
    return [c for c in home.ask("doctor") or [] if c["health"] != "ok"]


def databases(root: Path) -> Iterator[Path]:
    """The SQLite files; Feast's registry is called .db too and is none."""
    for path in root.rglob("*.db"):
        with path.open("rb") as file:
            if file.read(len(SQLITE)) == SQLITE:
                yield path


def half_written(root: Path) -> Iterator[Path]:
    """Files under their final names that do not read to their end."""
    import pyarrow.parquet as pq

    for path in root.rglob("*"):
        if not path.is_file() or path.name.startswith("."):
            continue
        try:
            if path.suffix == ".json":
                json.loads(path.read_bytes())
            elif path.suffix == ".parquet":
                pq.read_table(path)
        except (ValueError, OSError):
            yield path


def stop(home: Home) -> None:
    """Ends every process of the home."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        home.start("service", "stop", MODEL).wait(60)
    for process in home.processes():
        with contextlib.suppress(psutil.Error):
            process.send_signal(signal.SIGKILL)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where homes and logs are (default: a new one)")
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="lottery-"))
    folder.mkdir(parents=True, exist_ok=True)
    lottery = Lottery(asked.seed, asked.kills, folder)
    try:
        while lottery.left:
            lottery.round()
    finally:
        say(lottery.report())
    return int(bool(lottery.wrong))


if __name__ == "__main__":
    sys.exit(main())
