"""Checks whether a run can work on this machine; each finding has the command that fixes it.

Looks only: nothing heavy is imported and nothing is made, so that it answers in
well under a second and is safe while runs are going on.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shlex
import shutil
import socket
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil

from platform_ctl.errors import HomeDamaged, ServiceUnavailable
from platform_ctl.runs.port import RunReader
from platform_ctl.runs.record import Run, RunState
from platform_ctl.serving.port import Serving
from platform_ctl.serving.service import InferenceService, ServiceState
from platform_ctl.settings import HomeLayout, Settings

OLDEST_PYTHON = (3, 11)
DISTRIBUTION = "platform-ctl"
RECENT_RUNS = 100
DISK_LOW_BYTES = 5 * 10**9
"""A cold run with its models, logs and Ray's spill needs about this much."""
DISK_FULL_BYTES = 10**9


class Health(StrEnum):
    OK = "ok"
    WARN = "warn"
    """Works, but not as tested, or wastes something."""
    FAIL = "fail"
    """A command will fail because of it."""


@dataclass(frozen=True)
class Check:
    name: str
    health: Health
    detail: str
    fix: str = ""
    """A command; empty when there is nothing to fix."""


@dataclass(frozen=True)
class Schema:
    """Of the home's database (None: there is no home yet), and the newest this version knows."""

    have: int | None
    newest: int

    @property
    def readable(self) -> bool:
        return self.have is not None and self.have <= self.newest


def diagnose(
    settings: Settings,
    damaged: Mapping[Path, tuple[str, str]],
    schema: Schema | None,
    runs: RunReader | None,
    serving: Serving | None,
    engine: str = "",
    releases: Callable[[Sequence[InferenceService]], Iterable[Check]] = lambda services: (),
) -> list[Check]:
    """Every check, in the order a person would fix them.

    ``damaged`` has each database that cannot be trusted, with what is wrong and
    the command that helps. Without a schema and ports (no home yet, or one that
    cannot be read) they are not asked for. ``engine``: what is to be said about the
    engine of schedules; empty when nothing is. ``releases``: checks of what is released as the
    services, which are listed once: one whose supervisor is stopped takes ten seconds to list.
    """
    layout = settings.layout
    recent = runs.list(RECENT_RUNS) if runs else ()
    services, unreachable = _services(serving)
    return [
        check_python(sys.version_info[:3]),
        *check_packages(Path(settings.project_root) / "constraints.txt"),
        check_program("git"),
        check_disk(shutil.disk_usage(_nearest_existing(layout.root)).free),
        check_home(layout.root),
        *check_databases(damaged),
        *([check_schema(layout, schema)] if schema else []),
        *check_secrets([*layout.secrets.rglob("*"), *layout.runs.glob("*/ray/token")]),
        check_port(settings, services),
        check_runs(recent),
        *check_services(services),
        *unreachable,
        *releases(services),
        *check_processes(layout.root, recent, services),
        *check_schedules(engine),
    ]


def check_schedules(engine: str) -> Iterator[Check]:
    """Applied schedules that nothing fires."""
    if engine:
        yield Check("schedules", Health.WARN, engine, "platform-ctl schedule run")


def _services(serving: Serving | None) -> tuple[Sequence[InferenceService], list[Check]]:
    if serving is None:
        return (), []
    try:
        return serving.list(), []
    except (ServiceUnavailable, HomeDamaged) as exc:
        return (), [Check("services", Health.FAIL, exc.what, exc.fix)]


def check_python(version: tuple[int, int, int]) -> Check:
    text = ".".join(map(str, version))
    if version < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        return Check(
            "python", Health.FAIL, f"{text} is older than {oldest}", "PYTHON=python3.11 make setup"
        )
    return Check("python", Health.OK, f"{text} at {sys.executable}")


# ---- packages -------------------------------------------------------------

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;#]+)")
_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)(?:.*extra == ['\"]([^'\"]+)['\"])?")


def read_pins(constraints: Path) -> dict[str, str]:
    """Normalised name -> version of every ``name==version`` line."""
    lines = constraints.read_text(encoding="utf-8").splitlines()
    return {_normal(m[1]): m[2] for m in map(_PIN.match, lines) if m}


def check_packages(constraints: Path) -> Iterator[Check]:
    """Missing packages, then installed versions against the pins."""
    installed = {_normal(d.name): d.version for d in importlib.metadata.distributions()}
    required = importlib.metadata.requires(DISTRIBUTION) or []
    yield from compare_requirements(required, installed)
    if not constraints.is_file():
        yield Check(
            "versions",
            Health.WARN,
            f"no {constraints.name} in {constraints.parent}: versions not compared",
            "cd to the repository and run it again",
        )
        return
    yield compare_pins(read_pins(constraints), installed)


def compare_requirements(required: Iterable[str], installed: Mapping[str, str]) -> Iterator[Check]:
    """One line for each extra, and one for what is always needed."""
    groups: dict[str, list[str]] = {}
    for line in required:
        if match := _REQUIREMENT.match(line):
            groups.setdefault(match[2] or "", []).append(_normal(match[1]))
    for extra, names in groups.items():
        label = f"packages ({extra})" if extra else "packages"
        missing = sorted(n for n in names if n not in installed)
        if not missing:
            yield Check(label, Health.OK, f"{len(names)} of {len(names)} installed")
        elif extra == "kubernetes":
            yield Check(label, Health.OK, "not installed; only the kubernetes target needs them")
        else:
            health = Health.WARN if extra else Health.FAIL
            yield Check(label, health, f"missing: {', '.join(missing)}", "make -B setup")


def compare_pins(pins: Mapping[str, str], installed: Mapping[str, str]) -> Check:
    """Installed versions that are not the ones tested together. Local labels (+cpu) are ignored."""
    both = sorted(pins.keys() & installed.keys())
    different = [n for n in both if installed[n].partition("+")[0] != pins[n]]
    if different:
        shown = ", ".join(f"{n} {installed[n]} (pinned {pins[n]})" for n in different[:5])
        more = f" and {len(different) - 5} more" if len(different) > 5 else ""
        return Check("versions", Health.WARN, f"not as pinned: {shown}{more}", "make -B setup")
    return Check("versions", Health.OK, f"{len(both)} packages as pinned in constraints.txt")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# ---- machine and home -----------------------------------------------------


def check_program(name: str) -> Check:
    path = shutil.which(name)
    if path:
        return Check(name, Health.OK, path)
    return Check(name, Health.FAIL, "not on PATH", f"install {name} with your package manager")


def check_disk(free_bytes: int) -> Check:
    detail = f"{free_bytes / 1e9:.1f} GB free"
    if free_bytes < DISK_FULL_BYTES:
        return Check("disk", Health.FAIL, detail, "platform-ctl run prune --older-than 1d")
    if free_bytes < DISK_LOW_BYTES:
        wanted = f"{detail}; a cold run wants {DISK_LOW_BYTES / 1e9:.0f} GB"
        return Check("disk", Health.WARN, wanted, "platform-ctl run prune --older-than 1d")
    return Check("disk", Health.OK, detail)


def check_home(root: Path) -> Check:
    folder = _nearest_existing(root)
    if not os.access(folder, os.W_OK | os.X_OK):
        return Check("home", Health.FAIL, f"{folder} is not writable", f"chmod u+rwx {folder}")
    mode = stat.S_IMODE(root.stat().st_mode) if root.is_dir() else 0
    if mode & 0o077:  # a version before this one left it to the umask
        detail = f"{root} is open to other accounts (mode {mode:04o})"
        return Check("home", Health.WARN, detail, f"chmod 700 {shlex.quote(str(root))}")
    return Check("home", Health.OK, str(root))


def check_databases(damaged: Mapping[Path, tuple[str, str]]) -> Iterator[Check]:
    for path, (problem, fix) in damaged.items():
        yield Check("databases", Health.FAIL, f"{path} is damaged: {problem}", fix)
    if not damaged:
        yield Check("databases", Health.OK, "every page and index is intact")


def check_schema(layout: HomeLayout, schema: Schema) -> Check:
    have, newest = schema.have, schema.newest
    if have is None:
        return Check("schema", Health.OK, "no home yet; the first command that writes creates it")
    if have > newest:
        detail = f"{layout.database} has schema {have}; this version knows {newest}"
        return Check("schema", Health.FAIL, detail, "git pull && make setup")
    if have < newest:
        return Check("schema", Health.OK, f"{have}; the next command migrates it to {newest}")
    return Check("schema", Health.OK, str(have))


def check_secrets(paths: Iterable[Path]) -> Iterator[Check]:
    """Files that others can read."""
    modes = {p: stat.S_IMODE(p.stat().st_mode) for p in sorted(paths) if p.is_file()}
    for path, mode in modes.items():
        if mode & 0o077:
            yield Check("secrets", Health.FAIL, f"{path} has mode {mode:04o}", f"chmod 600 {path}")
    if not any(mode & 0o077 for mode in modes.values()):
        yield Check("secrets", Health.OK, f"{len(modes)} files, readable by their owner only")


def check_port(settings: Settings, services: Sequence[InferenceService]) -> Check:
    """The configured port of InferenceServices: free, or held by one of this home."""
    host, port = settings.serving.host, settings.serving.port
    if port == 0:
        return Check("port", Health.OK, "serving.port is 0: the first start picks a free one")
    if any(f":{port}" in s.url and s.state != ServiceState.STOPPED for s in services):
        return Check("port", Health.OK, f"{port} is held by a service of this home")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            detail = f"{host}:{port} cannot be used: {exc.strerror}"
            return Check("port", Health.FAIL, detail, "export PLATFORM_CTL_SERVING__PORT=0")
    return Check("port", Health.OK, f"{host}:{port} is free")


def _nearest_existing(path: Path) -> Path:
    return next(p for p in (path, *path.parents) if p.exists())


# ---- leftovers --------------------------------------------------------------


def check_runs(runs: Sequence[Run]) -> Check:
    """The newest run: one that was killed or failed waits to be resumed. Older ones are history,
    and one that was cancelled ended as somebody wanted."""
    going = sum(not r.state.final for r in runs)
    newest = runs[0] if runs else None
    if newest is not None and newest.state is RunState.FAILED:
        how = "was killed before its end" if newest.died else f"failed: {newest.error}"
        detail = f"{newest.name}, the newest run, {how}"
        return Check("runs", Health.WARN, detail, f"platform-ctl run resume {newest.id[:8]}")
    return Check("runs", Health.OK, f"{len(runs)} recorded, {going} running")


def check_services(services: Sequence[InferenceService]) -> Iterator[Check]:
    """Services that answer with a revision down, that answer errors, that nobody keeps, or whose
    processes were killed."""
    running = sum(s.state == ServiceState.RUNNING for s in services)
    unwell = [check for check in map(_unwell, services) if check is not None]
    yield from unwell
    if not unwell:
        yield Check("services", Health.OK, f"{len(services)} on record, {running} running")


def _unwell(service: InferenceService) -> Check | None:
    """None for a service that runs, or that somebody has stopped."""
    name = service.name
    why = next((r.last_failure for r in service.revisions if not r.ready), "")
    if service.state in (ServiceState.DEGRADED, ServiceState.UNKNOWN):
        detail = f"{name}: a revision is down{f': {why}' if why else ''}"
        return Check("services", Health.WARN, detail, f"platform-ctl service logs {name}")
    if service.state is ServiceState.STOPPED and why:
        detail = f"{name} does not run: {why}"
        return Check("services", Health.WARN, detail, f"platform-ctl service start {name}")
    return None


def check_processes(
    home: Path, runs: Sequence[Run], services: Sequence[InferenceService]
) -> Iterator[Check]:
    """Processes of this home that no live run and no service accounts for."""
    pids = [*(r.pid for r in runs if not r.state.final), *(s.pid for s in services)]
    wanted = {pid for pid in pids if pid is not None}
    strays = [p for p in _processes_of(home) if not _accounted_for(p, wanted)]
    for process in strays:
        detail = f"pid {process.pid} belongs to no live run or service"
        yield Check("processes", Health.WARN, detail, f"kill {process.pid}")
    if not strays:
        yield Check("processes", Health.OK, "no left-over process of this home")


def _processes_of(home: Path) -> Iterator[psutil.Process]:
    """Steps, Ray's daemons and supervisors that were started for ``home``.

    Steps and Ray carry the run in their environment, the long-lived processes
    of our adapters the home in their command line. A shell that merely exports
    PLATFORM_HOME is none of them.
    """
    for process in psutil.process_iter():
        try:
            env, words = process.environ(), process.cmdline()
        except psutil.Error:
            continue
        of_run = "PLATFORM_RUN_ID" in env and env.get("PLATFORM_HOME") == str(home)
        of_adapter = any(w.startswith("platform_ctl.") and ".local." in w for w in words)
        if of_run or (of_adapter and any(_is_in(home, Path(w)) for w in words)):
            yield process


def _is_in(home: Path, path: Path) -> bool:
    """Whether a path is in this home, and in no other home below it (that of the demo is)."""
    below = path.parents[: path.parents.index(home)] if home in path.parents else None
    return below is not None and not any(HomeLayout(p).database.is_file() for p in below)


def _accounted_for(process: psutil.Process, wanted: set[int]) -> bool:
    """A live run or service owns it: by its own pid, an ancestor's, or the run it names."""
    try:
        owner = process.environ().get("PLATFORM_RUN_PID", "")
        family = {process.pid, *(p.pid for p in process.parents())}
    except psutil.Error:
        return True
    return (
        bool(family & wanted) or os.getpid() in family or (owner.isdigit() and _alive(int(owner)))
    )


def _alive(pid: int | None) -> bool:
    return pid is not None and psutil.pid_exists(pid)
