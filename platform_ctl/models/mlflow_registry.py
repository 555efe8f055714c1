"""The registry on MLflow: reads straight from its SQLite store, writes through its client.

MLflow is imported when something has to be written, or when the tracking URI is
a server. Its telemetry, progress bars and migration log are switched off here.
"""

from __future__ import annotations

import errno
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from shutil import copyfile
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from filelock import FileLock

from platform_ctl.cluster.answering import MLFLOW, require_answer
from platform_ctl.errors import EvidenceMismatch
from platform_ctl.folders import make_private
from platform_ctl.models import mlflow_model, mlflow_pages, mlflow_sqlite, mlflow_store
from platform_ctl.models.history import AliasHistory
from platform_ctl.models.model import (
    DIGEST_TAG,
    OUTSIDE,
    WEIGHTS_DIR,
    AliasMove,
    ModelCandidate,
    ModelVersion,
    RegisteredModel,
    find_version,
    recorded_aliases,
)
from platform_ctl.models.port import Part

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL_ARTIFACT = "model"
EVALUATION_ARTIFACT = "evaluation"
ATTACHMENTS_ARTIFACT = "evidence"
_SWITCHES = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # 2 + 4 + 8 + 16 s until a server counts as gone; MLflow's own 7 retries are four minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",
    "GIT_PYTHON_REFRESH": "quiet",
}


class MlflowRegistry:
    """``artifacts``: where a local store keeps files; a server knows its own place."""

    def __init__(
        self, tracking_uri: str, artifacts: Path, history: AliasHistory, lock_file: Path
    ) -> None:
        self._uri = tracking_uri
        self._database = mlflow_sqlite.database_of(tracking_uri)
        self._artifacts = artifacts
        self._history = history
        self._lock_file = lock_file

    # ---- reads ------------------------------------------------------------------

    def models(self) -> Sequence[RegisteredModel]:
        if self._database is None:
            return self._models_by_client()
        stored = mlflow_sqlite.read(self._database)
        if stored is None and mlflow_store.half_made(self._database):
            return []
        return self._models_by_client() if stored is None else stored

    def aliases(self, name: str) -> dict[str, str]:
        return next((m.aliases for m in self.models() if m.name == name), {})

    def history(self) -> Sequence[AliasMove]:
        return self._history.all()

    def local_dir(self, version: ModelVersion, part: Part = "model") -> Path:
        if part in (EVALUATION_ARTIFACT, ATTACHMENTS_ARTIFACT):
            folder = self._fetch(f"{self._run_artifacts(version)}/{part}")
        else:
            folder = self._fetch(version.source)
            folder = folder / WEIGHTS_DIR if part == "weights" else folder
        if not folder.is_dir():
            raise EvidenceMismatch(
                f"the files of {version} are gone",
                where=str(folder),
                fix=f"platform-ctl model show {version}",
            )
        return folder

    def _models_by_client(self) -> list[RegisteredModel]:
        client = self._client()
        versions: dict[str, list[ModelVersion]] = {}
        models = client.search_registered_models(max_results=1000)
        aliases = {m.name: m.aliases for m in models}
        for version in client.search_model_versions(max_results=10_000):
            named = tuple(
                sorted(a for a, v in aliases[version.name].items() if v == version.version)
            )
            versions.setdefault(version.name, []).append(
                ModelVersion(
                    name=version.name,
                    version=str(version.version),
                    created_at=mlflow_sqlite.utc(version.creation_timestamp),
                    aliases=named,
                    tags=version.tags,
                    mlflow_run_id=version.run_id or "",
                    source=client.get_model_version_download_uri(version.name, version.version),
                    metrics=client.get_run(version.run_id).data.metrics if version.run_id else {},
                )
            )
        newest_first = {
            name: tuple(sorted(vs, key=lambda v: -int(v.version))) for name, vs in versions.items()
        }
        return [RegisteredModel(name, newest_first.get(name, ())) for name in sorted(aliases)]

    def _run_artifacts(self, version: ModelVersion) -> str:
        folder = (
            mlflow_sqlite.artifact_dir(self._database, version.mlflow_run_id)
            if self._database
            else ""
        )
        return folder or self._client().get_run(version.mlflow_run_id).info.artifact_uri

    def _fetch(self, uri: str) -> Path:
        """Local files stay where they are; anything else is downloaded once."""
        parsed = urlparse(uri)
        if parsed.scheme in ("", "file"):
            return Path(unquote(parsed.path))
        self._client()
        import mlflow.artifacts

        folder = self._artifacts.parent / "downloads"
        target = folder / parsed.path.strip("/").replace("/", "-")
        if not target.exists():
            make_private(folder)
            with tempfile.TemporaryDirectory(dir=folder) as draft:
                fetched = mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=draft)
                try:
                    Path(fetched).rename(target)
                except OSError as exc:
                    if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                        raise  # else another process was first, with the same files
        return target

    # ---- writes -----------------------------------------------------------------

    def register(self, candidate: ModelCandidate) -> ModelVersion:
        registered = self._find(candidate)
        if registered:
            return registered
        with self._locked():
            registered = self._find(candidate)
            if registered:
                return registered
            client = self._client()
            run_id = self._run(client, candidate)
            model_id = self._logged_model(client, run_id) or self._log(client, run_id, candidate)
            number = self._create_version(client, candidate, run_id, model_id)
        return find_version(self.models(), f"{candidate.name}/{number}")

    def move_aliases(
        self, name: str, targets: Mapping[str, str], *, actor: str, reason: str
    ) -> None:
        with self._locked():
            models = self.models()
            for version in filter(None, targets.values()):
                find_version(models, f"{name}/{version}")
            current = next((m.aliases for m in models if m.name == name), {})
            wanted = {a: v for a, v in targets.items() if current.get(a, "") != v}
            self._record(name, targets, current, actor=actor, reason=reason)
            if wanted:
                self._point(name, wanted)
            self._history.completed()

    def _point(self, name: str, aliases: Mapping[str, str]) -> None:
        client = self._client()
        for alias, version in aliases.items():
            if version:
                client.set_registered_model_alias(name, alias, version)
            else:
                client.delete_registered_model_alias(name, alias)

    def _record(
        self,
        name: str,
        targets: Mapping[str, str],
        current: Mapping[str, str],
        *,
        actor: str,
        reason: str,
    ) -> None:
        """History first, then the registry: an interrupted move is repeated, never forgotten."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        recorded_at = recorded_aliases(self._history.all(), name)
        interrupted = self._history.interrupted()
        moves = []
        for alias, version in targets.items():
            here, recorded = current.get(alias, ""), recorded_at.get(alias, "")
            if interrupted and recorded == version:
                continue
            if recorded != here:
                note = "found moved outside the platform"
                moves.append(AliasMove(0, name, alias, recorded, here, now, OUTSIDE, note, ""))
            if here != version:
                moves.append(AliasMove(0, name, alias, here, version, now, actor, reason, ""))
        if moves:
            self._history.append(moves)

    def _find(self, candidate: ModelCandidate) -> ModelVersion | None:
        model = next((m for m in self.models() if m.name == candidate.name), None)
        version = model.by_digest(candidate.digest) if model else None
        if version and (self._fetch(version.source) / "MLmodel").is_file():
            return version
        return None

    def _run(self, client: MlflowClient, candidate: ModelCandidate) -> str:
        """The one MLflow run of this digest."""
        artifacts = self._artifacts if self._database else None
        experiment = mlflow_pages.experiment_id(client, candidate.experiment, artifacts)
        runs = client.search_runs(
            [experiment], f"tags.{DIGEST_TAG} = '{candidate.digest}'", max_results=1
        )
        if runs:
            return runs[0].info.run_id
        made_by = candidate.tags.get("run_id") or candidate.digest.removeprefix("sha256:")
        own = {**candidate.tags, DIGEST_TAG: candidate.digest}
        return client.create_run(
            experiment,
            tags={**own, **mlflow_pages.run_tags(candidate)},
            run_name=f"{candidate.name} {made_by[:8]}",
        ).info.run_id

    def _logged_model(self, client: MlflowClient, run_id: str) -> str:
        """The model that an interrupted registration had finished logging, or ""."""
        run = client.get_run(run_id)
        for logged in client.search_logged_models(
            [run.info.experiment_id], filter_string=f"source_run_id = '{run_id}'"
        ):
            ready = logged.status.value == "READY"
            if ready and (self._fetch(logged.artifact_location) / "MLmodel").is_file():
                return logged.model_id
        return ""

    def _log(self, client: MlflowClient, run_id: str, candidate: ModelCandidate) -> str:
        """Log model, evaluation and figures into the run; returns the logged model's id."""
        import mlflow
        import mlflow.pyfunc

        with tempfile.TemporaryDirectory() as scratch, mlflow.start_run(run_id=run_id):
            arguments = mlflow_model.write(candidate, Path(scratch))
            mlflow.log_params(dict(candidate.parameters))
            mlflow.log_metrics(dict(candidate.metrics))
            client.log_batch(run_id, metrics=mlflow_pages.curves(candidate))
            client.log_inputs(run_id, datasets=mlflow_pages.datasets(candidate))
            if candidate.report is not None:
                client.log_artifact(run_id, str(candidate.report))
            client.log_artifacts(run_id, str(candidate.evaluation_dir), EVALUATION_ARTIFACT)
            evidence = Path(scratch) / ATTACHMENTS_ARTIFACT
            evidence.mkdir()
            for name, path in candidate.attachments.items():
                copyfile(path, evidence / name)
            client.log_artifacts(run_id, str(evidence), ATTACHMENTS_ARTIFACT)
            info = mlflow.pyfunc.log_model(name=MODEL_ARTIFACT, **arguments)
        return info.model_id

    def _create_version(
        self, client: MlflowClient, candidate: ModelCandidate, run_id: str, model_id: str
    ) -> str:
        if all(m.name != candidate.name for m in self.models()):
            client.create_registered_model(candidate.name, description=candidate.title or None)
        tags = {**candidate.tags, DIGEST_TAG: candidate.digest}
        return client.create_model_version(
            candidate.name,
            f"models:/{model_id}",
            run_id=run_id,
            tags=tags,
            description=candidate.description or None,
            model_id=model_id,
        ).version

    # ---- MLflow -----------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[None]:
        make_private(self._lock_file.parent)
        with FileLock(self._lock_file):
            yield

    def _client(self) -> MlflowClient:
        """A client; the fluent API of this process points at the same store.

        Raises StoreUnavailable for a server that does not answer as MLflow does.
        """
        require_answer(self._uri, MLFLOW)
        mlflow = _import_mlflow()
        if self._database:
            mlflow_store.prepare(self._database, self._artifacts)
        mlflow.set_tracking_uri(self._uri)
        mlflow.set_registry_uri(self._uri)
        return mlflow.MlflowClient(self._uri, self._uri)


def _import_mlflow() -> Any:
    for name, value in _SWITCHES.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import mlflow
    # Environments made by uv hold no pip, which MLflow finds worth a warning.
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)
    return mlflow
