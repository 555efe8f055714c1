"""Pipelines and their versions as KFP 2.17.0 keeps them, and the endpoints over them.

``Store`` holds the rules: names are unique with what is still CREATING, lists show only
READY, versions are ordered by creation time in whole seconds and among equals anyhow,
tags have limits. ``StoreServer`` is the upload's port over it without a wire, ``Pipelines``
the HTTP part for ``kfp_server.serve``.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import yaml

from platform_ctl.cluster.kfp import KfpHealth
from platform_ctl.upload.marks import Marks
from platform_ctl.upload.port import NameTaken, OutcomeUnknown, Rejected, UploadedVersion
from tests.fakes.kfp_server import (
    EXISTS,
    INTERNAL,
    INVALID,
    NOT_FOUND,
    PREFIX,
    Refused,
    Request,
    Router,
)

MAX_BYTES = 32 << 20


@dataclass
class StoredVersion:
    id: str
    pipeline_id: str
    name: str
    created_at_s: int
    description: str
    tags: dict[str, str]
    content: bytes = b""
    ready: bool = True


@dataclass
class StoredPipeline:
    id: str
    name: str
    description: str = ""
    created_at_s: int = 0
    ready: bool = True


@dataclass
class Store:
    """``ties_reversed``: which of two versions of one second a list shows first."""

    clock: Callable[[], float] = time.time
    ties_reversed: bool = False
    supports_tags: bool = True
    leave_creating: int = 0
    """How many of the next versions stay in CREATING, answered with a failure."""
    refuse_writes: bool = False
    """Multi-user mode without the permission: 400, in the words of bad content."""
    pipelines: dict[str, StoredPipeline] = field(default_factory=dict)
    versions: dict[str, StoredVersion] = field(default_factory=dict)

    def find(self, name: str) -> StoredPipeline:
        for pipeline in self.pipelines.values():
            if pipeline.name == name and pipeline.ready:
                return pipeline
        raise Refused(NOT_FOUND, f"Failed to get a pipeline with name {name}")

    def create(self, name: str, description: str = "") -> StoredPipeline:
        self._permit("Failed to create a pipeline")
        if not re.fullmatch(r".{1,128}", name):
            raise Refused(INVALID, "Pipeline.Name length cannot exceed 128")
        if any(p.name == name for p in self.pipelines.values()):
            raise Refused(EXISTS, f"The name {name} already exist. Specify a new name")
        made = StoredPipeline(str(uuid.uuid4()), name, description, int(self.clock()))
        self.pipelines[made.id] = made
        return made

    def upload(
        self, pipeline_id: str, name: str, content: bytes, description: str, tags: dict[str, str]
    ) -> StoredVersion:
        self._permit("Failed to create a pipeline version")
        if pipeline_id not in self.pipelines:
            raise Refused(INVALID, "Failed to create a pipeline version")
        if len(content) > MAX_BYTES:
            raise Refused(INVALID, "Failed to create a pipeline version")
        check_tags(tags)
        taken = (v for v in self.versions.values() if v.pipeline_id == pipeline_id)
        if any(v.name == name for v in taken):
            raise Refused(EXISTS, "Failed to create a pipeline version")
        kept = dict(tags) if self.supports_tags else {}
        at = int(self.clock())
        made = StoredVersion(str(uuid.uuid4()), pipeline_id, name, at, description, kept, content)
        self.versions[made.id] = made
        if self.leave_creating:
            self.leave_creating -= 1
            made.ready = False
            raise Refused(INTERNAL, "Failed to create a pipeline version")
        return made

    def listed(self, pipeline_id: str) -> list[StoredVersion]:
        """READY ones, newest first."""
        found = [v for v in self.versions.values() if v.pipeline_id == pipeline_id and v.ready]
        if self.ties_reversed:
            found.reverse()
        return sorted(found, key=lambda v: -v.created_at_s)

    def latest(self, name: str) -> list[StoredVersion]:
        """Those that KFP may take for the latest."""
        found = self.listed(self.find(name).id)
        return [v for v in found if v.created_at_s == found[0].created_at_s]

    def version(self, version_id: str) -> StoredVersion:
        found = self.versions.get(version_id)
        if found is None or not found.ready:
            raise Refused(NOT_FOUND, f"PipelineVersion {version_id} not found")
        return found

    def tag(self, version_id: str, tags: dict[str, str]) -> StoredVersion:
        self._permit("Failed to update a pipeline version")
        check_tags(tags)
        found = self.version(version_id)
        found.tags = dict(tags)
        return found

    def delete(self, version_id: str) -> None:
        self._permit("Failed to delete a pipeline version")
        self.version(version_id)
        del self.versions[version_id]

    def _permit(self, words: str) -> None:
        if self.refuse_writes:
            raise Refused(INVALID, words)


def check_tags(tags: Mapping[str, str]) -> None:
    """As model/pipeline_tags.go."""
    if len(tags) > 20:
        raise Refused(INVALID, f"number of tags ({len(tags)}) exceeds maximum of 20 per entity")
    for key, value in tags.items():
        if not key or "." in key or len(key) > 63 or len(value) > 63:
            raise Refused(INVALID, f"tag {key!r} exceeds what a tag may be")


class StoreServer:
    """The upload's port over a store. ``before`` is called with the name of every request."""

    address = "fake"

    def __init__(
        self,
        store: Store,
        *,
        before: Callable[[str], None] = lambda name: None,
        after: Callable[[str], None] = lambda name: None,
        version: str = "2.17.0",
    ) -> None:
        self.store, self._before, self._after, self._version = store, before, after, version
        self.calls: list[str] = []

    def health(self) -> KfpHealth:
        return KfpHealth(self._version, False)

    def clock_s(self) -> int:
        return int(self.store.clock())

    def find(self, name: str) -> str | None:
        try:
            return self._call("find", self.store.find, name).id
        except Rejected as exc:
            if exc.status == 404:
                return None
            raise

    def create(self, name: str, description: str) -> str:
        return self._call("create", self.store.create, name, description).id

    def newest(self, pipeline_id: str) -> list[UploadedVersion]:
        return [_version(v) for v in self._call("newest", self.store.listed, pipeline_id)[:20]]

    def named(self, pipeline_id: str, names: list[str]) -> list[UploadedVersion]:
        found = self._call("named", self.store.listed, pipeline_id)
        return [_version(v) for v in found if v.name in names]

    def upload(self, pipeline_id: str, name: str, content: bytes, marks: Marks) -> UploadedVersion:
        words = pipeline_id, name, content, marks.description(), marks.tags()
        return _version(self._call("upload", self.store.upload, *words))

    def tag(self, pipeline_id: str, version_id: str, tags: dict[str, str]) -> None:
        self._call("tag", self.store.tag, version_id, tags)

    def delete(self, pipeline_id: str, version_id: str) -> None:
        try:
            self._call("delete", self.store.delete, version_id)
        except Rejected as exc:
            if exc.status != 404:
                raise

    def _call(self, name: str, function: Callable[..., Any], *words: Any) -> Any:
        self._before(name)
        self.calls.append(name)
        try:
            found = function(*words)
        except Refused as exc:
            if exc.code == EXISTS:
                raise NameTaken from exc
            if exc.code == INTERNAL:
                raise OutcomeUnknown(exc.message) from exc
            raise Rejected({NOT_FOUND: 404}.get(exc.code, 400), exc.message) from exc
        self._after(name)
        return found


class Pipelines:
    """The endpoints of pipelines and versions, over a store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def routes(self, router: Router) -> None:
        one = f"{PREFIX}/pipelines/{{id}}"
        router.add("POST", f"{PREFIX}/pipelines/upload_version", self._upload)
        router.add("POST", f"{PREFIX}/pipelines", self._create)
        router.add("GET", f"{PREFIX}/pipelines", self._list)
        router.add("GET", f"{PREFIX}/pipelines/names/{{name}}", self._find)
        router.add("GET", f"{one}/versions", self._versions)
        router.add("GET", f"{one}/versions/{{version}}", self._version)
        router.add("PATCH", f"{one}/versions/{{version}}", self._tag)
        router.add("DELETE", f"{one}/versions/{{version}}", self._delete)
        router.add("GET", one, self._pipeline)

    def _create(self, request: Request) -> dict[str, Any]:
        said = request.json
        return _pipeline_json(self.store.create(said.get("name", ""), said.get("description", "")))

    def _list(self, request: Request) -> dict[str, Any]:
        ready = [_pipeline_json(p) for p in self.store.pipelines.values() if p.ready]
        return {"pipelines": ready, "total_size": len(ready)} if ready else {}

    def _find(self, request: Request) -> dict[str, Any]:
        return _pipeline_json(self.store.find(request.params["name"]))

    def _pipeline(self, request: Request) -> dict[str, Any]:
        found = self.store.pipelines.get(request.params["id"])
        if found is None or not found.ready:
            raise Refused(NOT_FOUND, "pipeline not found")
        return _pipeline_json(found)

    def _versions(self, request: Request) -> dict[str, Any]:
        found = self.store.listed(request.params["id"])
        for predicate in json.loads(request.query.get("filter") or "{}").get("predicates", []):
            assert (predicate["operation"], predicate["key"]) == ("IN", "name")
            found = [v for v in found if v.name in predicate["string_values"]["values"]]
        size = int(request.query.get("page_size") or 20)
        shown = [_version_json(v) for v in found[:size]]
        return {"pipeline_versions": shown, "total_size": len(found)} if shown else {}

    def _version(self, request: Request) -> dict[str, Any]:
        return _version_json(self.store.version(request.params["version"]))

    def _tag(self, request: Request) -> dict[str, Any]:
        return _version_json(
            self.store.tag(request.params["version"], request.json.get("tags") or {})
        )

    def _delete(self, request: Request) -> dict[str, Any]:
        self.store.delete(request.params["version"])
        return {}

    def _upload(self, request: Request) -> dict[str, Any]:
        query = request.query
        return _version_json(
            self.store.upload(
                query.get("pipelineid", ""),
                query.get("name", ""),
                _uploaded_file(request),
                query.get("description", ""),
                json.loads(query.get("tags") or "{}"),
            )
        )


def _uploaded_file(request: Request) -> bytes:
    headers = {k.lower(): v for k, v in request.headers.items()}
    head = f"Content-Type: {headers['content-type']}\r\n\r\n".encode()
    for part in BytesParser(policy=HTTP).parsebytes(head + request.body).iter_parts():
        if part.get_param("name", header="content-disposition") == "uploadfile":
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            return content
    raise Refused(INVALID, "Failed to create a pipeline version")


def _version(stored: StoredVersion) -> UploadedVersion:
    return UploadedVersion(
        stored.id, stored.name, stored.created_at_s, stored.description, dict(stored.tags)
    )


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _pipeline_json(stored: StoredPipeline) -> dict[str, Any]:
    return {
        "pipeline_id": stored.id,
        "name": stored.name,
        "display_name": stored.name,
        "description": stored.description,
        "created_at": _time(stored.created_at_s),
    }


def _version_json(stored: StoredVersion) -> dict[str, Any]:
    documents = list(yaml.safe_load_all(stored.content)) if stored.content else [{}]
    one = {"pipeline_spec": documents[0], "platform_spec": documents[-1]}
    return {
        "pipeline_id": stored.pipeline_id,
        "pipeline_version_id": stored.id,
        "name": stored.name,
        "display_name": stored.name,
        "description": stored.description,
        "created_at": _time(stored.created_at_s),
        "pipeline_spec": one if len(documents) > 1 else documents[0],
        **({"tags": stored.tags} if stored.tags else {}),
    }
