"""KFP's API server as an upload needs it. One adapter (kfp.py), one fake (tests)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from platform_ctl.cluster.kfp import KfpHealth
from platform_ctl.upload import marks
from platform_ctl.upload.marks import Marks


@dataclass(frozen=True)
class UploadedVersion:
    """A pipeline version that is in the server's list. ``created_at_s``: whole seconds, epoch."""

    id: str
    name: str
    created_at_s: int
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def marks(self) -> Marks | None:
        return marks.read(self.description)


class NameTaken(Exception):
    """The server has something of that name, in a list or not (HTTP 409)."""


class OutcomeUnknown(Exception):
    """The server failed (HTTP 500): whether it did the work, only a list says."""


class Rejected(Exception):
    """The server will not do it (HTTP 400, 403, 413, …); its words, for a person."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class PipelineServer(Protocol):
    """Every method raises KfpUnavailable where the server does not answer, and Rejected."""

    @property
    def address(self) -> str:
        """For messages, without credentials."""
        ...

    def health(self) -> KfpHealth:
        """Version of the server, and whether it serves several users."""
        ...

    def clock_s(self) -> int:
        """The server's time in its latest answer, in whole seconds; 0 when unknown."""
        ...

    def find(self, name: str) -> str | None:
        """The id of the pipeline of that name; None when no list has it."""
        ...

    def create(self, name: str, description: str) -> str:
        """Create a pipeline without a version; its id. Raises NameTaken, OutcomeUnknown."""
        ...

    def newest(self, pipeline_id: str) -> list[UploadedVersion]:
        """The newest 20 versions, newest first, as the server orders them."""
        ...

    def named(self, pipeline_id: str, names: list[str]) -> list[UploadedVersion]:
        """The versions of these names that a list has."""
        ...

    def upload(self, pipeline_id: str, name: str, content: bytes, marks: Marks) -> UploadedVersion:
        """Create a version from compiled YAML. Raises NameTaken, OutcomeUnknown."""
        ...

    def tag(self, pipeline_id: str, version_id: str, tags: dict[str, str]) -> None:
        """Make these the version's tags."""
        ...

    def delete(self, pipeline_id: str, version_id: str) -> None:
        """Delete a version; one that is gone already is no error."""
        ...
