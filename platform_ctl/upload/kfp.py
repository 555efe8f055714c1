"""The port over ``kfp_server_api`` (KFP v2beta1, 2.17).

A pipeline is made without a version (``POST pipelines``), since the endpoint that
makes both names the first version after the pipeline; versions come by
``POST pipelines/upload_version``, which alone takes tags.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, NoReturn

from platform_ctl.cluster.kfp import TIMEOUT_S, Kfp, KfpHealth, Refusal
from platform_ctl.upload.marks import Marks
from platform_ctl.upload.port import NameTaken, OutcomeUnknown, Rejected, UploadedVersion

PAGE = 20
_BYTES_PER_S = 2_000_000
"""A slow line; an upload may take that much longer than another call."""


class KfpPipelines:
    """``namespace``: where pipelines live in multi-user mode; the other mode has none."""

    def __init__(self, connection: Kfp, namespace: str = "") -> None:
        self._kfp = connection
        self._wanted_namespace = namespace
        self._namespace = ""

    @property
    def address(self) -> str:
        return self._kfp.address

    def health(self) -> KfpHealth:
        health = self._kfp.health()
        self._namespace = self._wanted_namespace if health.multi_user else ""
        return health

    def clock_s(self) -> int:
        return self._kfp.clock_s()

    def find(self, name: str) -> str | None:
        by_name = self._kfp.pipelines.pipeline_service_get_pipeline_by_name
        words: dict[str, Any] = {"namespace": self._namespace} if self._namespace else {}
        try:
            return str(self._kfp.call(by_name, name, **words).pipeline_id)
        except Refusal as exc:
            if exc.status == 404:
                return None
            _raise(exc)

    def create(self, name: str, description: str) -> str:
        import kfp_server_api

        body = kfp_server_api.V2beta1Pipeline(
            name=name,
            display_name=name,
            description=description,
            namespace=self._namespace or None,
        )
        created = self._write(self._kfp.pipelines.pipeline_service_create_pipeline, body)
        return str(created.pipeline_id)

    def newest(self, pipeline_id: str) -> list[UploadedVersion]:
        return self._versions(pipeline_id, page_size=PAGE, sort_by="created_at desc")

    def named(self, pipeline_id: str, names: list[str]) -> list[UploadedVersion]:
        predicate = {"operation": "IN", "key": "name", "string_values": {"values": names}}
        listed = self._versions(
            pipeline_id, page_size=PAGE, filter=json.dumps({"predicates": [predicate]})
        )
        return [version for version in listed if version.name in names]

    def upload(self, pipeline_id: str, name: str, content: bytes, marks: Marks) -> UploadedVersion:
        with tempfile.TemporaryDirectory() as folder:
            # The server tells the format by the file's name.
            file = Path(folder) / "pipeline.yaml"
            file.write_bytes(content)
            uploaded = self._write(
                self._kfp.uploads.upload_pipeline_version,
                str(file),
                name=name,
                display_name=name,
                pipelineid=pipeline_id,
                description=marks.description(),
                tags=json.dumps(marks.tags()),
                deadline_s=TIMEOUT_S + len(content) / _BYTES_PER_S,
            )
        return _version(uploaded)

    def tag(self, pipeline_id: str, version_id: str, tags: dict[str, str]) -> None:
        import kfp_server_api

        versions = self._kfp.pipelines
        try:
            version = self._kfp.call(
                versions.pipeline_service_get_pipeline_version, pipeline_id, version_id
            )
            body = kfp_server_api.V2beta1PipelineVersion(
                pipeline_id=pipeline_id,
                pipeline_version_id=version_id,
                display_name=version.display_name,
                tags=tags,
            )
            self._kfp.call(
                versions.pipeline_service_update_pipeline_version, pipeline_id, version_id, body
            )
        except Refusal as exc:
            _raise(exc)

    def delete(self, pipeline_id: str, version_id: str) -> None:
        remove = self._kfp.pipelines.pipeline_service_delete_pipeline_version
        try:
            self._kfp.call(remove, pipeline_id, version_id)
        except Refusal as exc:
            if exc.status != 404:
                _raise(exc)

    def _versions(self, pipeline_id: str, **words: Any) -> list[UploadedVersion]:
        listing = self._kfp.pipelines.pipeline_service_list_pipeline_versions
        try:
            page = self._kfp.call(listing, pipeline_id, **words)
        except Refusal as exc:
            _raise(exc)
        return [_version(item) for item in page.pipeline_versions or []]

    def _write(self, function: Any, *args: Any, **words: Any) -> Any:
        try:
            return self._kfp.call(function, *args, **words)
        except Refusal as exc:
            if exc.status == 409:
                raise NameTaken from exc
            if exc.status >= 500:
                raise OutcomeUnknown(exc.message) from exc
            _raise(exc)


def _raise(exc: Refusal) -> NoReturn:
    raise Rejected(exc.status, exc.message) from exc


def _version(document: Any) -> UploadedVersion:
    return UploadedVersion(
        id=str(document.pipeline_version_id),
        name=str(document.name or document.display_name),
        created_at_s=int(document.created_at.timestamp()),
        description=document.description or "",
        tags=dict(document.tags or {}),
    )
