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
    at_the_door: bool = False
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
        self._members: dict[str, Replica] = {}
        self._retiring: set[Replica] = set()
        self._retirements: set[asyncio.Task] = set()
        self._routing = asyncio.Lock()
        self._watcher: asyncio.Task | None = None
        self._launches = 0
        # Revision processes read this; it reports our end to them, however we end.
        self._lifeline, self._lifeline_held = os.pipe()

    @property
    def port(self) -> int:
        return self._listener.getsockname()[1]

    @property
    def has_canary(self) -> bool:
        return self._spec is not None and self._spec.canary is not None

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
        leaving = [m for n, m in self._members.items() if n not in wanted]
        for member in leaving:
            del self._members[member.revision.name]
            member.role = "draining"
        for role, revision in (("production", spec.production), ("canary", spec.canary)):
            if revision is not None:
                self._members[revision.name].role = role
        self._on_change()  # whoever comes after a kill has to know them
        await self._route()
        for member in leaving:
            await self._retire(member)
        self._on_change()

    async def _start_missing(self, spec: ServiceSpec) -> None:
        missing = [r for r in spec.revisions() if r.name not in self._members]
        started = await asyncio.gather(
            *(self._launch(r, spec) for r in missing), return_exceptions=True
        )
        failures = [s for s in started if isinstance(s, BaseException)]
        processes = [s for s in started if isinstance(s, RevisionProcess)]
        if failures:
            await asyncio.gather(*(p.end() for p in processes))
            raise failures[0]
        for revision, process in zip(missing, processes, strict=True):
            member = Replica(revision, "canary", process)
            member.keeper = asyncio.create_task(self._keep_running(member))
            self._members[revision.name] = member

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
            lifeline_fd=self._lifeline,
            cwd=self._options.project_root,
        )
        log.info("revision %s is ready (process %d)", revision.name, process.id.pid)
        return process

    async def _route(self) -> None:
        """Tell every process its part: first who takes the door over, then who leaves it."""
        async with self._routing:
            spec = self._spec
            if spec is None:
                return
            door = spec.production or spec.canary
            if door is None:
                return
            first = self._members[door.name]
            if first.process.ready:
                production = spec.production is not None
                canary = self._canary_route(spec) if production else None
                await self._take_door(first, production=production, canary=canary)
            for member in self._members.values():
                if member is not first and member.at_the_door:
                    await self._leave_door(member)

    def _canary_route(self, spec: ServiceSpec) -> channel.Canary | None:
        if spec.canary is None:
            return None
        socket_path = self._members[spec.canary.name].process.launch.socket
        return channel.Canary(spec.canary.name, socket_path, spec.weight_percent)

    async def _take_door(
        self, member: Replica, *, production: bool, canary: channel.Canary | None
    ) -> None:
        try:
            await member.process.route(front=True, production=production, canary=canary)
            member.at_the_door = True
        except ServiceUnavailable as exc:  # its keeper starts it again, and routes then
            await self._put_down(member, exc.what)

    async def _leave_door(self, member: Replica) -> None:
        member.at_the_door = False
        try:
            await member.process.route(front=False, production=True)
        except ServiceUnavailable as exc:  # it hangs or is gone: ending it frees the door
            log.warning("%s", exc.what)

    async def _retire(self, member: Replica) -> None:
        """Stop accepting now; drain and end in the background."""
        member.let_go()
        self._retiring.add(member)
        was_at_the_door = member.at_the_door
        if was_at_the_door and member.process.ready:
            await self._leave_door(member)
        task = asyncio.create_task(self._end(member, drain=was_at_the_door))
        self._retirements.add(task)
        task.add_done_callback(self._retirements.discard)

    async def _end(self, member: Replica, *, drain: bool) -> None:
        if drain:
            await member.process.wait_drained()
        await member.process.end()
        log.info("revision %s has ended", member.revision.name)
        self._retiring.discard(member)
        self._on_change()

    # ---- keeping processes alive ------------------------------------------

    async def _keep_running(self, member: Replica) -> None:
        """Restart a revision whose process ends; a canary only a few times."""

        def enough(state: tenacity.RetryCallState) -> bool:
            return member.role == "canary" and state.attempt_number > _CANARY_RESTARTS

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
                        await self._restart(member)
                    await self._until_down(member)
        except tenacity.RetryError:
            log.error("revision %s is left down: it ended too often", member.revision.name)

    async def _until_down(self, member: Replica) -> None:
        code = await asyncio.shield(member.process.ended)
        if member.process.ready:  # it was not put down
            member.last_failure = f"process ended with code {code}"
        member.process.ready = False
        member.at_the_door = False
        log.error("revision %s: %s", member.revision.name, member.last_failure)
        raise RevisionDown

    async def _restart(self, member: Replica) -> None:
        await member.process.kill()
        member.restarts += 1
        if self._spec is None:  # it ended before its first spec was in force
            raise RevisionDown
        try:
            member.process = await self._launch(member.revision, self._spec)
        except (ServiceUnavailable, EvidenceMismatch) as exc:
            member.last_failure = exc.what
            raise
        await self._route()
        self._on_change()

    async def _watch(self) -> None:
        """Kill what eats memory or does not react: the keeper starts it again."""
        rounds = 0
        while True:
            await asyncio.sleep(_WATCH_S)
            rounds += 1
            for member in list(self._members.values()):
                if not member.process.ready:
                    continue
                used, limit = member.process.rss_bytes(), self._options.limits.memory_bytes
                if used > limit:
                    await self._put_down(member, f"used {used >> 20} of {limit >> 20} MiB")
                elif rounds % _PING_EVERY == 0 and (not member.pinged or member.pinged.done()):
                    member.pinged = asyncio.create_task(self._ping(member))

    async def _ping(self, member: Replica) -> None:
        process = member.process
        try:
            await process.ping()
        except ServiceUnavailable as exc:
            if member.process is process and process.ready:
                await self._put_down(member, exc.what)

    async def _put_down(self, member: Replica, why: str) -> None:
        member.last_failure = why
        member.process.ready = False
        await member.process.kill()

    # ---- status and end ---------------------------------------------------

    def door_ids(self) -> list[ProcessId]:
        """What accepts, or is next to accept, at the service's address."""
        return self._ids(lambda m: m.at_the_door or m.role == "production")

    def other_ids(self) -> list[ProcessId]:
        return self._ids(lambda m: not m.at_the_door and m.role != "production")

    def _ids(self, wanted: Callable[[Replica], bool]) -> list[ProcessId]:
        members = [*self._members.values(), *self._retiring]
        return [m.process.id for m in members if m.process.returncode is None and wanted(m)]

    def status(self) -> dict:
        members = [*self._members.values(), *self._retiring]
        down = any(not m.status().ready for m in self._members.values())
        return {
            "state": ServiceState.DEGRADED if down else ServiceState.RUNNING,
            "port": self.port,
            "spec": self._spec,
            "revisions": [m.status() for m in members],
        }

    async def close(self) -> None:
        """Drain and end everything; the canary last, for production may still ask it."""
        if self._watcher is not None:
            self._watcher.cancel()
        members = list(self._members.values())
        for member in members:
            member.let_go()
        front = [m.process.end() for m in members if m.at_the_door]
        await asyncio.gather(*self._retirements, *front)
        await asyncio.gather(*(m.process.end() for m in members if not m.at_the_door))
        self._listener.close()
