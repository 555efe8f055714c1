"""Commands that read change no byte of the home, and work where nothing may be written.

Every command of the tree is either in READS or in ACTS: a new one has to say which it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from platform_ctl.cli.app import cli
from tests.support import chain

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
RUN, MODEL = chain.SECOND, chain.NAME
KILLED = "0dead000-0000-4000-8000-000000000000"
"""A run whose process was killed, and of which nobody has written down that it died."""
READS = {
    "doctor": (),
    "config show": (),
    "data golden show": (),
    "recipe check": ("train-deploy",),
    "recipe list": (),
    "pipeline list": (),
    "pipeline compile": ("--check",),
    "run list": (),
    "run show": (RUN,),
    "run watch": (RUN,),
    "run logs": (RUN,),
    "run why": (RUN,),
    "run diff": (chain.FIRST, RUN),
    "cache explain": (RUN,),
    "model list": (),
    "model show": (MODEL, "--history"),
    "model why": (MODEL,),
    "model verify": (f"{MODEL}/1",),
    "approval list": ("--all",),
    "approval show": ("latest",),
    "release show": (MODEL,),
    "service list": (),
    "experiment show": ("none",),
    "schedule check": (),
    "schedule list": (),
    "lineage show": (RUN,),
    "lineage events": (RUN,),
    "lab list": (),
    "lab causes": (),
}
"""Command and what it is asked about."""

NEEDS_DATA = {"data show", "pipeline impact"}
"""These read too, from a table that this home does not have: see tests/cli."""

ACTS = {
    *("init", "completion", "target check", "target install", "target remove"),
    *("data ingest", "data remove", "data audit", "data golden refresh"),
    *("recipe new", "pipeline run", "pipeline upload"),
    *("run cancel", "run execute", "run prune", "run resume", "run report"),
    *("cache prune", "cache verify", "experiment run"),
    *("model predict", "model reproduce", "model restore"),
    *("approval approve", "approval reject", "approval request"),
    *("approval controller", "approval serve", "ui", "metrics serve", "report weekly"),
    *("release abort", "release continue", "release rollback"),
    *("service logs", "service restart", "service start", "service stop"),
    *("lab check", "lab reset", "lab start"),
    *("exit-test check articulate", "exit-test check build", "exit-test check diagnose"),
    *("exit-test start articulate", "exit-test start build", "exit-test start diagnose"),
    *("schedule apply", "schedule pause", "schedule plan", "schedule resume"),
    *("schedule run", "schedule trigger", "lineage deliver", "lineage repair"),
}
"""What changes something, writes a file where it is told to, or serves until it is ended."""

_BUILD = """
import subprocess, sys, uuid
from pathlib import Path
from platform_ctl import targets
from platform_ctl.runs.local.records import RunRecords
from platform_ctl.runs.record import Run, RunState
from tests.support import chain
built = chain.build(Path(sys.argv[1]))
built.release("2", chain.ReleaseState.HELD)
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
directory = built.settings.layout.runs / sys.argv[2]
directory.mkdir(parents=True)
RunRecords(targets.database(built.settings)).create(
    Run(sys.argv[2], "killed", "train-deploy", RunState.RUNNING, "2026-01-05T00:00:00.000Z",
        str(directory), pid=child.pid)
)
child.kill()
child.wait()
"""
"""In a process of its own, which closes its connections: SQLite then folds its log in."""
_ALL = """
import contextlib, io, json, sys
from platform_ctl.cli.app import main
found = {}
for words in json.loads(sys.stdin.read()):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main(words)
        except SystemExit as exc:
            found[" ".join(words[2:])] = [exc.code or 0, said.getvalue()[-2000:]]
print(json.dumps(found))
"""
_WITHOUT_ROOTS_RIGHTS = ("-dac_override", "-dac_read_search")


def commands(command: click.Command = cli, path: tuple[str, ...] = ()) -> set[str]:
    if not isinstance(command, click.Group):
        return {" ".join(path)}
    inside = click.Context(command)
    found: set[str] = set()
    for name in command.list_commands(inside):
        one = command.get_command(inside, name)
        assert one is not None
        found |= commands(one, (*path, name))
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A home with runs, one of them killed, models, an approval that waits, a release on hold."""
    home = tmp_path_factory.mktemp("readers") / "home"
    subprocess.run([sys.executable, "-c", _BUILD, str(home), KILLED], cwd=ROOT, check=True)
    return home


def bytes_of(home: Path) -> dict[str, str]:
    """Path -> kind, mode and digest of everything that is there."""
    found = {}
    for path in sorted(home.rglob("*")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path.relative_to(home))] = f"{path.lstat().st_mode:o} {digest}"
    return found


def read_all(
    home: Path, *, run: str = RUN, without_root: bool = False, full_disk: bool = False
) -> dict[str, tuple[int, str]]:
    """Every reading command, in one process: what each left with and said."""
    asked = [
        ["--home", str(home), *c.split(), *(run if w == RUN else w for w in words)]
        for c, words in READS.items()
    ]
    program = [sys.executable, "-c", _ALL]
    if without_root and os.getuid() == 0:
        rights = ",".join(_WITHOUT_ROOTS_RIGHTS)
        program = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}", *program]
    if full_disk:  # in every file: as with ENOSPC, SQLite has no room for its own files
        program = ["prlimit", "--fsize=1000", *program]
    done = subprocess.run(
        program,
        cwd=ROOT,
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {c: (code, said) for c, (code, said) in json.loads(done.stdout).items()}


def test_every_command_reads_or_acts():
    assert commands() == READS.keys() | ACTS | NEEDS_DATA
    assert not READS.keys() & ACTS


@pytest.mark.parametrize("run", [RUN, KILLED], ids=["ended", "killed"])
def test_readers_change_no_byte(home, run):
    before = bytes_of(home)
    for command, (code, said) in read_all(home, run=run).items():
        assert code in (0, 1, 2, 3, 5), f"{command}: {said}"
    after = bytes_of(home)
    assert {p for p in before.keys() | after.keys() if before.get(p) != after.get(p)} == set()


def test_readers_make_no_home(tmp_path):
    home = tmp_path / "none"
    for command, (code, said) in read_all(home).items():
        assert code in (0, 1, 2, 3), f"{command}: {said}"
    assert not home.exists()


def test_readers_read_where_nothing_may_be_written(home, tmp_path):
    """Another person's home, or one on a read-only disk: the answers are the same."""
    copy = tmp_path / "home"
    shutil.copytree(home, copy)
    expected = {c: code for c, (code, _) in read_all(copy).items()}
    for path in [copy, *copy.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        for command, (code, said) in read_all(copy, without_root=True).items():
            if command == "doctor":  # it says so: a check of its own
                assert "home" in said and code in (0, 1), said
            else:
                assert code == expected[command], f"{command}: {said}"
    finally:
        for path in [copy, *copy.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o700)


def test_readers_read_on_a_full_disk(home):
    """Who has no room left needs to see what there is, to delete some of it."""
    expected = {c: code for c, (code, _) in read_all(home).items()}
    for command, (code, said) in read_all(home, full_disk=True).items():
        if command.startswith("pipeline compile"):  # compiles into the folder of temporary files
            continue
        assert code == expected[command], f"{command}: {said}"
