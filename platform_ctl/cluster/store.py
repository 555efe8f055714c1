"""The object store that pods share: bytes, files and folders by URI.

``storage.artifacts_uri`` is its root. Any URI that fsspec reads will do; for S3 the
address and the keys are the SDK's own variables (``AWS_ENDPOINT_URL``,
``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platform_ctl.errors import ConfigError, MissingExtra, StoreUnavailable


@dataclass(frozen=True)
class RemoteStore:
    """Everything under ``root``, a URI without a slash at the end."""

    root: str

    def read(self, uri: str) -> bytes | None:
        """The bytes of an object; None when there is none."""
        with _reached(uri) as (system, path):
            try:
                return bytes(system.cat_file(path))
            except FileNotFoundError:
                return None

    def write(self, uri: str, content: bytes) -> None:
        """Put an object there, whole."""
        with _reached(uri) as (system, path):
            system.makedirs(system._parent(path), exist_ok=True)
            system.pipe_file(path, content)

    def upload(self, source: Path, uri: str) -> None:
        """Copy a file or a folder there; objects of the same names are replaced."""
        files = [p for p in source.rglob("*") if p.is_file()] if source.is_dir() else [source]
        for file in files:
            name = file.relative_to(source).as_posix() if source.is_dir() else ""
            self.write(f"{uri}/{name}" if name else uri, file.read_bytes())

    def download(self, uri: str, target: Path) -> None:
        """Copy a file or a folder from there to ``target``. Raises StoreUnavailable."""
        with _reached(uri) as (system, path):
            files = [p for p in system.find(path) if not p.endswith("/")]
            if not files:
                raise StoreUnavailable(
                    "the object store has nothing there", where=uri, fix="platform-ctl run show"
                )
            prefix = path.rstrip("/") + "/"
            for item in files:
                below = item.partition(prefix)[2] if item != path else ""
                file = target / below if below else target
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(system.cat_file(item))

    def holds(self, uri: str) -> bool:
        """Whether there is an object, or a folder with some. Raises StoreUnavailable."""
        with _reached(uri) as (system, path):
            return bool(system.exists(path))

    def stage(self, uri: str) -> str:
        """The URI at which pods find an input: itself, or its copy when it is on this machine.

        A copy is named by its content, so that it is made once.
        """
        scheme, separator, rest = uri.partition("://")
        if separator and scheme != "file":
            return uri
        source = Path(rest if separator else uri)
        staged = f"{self.root}/inputs/{_digest(source)}"
        mark = f"{staged}.complete"
        if self.read(mark) is None:
            self.upload(source, staged)
            self.write(mark, b"")
        return staged

    def remove(self, uri: str) -> None:
        """Remove an object or everything under a folder. Idempotent."""
        with _reached(uri) as (system, path):
            if system.exists(path):
                system.rm(path, recursive=True)


def open_store(artifacts_uri: str) -> RemoteStore:
    """The store of the settings. Raises ConfigError when none is set."""
    if not artifacts_uri:
        raise ConfigError(
            "pods share no object store: storage.artifacts_uri is empty",
            where="storage.artifacts_uri",
            fix="export PLATFORM_CTL_STORAGE__ARTIFACTS_URI=s3://BUCKET/PREFIX",
        )
    return RemoteStore(artifacts_uri.rstrip("/"))


@contextmanager
def _reached(uri: str) -> Iterator[tuple[Any, str]]:
    """The file system of a URI and the path in it. Raises StoreUnavailable, MissingExtra."""
    try:
        import fsspec

        system, path = fsspec.core.url_to_fs(uri, use_listings_cache=False)
    except (ImportError, ValueError) as exc:
        raise MissingExtra(
            f"no program here reads {uri.partition('://')[0]}:// addresses",
            where=uri,
            fix="pip install 'platform-ctl[kubernetes]'",
        ) from exc
    try:
        yield system, path
    except _failures() as exc:
        raise StoreUnavailable(
            f"the object store does not answer as it should: {type(exc).__name__}: {exc}",
            where=uri,
            fix="platform-ctl --target kubernetes target check",
        ) from exc


def _failures() -> tuple[type[Exception], ...]:
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        return (OSError,)
    return (OSError, BotoCoreError, ClientError)


def _digest(source: Path) -> str:
    """sha256 over names and bytes of a file or folder, in hexadecimal."""
    digest = hashlib.sha256()
    files = sorted(p for p in source.rglob("*") if p.is_file()) if source.is_dir() else [source]
    for file in files:
        content = file.read_bytes()
        name = file.relative_to(source).as_posix() if source.is_dir() else ""
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
