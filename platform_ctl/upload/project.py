"""Uploads the committed IR of a project's pipelines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from platform_ctl.errors import PlatformError, ShallowClone, StaleCompiledPipeline
from platform_ctl.upload import preflight
from platform_ctl.upload.candidate import SourceCommit, UploadCandidate, candidate
from platform_ctl.upload.checkout import Checkout
from platform_ctl.upload.kfp import KfpPipelines
from platform_ctl.upload.marks import Marks
from platform_ctl.upload.port import UploadedVersion
from platform_ctl.upload.upload import Uploader, UploadResult, failure


@dataclass(frozen=True)
class Uploaded:
    """``version``: what this commit's versions are called; ``failure``: to leave with."""

    version: str
    results: list[UploadResult]
    failure: PlatformError | None


class _History:
    """The clone's ancestry; a commit that a shallow clone lacks is an error, not a guess."""

    def __init__(self, checkout: Checkout) -> None:
        self._checkout = checkout

    def is_ancestor(self, older: str, newer: str) -> bool | None:
        answer = self._checkout.is_ancestor(older, newer)
        if answer is None and self._checkout.shallow:
            raise ShallowClone(
                f"this clone is shallow and does not hold commit {newer[:12]} of a version, so "
                "nobody can tell which of the two is newer",
                where="pipeline upload",
                fix="git fetch --unshallow",
            )
        return answer


@dataclass(frozen=True)
class ProjectUpload:
    """One upload of a checkout to a server."""

    checkout: Checkout
    server: KfpPipelines
    compile_check: Callable[[], object]
    """Raises StaleCompiledPipeline where a source compiles to something else."""
    image: str
    allow_image_tags: bool
    pinned_kfp: str
    """The SDK of the project's constraints."""
    configured_kfp: str
    """The server's version by the settings; empty where they do not say."""

    def upload(
        self, paths: Sequence[Path], *, dry_run: bool = False, run_url: str = ""
    ) -> Uploaded:
        """Everything is checked of all of them before the first write: raises
        StaleCompiledPipeline, SdkSkew, UploadRefused, UnsupportedInPipeline, ShallowClone,
        KfpUnavailable. What fails afterwards fails one pipeline, in its result.
        """
        source = SourceCommit(self.checkout.commit, self.checkout.committed_at, run_url)
        candidates = [_committed(self.checkout, path, source, self.image) for path in paths]
        preflight.check_all(candidates, allow_image_tags=self.allow_image_tags)
        preflight.check_server(
            candidates,
            self.server.health(),
            pinned=self.pinned_kfp,
            configured=self.configured_kfp,
            where=self.server.address,
        )
        uploader = Uploader(self.server, _History(self.checkout), dry_run)
        listed = uploader.survey(candidates)
        if not all(_known_current(listed.get(c.name, []), self.checkout, c) for c in candidates):
            self.compile_check()
        results = uploader.upload_all(candidates)
        return Uploaded(_version_name(source), results, failure(results))


def _committed(checkout: Checkout, path: Path, source: SourceCommit, image: str) -> UploadCandidate:
    """From what HEAD holds, which has to be what lies there."""
    data = checkout.committed_bytes(path)
    if data is None or path.read_bytes() != data:
        state = "is not committed" if data is None else "has changes that are not committed"
        raise StaleCompiledPipeline(
            f"{path.name} {state}", where=str(path), fix=f"git add {path} && git commit"
        )
    return candidate(data, path, source, image=image)


def _known_current(
    listed: Sequence[UploadedVersion], checkout: Checkout, candidate: UploadCandidate
) -> bool:
    """Whether an earlier upload has shown already that the committed IR is what its source
    compiles to: same IR, same SDK, and nothing to compile from has changed since its commit."""
    return checkout.clean and any(
        version.marks
        and (version.marks.ir, version.marks.sdk) == (candidate.marks.ir, candidate.marks.sdk)
        and checkout.same_sources(version.marks.commit)
        for version in listed
    )


def _version_name(source: SourceCommit) -> str:
    return Marks(source.commit, source.committed_at, "", "", "").name
