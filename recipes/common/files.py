"""Small files that every machine of an installation reads: in a folder, or in an object store."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from platform_ctl.folders import make_private
from recipes.common import iceberg


class Files(Protocol):
    """Named files of one place, which ``str`` gives for messages. A write appears whole."""

    def read(self, name: str) -> bytes:
        """Raises FileNotFoundError."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Make or replace. Raises DiskFull."""
        ...

    def where(self, name: str) -> str:
        """The path or address of a file."""
        ...


def files_at(place: str | Path) -> Files:
    """Those of a folder, or of an address with a scheme (``s3://BUCKET/PREFIX``)."""
    text = str(place)
    return _Stored(text) if "://" in text else _Folder(Path(text))


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        make_private(self._folder)
        path = self._folder / name
        draft = path.with_suffix(".draft")
        with iceberg.disk_errors():
            draft.write_bytes(content)
            draft.replace(path)

    def where(self, name: str) -> str:
        return str(self._folder / name)


class _Stored:
    """An object of a store is replaced whole, so that no draft is needed.

    Credentials and the endpoint are the variables of the store's own library (``AWS_*``).
    """

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")

    def read(self, name: str) -> bytes:
        content: bytes = self._system().cat_file(self.where(name))
        return content

    def write(self, name: str, content: bytes) -> None:
        self._system().pipe_file(self.where(name), content)

    def where(self, name: str) -> str:
        return f"{self._address}/{name}"

    def _system(self) -> Any:
        import fsspec

        # Listings that are kept would hide what another machine wrote.
        return fsspec.filesystem(self._address.partition("://")[0], use_listings_cache=False)
