"""Two uploads at once, each killed or not after any request: the newest version is the newest
commit's, nothing is doubled, and the next upload finishes what was left.

The actors run in threads and take turns at every request; hypothesis chooses whose turn it is,
whether the clock ticks, and who is killed, before or after the request had its effect.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st

from platform_ctl.upload.candidate import SourceCommit, UploadCandidate
from platform_ctl.upload.upload import Uploader, UploadResult, UploadState
from tests.fakes.kfp_pipelines import Store, StoreServer
from tests.support.uploads import EPOCH, Line, commit, made

OLD, A, B = commit("0", EPOCH - 60), commit("a", EPOCH), commit("b", EPOCH + 30)
CONTENT = {OLD: "old", A: "text of a", B: "text of b"}


class Killed(BaseException):
    """The process is gone: no handler of ours runs."""


@dataclass
class Actor:
    """One upload in a thread, which goes on only when it is told to."""

    uploader: Uploader
    candidate: UploadCandidate
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    waits: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    order: str = "go"
    ended: bool = False
    killed: bool = False
    results: list[UploadResult] = field(default_factory=list)

    def wait(self, name: str) -> None:
        self.waits.release()
        self.go.acquire()
        if self.order == "kill before":
            raise Killed

    def done(self, name: str) -> None:
        if self.order == "kill after":
            raise Killed

    def run(self) -> None:
        try:
            self.results = self.uploader.upload_all([self.candidate])
        except Killed:
            self.killed = True
        self.ended = True
        self.waits.release()

    def step(self, order: str) -> None:
        self.order = order
        self.go.release()
        self.waits.acquire()


class World:
    """A server, a clock that ticks when told, and the actors."""

    def __init__(self, *, reversed_ties: bool, hidden: bool) -> None:
        self.now_s = float(EPOCH + 100)
        self.store = Store(lambda: self.now_s, ties_reversed=reversed_ties)
        self.hidden = hidden
        """Whether the clone of A was made before B was pushed."""

    def uploader(self, source: SourceCommit) -> Uploader:
        return Uploader(StoreServer(self.store), self.history(source), pause=self.pause)

    def history(self, source: SourceCommit) -> Line:
        return Line(OLD, A, B, unknown=(B,) if self.hidden and source is not B else ())

    def pause(self, seconds: float) -> None:
        self.now_s += seconds

    def actor(self, source: SourceCommit) -> Actor:
        actor = Actor(self.uploader(source), made(source, text=CONTENT[source]))
        server = StoreServer(self.store, before=actor.wait, after=actor.done)
        actor.uploader.server = server
        thread = threading.Thread(target=actor.run, daemon=True)
        thread.start()
        actor.waits.acquire()
        return actor

    def upload(self, source: SourceCommit) -> UploadResult:
        return self.uploader(source).upload_all([made(source, text=CONTENT[source])])[0]

    def latest_commits(self) -> set[str]:
        return {v.tags["git-sha"] for v in self.store.latest("demo")}

    def check_nothing_doubled(self) -> None:
        commits = [v.tags["git-sha"] for v in self.store.versions.values()]
        assert len(commits) == len(set(commits)), commits


TURNS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from(["go"] * 8 + ["kill before", "kill after"]),
        st.sampled_from([0.0, 0.0, 0.4, 1.0]),
    ),
    max_size=40,
)


def play(world: World, actors: list[Actor], turns: list[tuple[int, str, float]]) -> None:
    for which, order, tick_s in turns:
        running = [a for a in actors if not a.ended]
        if not running:
            return
        world.now_s += tick_s
        running[which % len(running)].step(order)
    for actor in actors:
        while not actor.ended:
            actor.step("go")


@settings(max_examples=400)
@given(
    turns=TURNS,
    pair=st.sampled_from([(A, B), (B, A), (B, B), (A, A)]),
    reversed_ties=st.booleans(),
    hidden=st.booleans(),
    fresh=st.booleans(),
    last=st.sampled_from([(A, B), (B, A), (B,)]),
)
@example(
    turns=[(0, "go", 0.0), (1, "go", 0.0)] * 20,
    pair=(B, A),
    reversed_ties=True,
    hidden=True,
    fresh=True,
    last=(B, A),
)
def test_newest_version_is_the_newest_commit(
    turns: list[tuple[int, str, float]],
    pair: tuple[SourceCommit, SourceCommit],
    reversed_ties: bool,
    hidden: bool,
    fresh: bool,
    last: tuple[SourceCommit, ...],
) -> None:
    world = World(reversed_ties=reversed_ties, hidden=hidden)
    if not fresh:
        world.upload(OLD)
        world.now_s += 0.3
    actors = [world.actor(source) for source in pair]
    play(world, actors, turns)
    if not any(actor.killed for actor in actors):
        assert [r.error for a in actors for r in a.results] == [None, None]
        newest = B if B in pair else A
        assert world.latest_commits() == {newest.commit}
    world.check_nothing_doubled()
    for source in last:
        world.now_s += 0.3
        assert world.upload(source).error is None
    assert world.latest_commits() == {B.commit}
    world.check_nothing_doubled()
    assert world.upload(B).state is UploadState.UNCHANGED
