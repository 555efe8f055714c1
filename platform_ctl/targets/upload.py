"""The upload of the project's pipelines to KFP's API server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl.errors import (
    PlatformError,
    ShallowClone,
    StaleCompiledPipeline,
    UnknownName,
    Unsupported,
)
from platform_ctl.settings import Settings
from platform_ctl.targets.kfp import kfp
from platform_ctl.targets.recipe import pipelines

if TYPE_CHECKING:
    from platform_ctl.upload.candidate import SourceCommit, UploadCandidate
    from platform_ctl.upload.checkout import Checkout
    from platform_ctl.upload.port import UploadedVersion
    from platform_ctl.upload.upload import UploadResult


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
        found = self._checkout.is_ancestor(older, newer)
        if found is None and self._checkout.shallow:
            raise ShallowClone(
                f"this clone is shallow and does not hold commit {newer[:12]} of a version, so "
                "nobody can tell which of the two is newer",
                where="pipeline upload",
                fix="git fetch --unshallow",
            )
        return found


def upload(
    settings: Settings, names: Sequence[str], *, dry_run: bool = False, run_url: str = ""
) -> Uploaded:
    """Upload the committed IR of ``names`` (empty: of every pipeline).

    Everything is checked of all of them before the first write: raises
    StaleCompiledPipeline, SdkSkew, UploadRefused, UnsupportedInPipeline, ShallowClone,
    KfpUnavailable. What fails afterwards fails one pipeline, in its Result.
    """
    from platform_ctl.upload import preflight
    from platform_ctl.upload.candidate import SourceCommit
    from platform_ctl.upload.checkout import Checkout
    from platform_ctl.upload.kfp import KfpPipelines
    from platform_ctl.upload.upload import Uploader, failure

    if settings.target != "kubernetes":
        raise Unsupported(
            "the local target has no pipeline versions: it runs the committed IR itself",
            where="pipeline upload",
            fix="platform-ctl --target kubernetes pipeline upload --all",
        )
    root, wanted = Path(settings.project_root), settings.kubernetes
    checkout = Checkout(root)
    source = SourceCommit(checkout.commit, checkout.committed_at, run_url)
    paths = _paths(settings, names)
    candidates = [_committed(checkout, path, source, wanted.image) for path in paths]
    preflight.check_all(candidates, allow_image_tags=wanted.allow_image_tags)
    server = KfpPipelines(kfp(settings), wanted.namespace)
    preflight.check_server(
        candidates,
        server.health(),
        pinned=preflight.pinned_kfp(_text(root / "constraints.txt")),
        configured=wanted.kfp_version,
        where=server.address,
    )
    uploader = Uploader(server, _History(checkout), dry_run)
    listed = uploader.survey(candidates)
    if not all(_known_current(listed.get(c.name, []), checkout, c) for c in candidates):
        pipelines(settings).check()
    results = uploader.upload_all(candidates)
    return Uploaded(_version_name(source), results, failure(results))


def _paths(settings: Settings, names: Sequence[str]) -> list[Path]:
    """The compiled files, each once. Raises UnknownName for a name, or where there is none."""
    project = pipelines(settings)
    if names:
        return list(dict.fromkeys(project.find(name).resolve() for name in names))
    found = [Path(settings.project_root, listed.compiled) for listed in project.list()]
    if not found:
        raise UnknownName(
            "this project has no compiled pipeline",
            where=settings.pipelines_package,
            fix="platform-ctl pipeline compile",
        )
    return found


def _committed(checkout: Checkout, path: Path, source: SourceCommit, image: str) -> UploadCandidate:
    """From what HEAD holds, which has to be what lies there."""
    from platform_ctl.upload.candidate import candidate

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
    from platform_ctl.upload.marks import Marks

    return Marks(source.commit, source.committed_at, "", "", "").name


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
