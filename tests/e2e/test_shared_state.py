"""The main job on real servers of shared state: S3, PostgreSQL, Redis and an MLflow server.

What a cluster's pods use, used by a laptop: the same settings, the same variables.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.state_servers import (
    REDIS_PASSWORD,
    SECRET_KEY,
    Servers,
    free_port,
    missing_programs,
    servers,
)
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        bool(missing_programs()), reason=f"not installed: {', '.join(missing_programs())}"
    ),
]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("state")
    with servers(folder / "servers") as up, _mlflow(up, folder / "mlflow.log") as uri:
        given = {**os.environ, **up.environment, "PLATFORM_CTL_MLFLOW_TRACKING_URI": uri}
        yield {**given, "PLATFORM_HOME": str(folder / "home")}


@contextlib.contextmanager
def _mlflow(up: Servers, log: Path) -> Iterator[str]:
    """An MLflow server with its records in PostgreSQL and its files in S3."""
    port = free_port()
    words = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    words += [
        "--backend-store-uri",
        f"postgresql+psycopg://platform@127.0.0.1:{up.sql_port}/mlflow",
    ]
    words += ["--default-artifact-root", "s3://platform/mlflow", "--no-serve-artifacts"]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true"}
    with log.open("wb") as out:
        server = subprocess.Popen(
            [*words, "--workers", "1"],
            stdout=out,
            stderr=out,
            env={**os.environ, **quiet, **up.environment},
        )
    try:
        uri = f"http://127.0.0.1:{port}"
        eventually(lambda: _answers(f"{uri}/health"), seconds=180)
        yield uri
    finally:
        server.terminate()
        server.wait(60)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def run(
    environment: dict[str, str], *words: str, **changes: str
) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("platform-ctl")), *words]
    return subprocess.run(
        command,
        env={**environment, **changes},
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=900,
    )


def test_the_main_job_reaches_staging(environment: dict[str, str]) -> None:
    ingest = run(environment, "data", "ingest", "--sample")
    assert ingest.returncode == 0, ingest.stderr
    budget = ["-p", "max_trials=2", "-p", "epochs=2"]
    trained = run(environment, "pipeline", "run", "train-deploy", *budget)
    assert trained.returncode == 0, trained.stdout[-2000:] + trained.stderr
    audit = run(environment, "data", "audit", "--rows", "10")
    assert audit.returncode == 0, audit.stdout + audit.stderr


def test_another_machine_sees_the_data_and_the_model(
    environment: dict[str, str], tmp_path: Path
) -> None:
    shown = run(environment, "data", "show", PLATFORM_HOME=str(tmp_path / "other"))
    assert "sample/atlas" in shown.stdout, shown.stderr
    models = run(environment, "model", "list", PLATFORM_HOME=str(tmp_path / "other"))
    assert "weekly-commits" in models.stdout, models.stderr
    predicted = run(
        environment, "model", "predict", "weekly-commits/1", PLATFORM_HOME=str(tmp_path / "other")
    )
    assert predicted.returncode == 0, predicted.stderr


def test_no_secret_is_kept_in_the_home(environment: dict[str, str]) -> None:
    secrets = (SECRET_KEY.encode(), REDIS_PASSWORD.encode())
    holders = [
        path
        for path in Path(environment["PLATFORM_HOME"]).rglob("*")
        if path.is_file() and any(secret in path.read_bytes() for secret in secrets)
    ]
    assert holders == []


def test_a_store_that_is_down_is_named(environment: dict[str, str]) -> None:
    silent = f"http://127.0.0.1:{free_port()}"
    catalog = environment["PLATFORM_CTL_ICEBERG_CATALOG"].replace(
        environment["AWS_ENDPOINT_URL"], silent
    )
    failed = run(environment, "data", "show", PLATFORM_CTL_ICEBERG_CATALOG=catalog)
    assert failed.returncode == 4
    assert "err-store-unavailable" in failed.stderr
    assert silent.removeprefix("http://") in failed.stderr


def test_a_store_that_refuses_is_named_with_its_own_words(environment: dict[str, str]) -> None:
    refused = run(environment, "data", "show", AWS_SECRET_ACCESS_KEY="wrong")
    assert refused.returncode == 4, refused.stderr
    assert "err-store-refused" in refused.stderr and "AWS_SECRET_ACCESS_KEY" in refused.stderr
    catalog = environment["PLATFORM_CTL_ICEBERG_CATALOG"].replace("/iceberg", "/no_such")
    absent = run(environment, "data", "show", PLATFORM_CTL_ICEBERG_CATALOG=catalog)
    assert absent.returncode == 4 and "no_such" in absent.stderr, absent.stderr
    assert len(absent.stderr.strip().splitlines()) == 4
