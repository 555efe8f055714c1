"""What is checked of all pipelines before the first write to the server."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from platform_ctl.cluster.kfp import KfpHealth
from platform_ctl.errors import SdkSkew, UnsupportedInPipeline, UploadRefused
from platform_ctl.ir import images, meaning
from platform_ctl.upload.candidate import UploadCandidate, largest_component

MAX_BYTES = 32 * 1024 * 1024
"""KFP's ``MaxFileLength`` (backend/src/apiserver/common/const.go)."""
RUNNABLE_BYTES = 700_000
"""Above it a version uploads and then cannot run: Argo's limit, as the comment beside
``PipelineSpec`` in backend/src/apiserver/model/pipeline_version.go says."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")
_TAGS_SINCE = (2, 17)
_RECOMPILE = "platform-ctl pipeline compile"


def check_all(candidates: Sequence[UploadCandidate], *, allow_image_tags: bool) -> None:
    """What needs no server. Raises UploadRefused, UnsupportedInPipeline for the first finding."""
    for candidate in candidates:
        _check_name(candidate)
        _check_images(candidate, allow_image_tags)
        _check_cache_keys(candidate)
        _check_size(candidate)


def check_server(
    candidates: Sequence[UploadCandidate],
    health: KfpHealth,
    *,
    pinned: str,
    configured: str,
    where: str,
) -> None:
    """Raises SdkSkew unless pinned kfp, the IR's SDK and the server's major.minor are one.

    ``configured`` is the server's version of the settings, for one that says none.
    """
    server = health.version or configured.removeprefix("v")
    if not server:
        raise SdkSkew(
            "KFP's API server does not say its version",
            where=where,
            fix="export PLATFORM_CTL_KUBERNETES__KFP_VERSION=2.17.0",
        )
    if minor(server) < _TAGS_SINCE:
        raise SdkSkew(
            f"KFP's API server is {server}; it has no tags on an upload before 2.17",
            where=where,
            fix="upgrade KFP to 2.17 or later",
        )
    for candidate in candidates:
        sdk = candidate.marks.sdk
        if pinned and pinned != sdk:
            raise SdkSkew(
                f"constraints pin kfp {pinned}, {candidate.name} was compiled by {sdk or 'none'}",
                where=candidate.path,
                fix=f"make setup && {_RECOMPILE}",
            )
        if minor(sdk) != minor(server):
            raise SdkSkew(
                f"{candidate.name} was compiled by kfp {sdk}, KFP's API server is {server}",
                where=where,
                fix=f"pin kfp {server} in constraints.txt, then make setup && {_RECOMPILE}",
            )


def warnings(candidate: UploadCandidate) -> list[str]:
    """What does not stop an upload."""
    size = len(candidate.content)
    if size <= RUNNABLE_BYTES:
        return []
    name, bytes_ = largest_component(meaning.documents(candidate.content))
    return [
        f"{size} bytes upload, and may not run: Argo takes about {RUNNABLE_BYTES}; "
        f"the largest is {name} with {bytes_}"
    ]


def pinned_kfp(constraints: str) -> str:
    """The version of kfp in the text of a constraints file; "" where it pins none."""
    match = re.search(r"^kfp==([^\s;#]+)", constraints, re.MULTILINE)
    return match[1] if match else ""


def minor(version: str) -> tuple[int, int]:
    """(major, minor) of a version; (0, 0) for text that is none."""
    match = re.match(r"v?(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _check_name(candidate: UploadCandidate) -> None:
    if not _NAME.fullmatch(candidate.name):
        raise UploadRefused(
            f"KFP takes pipeline names of 1 to 128 characters a-z, 0-9 and -, "
            f"which {candidate.name[:140]!r} is not",
            where=candidate.path,
            fix=f"change the name in @dsl.pipeline, then {_RECOMPILE}",
        )


def _check_images(candidate: UploadCandidate, allow_tags: bool) -> None:
    mutable = [image for image in candidate.images if not images.has_digest(image)]
    if mutable and not allow_tags:
        raise UploadRefused(
            f"the image {mutable[0]} has no digest: what it means can change under a version",
            where=candidate.path,
            fix="export PLATFORM_CTL_KUBERNETES__IMAGE=NAME@sha256:DIGEST",
        )


def _check_cache_keys(candidate: UploadCandidate) -> None:
    for where in _cache_keys(candidate):
        raise UnsupportedInPipeline(
            f"{where} sets a cache_key, which the driver of KFP 2.17 ignores",
            where=candidate.path,
            fix=f"pass what the key stands for as a parameter, then {_RECOMPILE}",
        )


def _cache_keys(candidate: UploadCandidate) -> Iterator[str]:
    for place in candidate.pipeline.declared_tasks():
        if place.task.caching_options.cache_key:
            yield f"task {place.name}"


def _check_size(candidate: UploadCandidate) -> None:
    size = len(candidate.content)
    if size > MAX_BYTES:
        name, bytes_ = largest_component(meaning.documents(candidate.content))
        raise UploadRefused(
            f"{candidate.name} has {size} bytes, KFP takes {MAX_BYTES}; "
            f"the largest component is {name} with {bytes_}",
            where=candidate.path,
            fix=f"move its data into an artifact or the image, then {_RECOMPILE}",
        )
