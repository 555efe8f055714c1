"""One committed pipeline as it would be uploaded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from platform_ctl.ir import file as ir_file
from platform_ctl.ir import images, meaning
from platform_ctl.ir.pipeline import Pipeline
from platform_ctl.upload.marks import Marks


@dataclass(frozen=True)
class SourceCommit:
    """The commit that an upload stands for."""

    commit: str
    committed_at: datetime
    run_url: str = ""


@dataclass(frozen=True)
class UploadCandidate:
    """``content`` is the IR with the image's digest put in; ``path`` is the committed file."""

    name: str
    path: str
    pipeline: Pipeline
    content: bytes
    images: tuple[str, ...]
    marks: Marks


def candidate(data: bytes, path: Path, source: SourceCommit, *, image: str = "") -> UploadCandidate:
    """From the bytes that the commit holds. Raises BadPipelineFile, UploadRefused."""
    pipeline = ir_file.parse(data, path)
    committed = meaning.documents(data)
    prepared = images.with_image(committed, image, where=str(path))
    named = images.images(prepared)
    return UploadCandidate(
        name=pipeline.name,
        path=str(path),
        pipeline=pipeline,
        content=meaning.text(prepared),
        images=tuple(named),
        marks=Marks(
            commit=source.commit,
            committed_at=source.committed_at,
            ir=meaning.digest(committed),
            image=image_digest(named),
            sdk=meaning.sdk_version(committed),
            run_url=source.run_url,
        ),
    )


def image_digest(named: list[str]) -> str:
    """The digest of the only image where it has one; else SHA-256 over all names."""
    if len(named) == 1 and images.has_digest(named[0]):
        return named[0].rpartition(":")[2]
    return hashlib.sha256("\n".join(named).encode()).hexdigest()


def largest_component(content: list[dict[str, Any]]) -> tuple[str, int]:
    """The executor that takes most of the IR, and its bytes of JSON; ("", 0) without any."""
    import json

    executors = content[0].get("deploymentSpec", {}).get("executors", {}) if content else {}
    sizes = {name: len(json.dumps(executor)) for name, executor in executors.items()}
    biggest = max(sizes, key=lambda name: sizes[name], default="")
    return biggest, sizes.get(biggest, 0)
