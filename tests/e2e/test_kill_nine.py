"""kill -9 right before every single change of state of a release's verbs, then a look."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from platform_ctl.approvals.request import ApprovalState
from platform_ctl.models.model import OUTSIDE, broken_link, recorded_aliases
from tests.support import crash

pytestmark = pytest.mark.e2e

SIGKILLED = -9
VERBS = {"promote": "2", "roll_back": "1", "undo": "1", "start": ""}
"""Verb -> the version that is in production after it."""


class Home:
    """A home that is put back to where a verb starts, and the process that carries verbs out."""

    def __init__(self, path: Path, process: subprocess.Popen, *, real: bool = False) -> None:
        self.path, self.process, self.real = path, process, real
        self.kept = path.with_name("kept")

    def do(self, verb: str, *, kill_at: int = 0) -> dict:
        asked = {"do": verb, "kill_at": kill_at, "real": self.real}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def keep(self, verb: str) -> None:
        """This is where ``verb`` starts."""
        shutil.copytree(self.path, self.kept / verb, ignore=shutil.ignore_patterns("services"))

    def put_back(self, verb: str) -> None:
        for part in self.path.iterdir():
            if part.name != "services":
                shutil.rmtree(part) if part.is_dir() else part.unlink()
        shutil.copytree(self.kept / verb, self.path, dirs_exist_ok=True)

    def verbs(self) -> crash.Verbs:
        return crash.Verbs(self.path, real=self.real)


@contextlib.contextmanager
def home_at(path: Path, *, real: bool = False):
    command = [sys.executable, "-m", "tests.support.crash", str(path)]
    process = subprocess.Popen(
        command, cwd=crash.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        home = Home(path, process, real=real)
        assert home.do("prepare")["code"] == 0
        for verb in ("promote", "roll_back", "start"):
            home.keep(verb)
        assert home.do("promote")["code"] == 0
        home.keep("undo")
        yield home
    finally:
        process.kill()
        process.wait()
        if real:
            crash.Verbs(path, real=True).ports.serving.stop(crash.NAME)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with home_at(tmp_path_factory.mktemp("killed") / "home") as home:
        yield home


@pytest.fixture(scope="module")
def real_home(tmp_path_factory):
    with home_at(tmp_path_factory.mktemp("really") / "home", real=True) as home:
        yield home


def assert_one_side(home: Home, verb: str) -> str:
    """Traffic and alias agree, the history holds, and it was decided once; the side."""
    verbs = home.verbs()
    ports = verbs.ports
    spec = ports.serving.get(crash.NAME).spec
    aliases = ports.registry.aliases(crash.NAME)
    assert spec.production.model_version == aliases["production"]
    history = ports.registry.history()
    assert broken_link(history) is None
    assert recorded_aliases(history, crash.NAME) == aliases
    moves = [(m.alias, m.from_version, m.to_version, m.reason) for m in history]
    assert len(moves) == len(set(moves)) and not any(m.actor == OUTSIDE for m in history)
    newest = ports.releases.latest(crash.NAME)
    assert not newest.intent
    kinds = [e.kind for e in ports.releases.events(newest.id)]
    decided = [k for k in kinds if k in ("promoted", "rolled back")]
    assert len(decided) == (0 if newest.state.is_open else 1), kinds
    if newest.state.is_open:
        assert spec.canary.model_version == "2"
    else:
        assert spec.canary is None
    approved = {r.version: r.state for r in ports.approvals.list()}
    undone = aliases["production"] == "1" and not newest.state.is_open
    assert (approved["2"] is ApprovalState.VOID) == undone
    return aliases["production"]


@pytest.mark.parametrize("verb", VERBS)
def test_killed_before_any_change_of_state(home, verb):
    home.put_back(verb)
    alive = home.do(verb)
    assert alive["code"] == 0 and len(alive["changes"]) >= (1 if verb == "start" else 12)
    assert assert_one_side(home, verb) == (VERBS[verb] or "1")
    before = "2" if verb == "undo" else "1"
    decided = False
    for kill_at in range(1, len(alive["changes"]) + 1):
        home.put_back(verb)
        assert home.do(verb, kill_at=kill_at)["code"] == SIGKILLED
        assert home.do("look")["code"] == 0
        side = assert_one_side(home, verb)
        # Before the intent is on disk nothing has happened; after it, all of it will.
        assert side in (before, VERBS[verb] or before)
        newest = home.verbs().ports.releases.latest(crash.NAME)
        done = not newest.state.is_open and (verb != "undo" or newest.returns)
        assert done >= decided, alive["changes"][kill_at - 1]
        decided = done
        if not done:  # whoever types the command again gets what was asked for
            assert home.do(verb)["code"] == 0
            assert assert_one_side(home, verb) == (VERBS[verb] or before)
    assert decided == (verb != "start")


@pytest.mark.parametrize("verb", ["promote", "roll_back", "undo"])
def test_killed_around_what_the_supervisor_is_told(real_home, verb):
    """The same on real processes: right before and after the traffic moves."""
    real_home.put_back(verb)
    assert real_home.do("start")["code"] == 0
    changes = real_home.do(verb)["changes"]
    moved = changes.index("supervisor") + 1
    assert assert_one_side(real_home, verb) == VERBS[verb]
    for kill_at in (moved, moved + 1):
        real_home.put_back(verb)
        assert real_home.do("start")["code"] == 0
        assert real_home.do(verb, kill_at=kill_at)["code"] == SIGKILLED
        assert real_home.do("look")["code"] == 0
        assert assert_one_side(real_home, verb) == VERBS[verb]
