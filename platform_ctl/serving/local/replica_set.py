"""The revision processes of one InferenceService, kept as its spec says."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import tenacity

from platform_ctl.errors import EvidenceMismatch, ServiceUnavailable
from platform_ctl.serving.local import channel, records
from platform_ctl.serving.local.process import RevisionProcess
from platform_ctl.serving.local.records import (
    ProcessId,
    SavedSpec,
    ServiceFiles,
    SupervisorOptions,
)
from platform_ctl.serving.service import Revision, RevisionStatus, ServiceSpec, ServiceState

_CANARY_RESTARTS = 3
_WATCH_S = 0.25
_PING_EVERY = 8
"""Watch rounds between two pings."""
log = logging.getLogger("platform_ctl.supervisor")


@dataclass(eq=False)
class Replica:
    """A revision that should run, and the process that runs it at the moment."""

    revision: Revision
    role: str
    process: RevisionProcess
    restarts: int = 0
    last_failure: str = ""
    keeper: asyncio.Task | None = None
    is_accepting: bool = False
    pinged: asyncio.Task | None = field(default=None, repr=False)

    def let_go(self) -> None:
        """Restart it no more."""
        if self.keeper is not None:
            self.keeper.cancel()

    def status(self) -> RevisionStatus:
        runs = self.process.ready and self.process.returncode is None
        condition = self.process.condition if runs else ""
        return RevisionStatus(
            name=self.revision.name,
            role=self.role,
            pid=self.process.id.pid if runs else None,
            ready=runs and not condition,
            restarts=self.restarts,
            rss_bytes=self.process.rss_bytes() if runs else 0,
            last_failure=condition or self.last_failure,
        )


class RevisionDown(Exception):
    """A revision's process ended although the spec wants it."""


class ReplicaSet:
    """Applies specs one at a time (the caller sees to that) and keeps processes alive."""

    def __init__(
        self,
        name: str,
        options: SupervisorOptions,
        listener: socket.socket,
        sockets: Path,
        files: ServiceFiles,
        on_change: Callable[[], None],
    ) -> None:
        self._name = name
        self._options = options
        self._listener = listener
        self._sockets = sockets
        self._files = files
        self._on_change = on_change
        self._spec: ServiceSpec | None = None
        self._replicas: dict[str, Replica] = {}
        self._retiring: set[Replica] = set()
        self._retirements: set[asyncio.Task] = set()
        self._routing = asyncio.Lock()
        self._watcher: asyncio.Task | None = None
        self._launches = 0
        # Revision processes read this; it reports our end to them, however we end.
        self._parent_pipe, self._parent_pipe_held = os.pipe()

    @property
    def port(self) -> int:
        return self._listener.getsockname()[1]

    # ---- applying a spec --------------------------------------------------

    async def apply(self, spec: ServiceSpec) -> None:
        """Serve ``spec``. Raises ServiceUnavailable when a revision does not become ready;
        nothing has changed then."""
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._watch())
        await self._start_missing(spec)
        records.write_json(self._files.spec, SavedSpec(spec, self.port))
        self._spec = spec
        wanted = {r.name for r in spec.revisions()}
        leaving = [m for n, m in self._replicas.items() if n not in wanted]
        for replica in leaving:
            del self._replicas[replica.revision.name]
            replica.role = "draining"
        for role, revision in (("production", spec.production), ("canary", spec.canary)):
            if revision is not None:
                self._replicas[revision.name].role = role
        self._on_change()  # whoever comes after a kill has to know them
        await self._route()
        for replica in leaving:
            await self._retire(replica)
        self._on_change()

    async def _start_missing(self, spec: ServiceSpec) -> None:
        missing = [r for r in spec.revisions() if r.name not in self._replicas]
        started = await asyncio.gather(
            *(self._launch(r, spec) for r in missing), return_exceptions=True
        )
        failures = [s for s in started if isinstance(s, BaseException)]
        processes = [s for s in started if isinstance(s, RevisionProcess)]
        if failures:
            await asyncio.gather(*(p.end() for p in processes))
            raise failures[0]
        for revision, process in zip(missing, processes, strict=True):
            replica = Replica(revision, "canary", process)
            replica.keeper = asyncio.create_task(self._keep_running(replica))
            self._replicas[revision.name] = replica

    async def _launch(self, revision: Revision, spec: ServiceSpec) -> RevisionProcess:
        self._launches += 1
        slug = re.sub(r"[^A-Za-z0-9]+", "-", revision.name)[:16]
        launch = channel.Launch(
            service=self._name,
            revision=revision,
            service_dir=str(self._files.root),
            project_root=self._options.project_root,
            socket=str(self._sockets / f"{os.getpid()}-{self._launches}.sock"),
            request_log=str(self._files.requests / f"{slug}-{os.getpid()}-{self._launches}.jsonl"),
            limits=self._options.limits,
            data=self._options.data,
            entity=spec.entity,
            online_features=spec.online_features,
        )
        process = RevisionProcess(
            launch,
            lambda line: log.info("[%s] %s", revision.name, line),
        )
        await process.start(
            listen_fd=self._listener.fileno(),
            parent_fd=self._parent_pipe,
            cwd=self._options.project_root,
        )
        log.info("revision %s is ready (process %d)", revision.name, process.id.pid)
        return process

    async def _route(self) -> None:
        """Tell every process its part: first who begins to accept, then who ends."""
        async with self._routing:
            spec = self._spec
            if spec is None:
                return
            accepting = spec.production or spec.canary
            if accepting is None:
                return
            first = self._replicas[accepting.name]
            if first.process.ready:
                production = spec.production is not None
                canary = self._canary_route(spec) if production else None
                await self._attach(first, production=production, canary=canary)
            for replica in self._replicas.values():
                if replica is not first and replica.is_accepting:
                    await self._detach(replica)

    def _canary_route(self, spec: ServiceSpec) -> channel.Canary | None:
        if spec.canary is None:
            return None
        socket_path = self._replicas[spec.canary.name].process.launch.socket
        return channel.Canary(spec.canary.name, socket_path, spec.weight_percent)

    async def _attach(
        self, replica: Replica, *, production: bool, canary: channel.Canary | None
    ) -> None:
        try:
            await replica.process.route(front=True, production=production, canary=canary)
            replica.is_accepting = True
        except ServiceUnavailable as exc:  # its keeper starts it again, and routes then
            await self._put_down(replica, exc.what)

    async def _detach(self, replica: Replica) -> None:
        replica.is_accepting = False
        try:
            await replica.process.route(front=False, production=True)
        except ServiceUnavailable as exc:  # it hangs or is gone: ending it closes its socket
            log.warning("%s", exc.what)

    async def _retire(self, replica: Replica) -> None:
        """Stop accepting now; drain and end in the background."""
        replica.let_go()
        self._retiring.add(replica)
        was_accepting = replica.is_accepting
        if was_accepting and replica.process.ready:
            await self._detach(replica)
        task = asyncio.create_task(self._end(replica, drain=was_accepting))
        self._retirements.add(task)
        task.add_done_callback(self._retirements.discard)

    async def _end(self, replica: Replica, *, drain: bool) -> None:
        if drain:
            await replica.process.wait_drained()
        await replica.process.end()
        log.info("revision %s has ended", replica.revision.name)
        self._retiring.discard(replica)
        self._on_change()

    # ---- keeping processes alive ------------------------------------------

    async def _keep_running(self, replica: Replica) -> None:
        """Restart a revision whose process ends; a canary only a few times."""

        def enough(state: tenacity.RetryCallState) -> bool:
            return replica.role == "canary" and state.attempt_number > _CANARY_RESTARTS

        attempts = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(
                (RevisionDown, ServiceUnavailable, EvidenceMismatch)
            ),
            wait=tenacity.wait_exponential_jitter(initial=0.1, max=10, jitter=0.1),
            stop=enough,
        )
        try:
            async for attempt in attempts:
                with attempt:
                    if attempt.retry_state.attempt_number > 1:
                        await self._restart(replica)
                    await self._until_down(replica)
        except tenacity.RetryError:
            log.error("revision %s is left down: it ended too often", replica.revision.name)

    async def _until_down(self, replica: Replica) -> None:
        code = await asyncio.shield(replica.process.ended)
        if replica.process.ready:  # it was not put down
            replica.last_failure = f"process ended with code {code}"
        replica.process.ready = False
        replica.is_accepting = False
        log.error("revision %s: %s", replica.revision.name, replica.last_failure)
        raise RevisionDown

    async def _restart(self, replica: Replica) -> None:
        await replica.process.kill()
        replica.restarts += 1
        if self._spec is None:  # it ended before its first spec was in force
            raise RevisionDown
        try:
            replica.process = await self._launch(replica.revision, self._spec)
        except (ServiceUnavailable, EvidenceMismatch) as exc:
            replica.last_failure = exc.what
            raise
        await self._route()
        self._on_change()

    async def _watch(self) -> None:
        """Kill what eats memory or does not react: the keeper starts it again."""
        rounds = 0
        while True:
            await asyncio.sleep(_WATCH_S)
            rounds += 1
            for replica in list(self._replicas.values()):
                if not replica.process.ready:
                    continue
                used, limit = replica.process.rss_bytes(), self._options.limits.memory_bytes
                if used > limit:
                    await self._put_down(replica, f"used {used >> 20} of {limit >> 20} MiB")
                elif rounds % _PING_EVERY == 0 and (not replica.pinged or replica.pinged.done()):
                    replica.pinged = asyncio.create_task(self._ping(replica))

    async def _ping(self, replica: Replica) -> None:
        process = replica.process
        try:
            await process.ping()
        except ServiceUnavailable as exc:
            if replica.process is process and process.ready:
                await self._put_down(replica, exc.what)

    async def _put_down(self, replica: Replica, why: str) -> None:
        replica.last_failure = why
        replica.process.ready = False
        await replica.process.kill()

    # ---- status and end ---------------------------------------------------

    def accepting_ids(self) -> list[ProcessId]:
        """What accepts, or is next to accept, at the service's address."""
        return self._ids(lambda m: m.is_accepting or m.role == "production")

    def other_ids(self) -> list[ProcessId]:
        return self._ids(lambda m: not m.is_accepting and m.role != "production")

    def _ids(self, wanted: Callable[[Replica], bool]) -> list[ProcessId]:
        replicas = [*self._replicas.values(), *self._retiring]
        return [m.process.id for m in replicas if m.process.returncode is None and wanted(m)]

    def status(self) -> dict:
        replicas = [*self._replicas.values(), *self._retiring]
        down = any(not m.status().ready for m in self._replicas.values())
        return {
            "state": ServiceState.DEGRADED if down else ServiceState.RUNNING,
            "port": self.port,
            "spec": self._spec,
            "revisions": [m.status() for m in replicas],
        }

    async def close(self) -> None:
        """Drain and end everything; the canary last, for production may still ask it."""
        if self._watcher is not None:
            self._watcher.cancel()
        replicas = list(self._replicas.values())
        for replica in replicas:
            replica.let_go()
        front = [m.process.end() for m in replicas if m.is_accepting]
        await asyncio.gather(*self._retirements, *front)
        await asyncio.gather(*(m.process.end() for m in replicas if not m.is_accepting))
        self._listener.close()
