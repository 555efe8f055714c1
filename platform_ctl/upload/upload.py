"""The upload of pipelines: one after the other, each safe to be killed after any request."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from platform_ctl.errors import (
    KfpUnavailable,
    PlatformError,
    UploadFailed,
    VersionConflict,
)
from platform_ctl.upload import marks, plan, preflight
from platform_ctl.upload.candidate import UploadCandidate
from platform_ctl.upload.plan import NameUse, UploadAction, UploadDecision
from platform_ctl.upload.port import (
    NameTaken,
    OutcomeUnknown,
    PipelineServer,
    Rejected,
    UploadedVersion,
)

_ROUNDS = 6
"""How often one pipeline is looked at anew after somebody else wrote meanwhile."""
_LOOKS_S = (0.2, 0.5, 1.0)
"""Pauses in which another upload makes what it is creating visible in the lists."""
_AGAIN = "platform-ctl --target kubernetes pipeline upload"


class UploadState(StrEnum):
    UPLOADED = "uploaded"
    UNCHANGED = "unchanged"
    SUPERSEDED = "superseded"
    FAILED = "failed"
    WOULD_UPLOAD = "would-upload"


@dataclass(frozen=True)
class UploadResult:
    """What became of one pipeline. ``version`` is the name of the version it is about."""

    name: str
    state: UploadState
    version: str = ""
    pipeline_id: str = ""
    version_id: str = ""
    notes: tuple[str, ...] = ()
    error: PlatformError | None = None


@dataclass
class Uploader:
    """One upload of one commit to one server; ``pause`` sleeps for seconds."""

    server: PipelineServer
    history: plan.History
    dry_run: bool = False
    pause: Callable[[float], None] = time.sleep
    _held: set[tuple[str, str]] = field(default_factory=set)
    """(pipeline, version name) that exist on the server and in no list."""
    _read: dict[str, tuple[str, list[UploadedVersion]]] = field(default_factory=dict)
    """What ``survey`` has read, for the first look at each pipeline."""

    def survey(self, candidates: Sequence[UploadCandidate]) -> dict[str, list[UploadedVersion]]:
        """The newest versions of each pipeline that the server has, by name. Writes nothing."""
        for candidate in candidates:
            if pipeline_id := self.server.find(candidate.name):
                self._read[candidate.name] = pipeline_id, self.server.newest(pipeline_id)
        return {name: versions for name, (_, versions) in self._read.items()}

    def upload_all(self, candidates: Sequence[UploadCandidate]) -> list[UploadResult]:
        """One result each, in order. A server that stops answering fails the rest."""
        results: list[UploadResult] = []
        lost: KfpUnavailable | None = None
        for candidate in candidates:
            if lost is None:
                try:
                    results.append(self._upload(candidate))
                    continue
                except KfpUnavailable as exc:
                    lost = exc
                except (UploadFailed, VersionConflict) as exc:
                    results.append(UploadResult(candidate.name, UploadState.FAILED, error=exc))
                    continue
            results.append(UploadResult(candidate.name, UploadState.FAILED, error=lost))
        return results

    def _upload(self, candidate: UploadCandidate) -> UploadResult:
        notes = preflight.warnings(candidate)
        for _ in range(_ROUNDS):
            try:
                result = self._one_round(candidate, notes)
            except Rejected as exc:
                raise self._failed(candidate, _rejection(exc)) from exc
            if result:
                return result
        raise self._failed(candidate, "other uploads of it go on all the time")

    def _one_round(self, candidate: UploadCandidate, notes: list[str]) -> UploadResult | None:
        """The result, or None where somebody else wrote meanwhile and all is read anew."""
        if candidate.name in self._read:
            pipeline_id, seen = self._read.pop(candidate.name)
        elif existing := self._pipeline(candidate, notes):
            pipeline_id, seen = existing, self.server.newest(existing)
        else:
            return self._result(candidate, UploadState.WOULD_UPLOAD, candidate.marks.name, notes)
        late = plan.out_of_order(seen, self.history)
        for version in late:
            _note(notes, f"version {version.name} of an older commit came too late; it goes")
            self._delete(pipeline_id, version)
        versions = plan.free_of(seen, late)
        decision = plan.decide(candidate.marks, versions, self.history)
        if decision.action in (UploadAction.UNCHANGED, UploadAction.SUPERSEDED):
            return self._settled(candidate, pipeline_id, decision, notes)
        if decision.action is UploadAction.REPLACE and decision.version:
            self._delete(pipeline_id, decision.version)
            versions = plan.free_of(versions, [decision.version])
        name = self._name(candidate, pipeline_id, decision, seen, notes)
        if not name:
            return None
        if self.dry_run:
            return self._result(candidate, UploadState.WOULD_UPLOAD, name, notes, pipeline_id)
        self._wait_for_own_second(versions)
        uploaded = self._write(candidate, pipeline_id, name, notes)
        if uploaded is None:
            return None
        return self._settle(candidate, pipeline_id, uploaded, versions, notes)

    def _pipeline(self, candidate: UploadCandidate, notes: list[str]) -> str | None:
        """Its id; made where it is new. None only in a dry run."""
        existing = self.server.find(candidate.name)
        if existing or self.dry_run:
            return existing
        try:
            created = self.server.create(
                candidate.name, candidate.pipeline.pipeline_info.description
            )
        except (NameTaken, OutcomeUnknown) as exc:
            for seconds in _LOOKS_S:
                if existing := self.server.find(candidate.name):
                    return existing
                self.pause(seconds)
            raise self._failed(
                candidate,
                "the name is taken by a pipeline that no list shows: one whose creation was "
                "interrupted, or one of another namespace",
            ) from exc
        notes.append("new pipeline")
        return created

    def _settled(
        self,
        candidate: UploadCandidate,
        pipeline_id: str,
        decision: UploadDecision,
        notes: list[str],
    ) -> UploadResult:
        version = decision.version
        assert version is not None and version.marks is not None
        if decision.action is UploadAction.SUPERSEDED:
            notes.append(f"commit {version.marks.commit[:7]} is newer")
            return self._result(
                candidate, UploadState.SUPERSEDED, version.name, notes, pipeline_id, version.id
            )
        if version.marks.sdk != candidate.marks.sdk:
            notes.append("only sdkVersion and comments differ")
        tags = marks.missing(version.tags, version.marks.tags())
        if tags and not self.dry_run:
            self.server.tag(pipeline_id, version.id, tags)
            notes.append("its tags were missing")
        return self._result(
            candidate, UploadState.UNCHANGED, version.name, notes, pipeline_id, version.id
        )

    def _name(
        self,
        candidate: UploadCandidate,
        pipeline_id: str,
        decision: UploadDecision,
        seen: Sequence[UploadedVersion],
        notes: list[str],
    ) -> str:
        """A free name; "" where another upload of this commit has just been quicker.

        Raises VersionConflict, UploadFailed.
        """
        mine = candidate.marks
        names = [mine.name, mine.suffixed_name]
        listed = self.server.named(pipeline_id, names)
        if decision.version:
            listed = plan.free_of(listed, [decision.version])
        for name in names:
            if (candidate.name, name) in self._held:
                continue
            use = plan.name_use(mine, name, listed)
            if use is NameUse.FREE:
                return name
            holder = next(v for v in listed if v.name == name)
            if use is NameUse.CONFLICT:
                raise _conflict(candidate, holder)
            if use is NameUse.SAME and plan.came_since(holder, seen):
                return ""
            _note(notes, f"the name {name} is taken by {use.value}")
        raise self._failed(candidate, f"the names {' and '.join(names)} are both taken")

    def _write(
        self, candidate: UploadCandidate, pipeline_id: str, name: str, notes: list[str]
    ) -> UploadedVersion | None:
        """The version made; None where another upload was quicker, or the name is held."""
        try:
            return self.server.upload(pipeline_id, name, candidate.content, candidate.marks)
        except NameTaken:
            for seconds in _LOOKS_S:
                if self.server.named(pipeline_id, [name]):
                    return None
                self.pause(seconds)
            self._held.add((candidate.name, name))
            _note(notes, f"the name {name} is held by a version that was never finished")
            return None
        except OutcomeUnknown as exc:
            listed = self.server.named(pipeline_id, [name])
            if listed and listed[0].marks == candidate.marks:
                return listed[0]
            raise self._failed(candidate, f"the server failed: {exc or 'HTTP 500'}") from exc

    def _settle(
        self,
        candidate: UploadCandidate,
        pipeline_id: str,
        uploaded: UploadedVersion,
        before: Sequence[UploadedVersion],
        notes: list[str],
    ) -> UploadResult | None:
        """Looks again after the write: whoever came too late takes its version back."""
        now = self.server.newest(pipeline_id)
        action = plan.after_upload(uploaded, now, before, self.history)
        if action is UploadAction.REPLACE:
            self._delete(pipeline_id, uploaded)
            return None
        if action is UploadAction.SUPERSEDED:
            self._delete(pipeline_id, uploaded)
            notes.append("a newer commit was uploaded at the same time")
            return self._result(candidate, UploadState.SUPERSEDED, "", notes, pipeline_id)
        return self._result(
            candidate, UploadState.UPLOADED, uploaded.name, notes, pipeline_id, uploaded.id
        )

    def _wait_for_own_second(self, versions: Sequence[UploadedVersion]) -> None:
        newest = max(versions, key=lambda v: v.created_at_s, default=None)
        seconds = plan.wait_s(newest, self.server.clock_s())
        if seconds:
            self.pause(seconds)

    def _delete(self, pipeline_id: str, version: UploadedVersion) -> None:
        if not self.dry_run:
            self.server.delete(pipeline_id, version.id)

    def _result(
        self,
        candidate: UploadCandidate,
        state: UploadState,
        version: str,
        notes: Sequence[str],
        pipeline_id: str = "",
        version_id: str = "",
    ) -> UploadResult:
        return UploadResult(candidate.name, state, version, pipeline_id, version_id, tuple(notes))

    def _failed(self, candidate: UploadCandidate, why: str) -> UploadFailed:
        return UploadFailed(
            f"{candidate.name} was not uploaded: {why}",
            where=self.server.address,
            fix=f"{_AGAIN} {candidate.name}",
        )


def failure(results: Sequence[UploadResult]) -> PlatformError | None:
    """The error to leave with: a server that is gone, then pipelines that failed; or None."""
    errors = [r.error for r in results if r.error]
    for error in errors:
        if isinstance(error, KfpUnavailable):
            return error
    if len(errors) <= 1:
        return errors[0] if errors else None
    failed = [r.name for r in results if r.error]
    return UploadFailed(
        "; ".join(error.what for error in errors),
        where=errors[0].where,
        fix=f"{_AGAIN} {' '.join(failed)}",
    )


def _rejection(exc: Rejected) -> str:
    """In multi-user mode a missing permission is answered 400, in the words of bad content."""
    if exc.status in (400, 403):
        return (
            f"HTTP {exc.status} {exc.message}. Either the account may not "
            "create, update or delete pipelines in this namespace, or the server does not "
            "accept the content"
        )
    return f"HTTP {exc.status} {exc.message}"


def _conflict(candidate: UploadCandidate, holder: UploadedVersion) -> VersionConflict:
    theirs, mine = holder.marks, candidate.marks
    return VersionConflict(
        f"{candidate.name} {holder.name} is of this commit and has other content: "
        f"IR {theirs.ir if theirs else '-'}, image {theirs.image if theirs else '-'}; "
        f"now IR {mine.ir}, image {mine.image}",
        where=candidate.path,
        fix="git commit --allow-empty -m 'New image', and upload that commit",
    )


def _note(notes: list[str], text: str) -> None:
    if text not in notes:
        notes.append(text)
