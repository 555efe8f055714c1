"""Small MLflow models and a bounded load, shared by the serving tests."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from platform_ctl.recipe.recipe import DataAccess
from platform_ctl.recipe.truth import Truth
from platform_ctl.serving.local.service import LocalServing
from platform_ctl.serving.service import Revision, ServiceLimits

FEATURES = ("a", "b")
ROOT = Path(__file__).resolve().parents[2]


def online_features(data: DataAccess, names: list[str]) -> dict[str, dict[str, float]]:
    """The feature lookup of the stub recipe: any name but ``unknown…`` is known, ``broken…``
    fails, ``hollow…`` lacks a feature."""
    if any(n.startswith("broken") for n in names):
        raise RuntimeError("no such table: features")
    if any(n.startswith("hollow") for n in names):
        return {n: {"a": 1.0, "b": None} for n in names}
    return {
        n: {"a": float(len(n)), "b": 1.0, "extra": 0.0}
        for n in names
        if not n.startswith("unknown")
    }


def labels(data: DataAccess, asked: Sequence[tuple[str, datetime]]) -> list[Truth | None]:
    """What came true for the stub's ``online_features``: a fifth more than a + 2 b."""
    return [Truth("2024-01-01", 1.2 * (len(name) + 2.0)) for name, _ in asked]


def save_model(path: Path, features: Sequence[str] = FEATURES, **config: Any) -> Path:
    """Write a model directory with MLflow itself."""
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    data = path.with_suffix(".json")
    data.parent.mkdir(parents=True, exist_ok=True)
    data.write_text(json.dumps(config))
    warnings.filterwarnings("ignore", r".*An input example was not provided")
    mlflow.pyfunc.save_model(
        path,
        loader_module="stub_model",
        data_path=str(data),
        code_paths=[str(Path(__file__).with_name("stub_model.py"))],
        signature=ModelSignature(
            inputs=Schema([ColSpec("float", f) for f in features]),
            outputs=Schema([ColSpec("float")]),
        ),
        pip_requirements=[],
    )
    return path


def revision(path: Path) -> Revision:
    return Revision(path.name, str(path), model_version="1")


def local_serving(home: Path, **limits: Any) -> LocalServing:
    data = DataAccess({}, home / "feast", home / "golden", home / "key", home / "locks")
    limits = {"drain_s": 3.0, "canary_timeout_s": 0.5, **limits}
    return LocalServing(
        home / "services",
        host="127.0.0.1",
        port=0,
        project_root=str(ROOT),
        data=data,
        limits=ServiceLimits(**limits),
    )


def post(
    url: str, path: str, body: Any, *, headers: dict[str, str] | None = None, timeout: float = 10.0
) -> tuple[int, dict[str, str], Any]:
    """One request on a connection of its own: (status, headers, decoded body)."""
    host = url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=timeout)
    try:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        defaults = {"content-type": "application/json"}
        connection.request("POST", path, raw, defaults if headers is None else headers)
        response = connection.getresponse()
        text = response.read()
        decoded = json.loads(text) if text else None
        return response.status, {k.lower(): v for k, v in response.getheaders()}, decoded
    finally:
        connection.close()


@contextlib.contextmanager
def steady_load(url: str, *, seconds: float, rate: int = 150) -> Iterator[dict[str, Any]]:
    """Callers in a process of their own while the block runs; the report is filled at its end."""
    report: dict[str, Any] = {}
    command = [sys.executable, "-m", "tests.support.load", url, str(seconds), str(rate)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.PIPE)
    try:
        process.stdout.readline()  # it has started
        yield report
        said, _ = process.communicate(b"stop\n", timeout=seconds + 30)
        report.update(json.loads(said))
    finally:
        process.kill()
        process.wait()
