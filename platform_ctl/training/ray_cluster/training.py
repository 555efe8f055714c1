"""Training on a Ray cluster that exists: what a team with GPUs switches on, on both targets.

The process of the step is a client; the function runs as a task of the cluster, so that Ray Train's
driver is beside its workers. Code goes there as ``py_modules`` (the packages of the function and of
the platform), inputs and model as bytes: no folder has to be shared. The cluster's own environment
brings Ray and the libraries, in the versions of this process.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import logging
import os
import socket
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from platform_ctl.errors import (
    BadParameter,
    ConfigError,
    RayUnavailable,
    TrainingFailed,
    from_dict,
)
from platform_ctl.training import call
from platform_ctl.training.port import Metrics, OnProgress, TrainingJob
from platform_ctl.training.ray_cluster import remote

SETTING = "setting training.ray_address"
ANSWER_S = 8.0
POLL_S = 0.5
_SHOW = "platform-ctl config show --origin"
_NO_ANSWER = TrainingFailed(
    "the function returned no metrics", where="training", fix="platform-ctl run logs latest"
).as_dict()


@dataclass(frozen=True)
class RayClusterTraining:
    """Implements training.port.Training. A fit ends with the process that asked for it."""

    address: str
    token: str = field(default="", repr=False)
    checkpoints: str = ""
    """URI of a folder that every node of the cluster can write; empty: no epoch is kept."""

    def run(self, job: TrainingJob, *, on_progress: OnProgress = lambda progress: None) -> Metrics:
        """As the port says. A fit that was interrupted goes on with its last kept epoch, or starts
        again where none is kept."""
        call.resolve(job.function)
        inputs = {name: remote.read(_local(uri)) for name, uri in job.inputs.items()}
        with self._connected(job):
            self._refuse_what_is_not_there(job)
            checkpoints = checkpoints_of(self.checkpoints, job, inputs)
            answer = self._answer(job, inputs, on_progress, checkpoints)
        if answer.metrics is None:
            raise from_dict(answer.error or _NO_ANSWER)
        out = _local(job.out)
        out.mkdir(parents=True, exist_ok=True)
        remote.write(out, answer.files)
        _forget(checkpoints)
        return answer.metrics

    def end_run(self, run_id: str) -> None:
        """Nothing is left: Ray ends the tasks of a client that is gone."""

    def _answer(
        self,
        job: TrainingJob,
        inputs: dict[str, remote.Files],
        on_progress: OnProgress,
        checkpoints: str | None,
    ) -> remote.Answer:
        import ray

        started_at = datetime.now(UTC)
        reports: Any = ray.remote(remote.Reports).options(num_cpus=0).remote()
        fit = ray.remote(remote.fit).options(num_cpus=0, max_retries=0)
        task = fit.remote(job, inputs, reports, checkpoints)
        try:
            done: list[Any] = []
            while not done:
                done, _ = ray.wait([task], timeout=POLL_S)
                for figures in ray.get(reports.take.remote()):
                    on_progress(call.epoch(job, figures, started_at))
            answer: remote.Answer = ray.get(task)
        except (ray.exceptions.RayError, ConnectionError) as exc:
            raise TrainingFailed(
                f"the Ray cluster lost the fit: {type(exc).__name__}: {exc}",
                where=self.address,
                fix="platform-ctl run resume latest",
            ) from exc
        return answer

    def _refuse_what_is_not_there(self, job: TrainingJob) -> None:
        """Raises BadParameter: workers that do not fit would wait for each other for ever."""
        import ray

        there = ray.cluster_resources()
        fixes = {
            "GPU": "export PLATFORM_CTL_TRAINING__WORKER_GPUS=0",
            "CPU": "platform-ctl pipeline run NAME -p num_workers=1",
        }
        for name, fix in fixes.items():
            each = remote.resources(job)[name]
            if job.workers * each > there.get(name, 0):
                raise BadParameter(
                    f"{job.workers} workers with {each:g} {name}s each: the Ray cluster has "
                    f"{there.get(name, 0):g}",
                    where=self.address,
                    fix=fix,
                )

    @contextlib.contextmanager
    def _connected(self, job: TrainingJob) -> Iterator[None]:
        """While inside, ``ray`` is the cluster's. Raises RayUnavailable, ConfigError."""
        _require_listener(self.address)
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ray-")))
            self._authenticate(folder / "token")
            import ray
            from ray._raylet import (  # type: ignore[attr-defined]
                AuthenticationTokenLoader,
                Config,
            )

            # Ray reads both at import, and some other code may have imported it.
            Config.initialize("")
            AuthenticationTokenLoader.instance().reset_cache()
            logging.getLogger("ray").setLevel(logging.ERROR)
            try:
                ray.init(
                    self.address,
                    namespace=f"platform-ctl-{os.getpid()}",
                    runtime_env={"py_modules": _packages(job)},
                )
            except Exception as exc:  # Ray raises a kind of its own for every way to fail
                raise _unavailable(self.address, f"{type(exc).__name__}: {exc}") from exc
            stack.callback(ray.shutdown)
            yield

    def _authenticate(self, file: Path) -> None:
        """Ray takes a token from a file that the environment names."""
        os.environ["RAY_AUTH_MODE"] = "token" if self.token else "disabled"
        if self.token:
            file.touch(mode=0o600)
            file.write_text(self.token, encoding="ascii")
            os.environ["RAY_AUTH_TOKEN_PATH"] = str(file)


def checkpoints_of(root: str, job: TrainingJob, inputs: Mapping[str, remote.Files]) -> str | None:
    """Where a fit keeps its epochs: the same folder for the same job on the same bytes.

    None without a root. Where the model goes is no part of it: a later attempt has another place.
    """
    if not root:
        return None
    digest = hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(job, inputs={}, out="")))
    for name, files in sorted(inputs.items()):
        for path, content in sorted(files.items()):
            digest.update(f"\0{name}\0{path}\0".encode() + hashlib.sha256(content).digest())
    return f"{root.rstrip('/')}/training/{digest.hexdigest()[:32]}/checkpoints"


def _forget(checkpoints: str | None) -> None:
    """Delete the epochs of a fit that has succeeded."""
    if checkpoints is None:
        return
    import fsspec

    system, path = fsspec.core.url_to_fs(checkpoints)
    if system.exists(path):
        system.rm(path, recursive=True)


def _packages(job: TrainingJob) -> list[str]:
    """Folders of the packages that the function comes from, and of the platform."""
    names = dict.fromkeys([job.function.partition(".")[0], "platform_ctl"])
    specs = (importlib.util.find_spec(name) for name in names)
    return [place for s in specs if s for place in list(s.submodule_search_locations or [])[:1]]


def _require_listener(address: str) -> None:
    """Ray waits minutes for a server that is not there. Raises ConfigError, RayUnavailable."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not port or parts.scheme not in ("", "ray"):
        raise ConfigError(
            f"{address!r} is not the address of a Ray cluster",
            where=SETTING,
            fix="export PLATFORM_CTL_TRAINING__RAY_ADDRESS=ray://HOST:10001",
        )
    try:
        socket.create_connection((host, port), timeout=ANSWER_S).close()
    except OSError as exc:
        raise _unavailable(address, exc.strerror or type(exc).__name__) from exc


def _unavailable(address: str, why: str) -> RayUnavailable:
    return RayUnavailable(
        f"the Ray cluster {address} does not answer: {why}", where=SETTING, fix=_SHOW
    )


def _local(uri: str) -> Path:
    """The path of a file URI, or of a path. Raises BadParameter for any other URI."""
    parts = urlsplit(uri)
    if "://" not in uri:
        return Path(uri)
    if parts.scheme != "file":
        raise BadParameter(
            f"{uri} is not on this machine", where="training", fix="use a file:// URI"
        )
    return Path(parts.path)
