"""Where a pipeline's source is, read from ``.git`` itself: no process is started."""

from __future__ import annotations

import configparser
from collections.abc import Iterator, Mapping
from pathlib import Path

from platform_ctl.lineage.facets import CodeSource
from platform_ctl.text import without_user


class CodeSources(Mapping[str, CodeSource]):
    """Source of each pipeline by name; looked up when it is asked for."""

    def __init__(self, project_root: Path, package: str) -> None:
        self._root, self._folder = project_root, package.replace(".", "/")
        self._known: dict[str, CodeSource] = {}

    def __getitem__(self, pipeline: str) -> CodeSource:
        if pipeline not in self._known:
            path = f"{self._folder}/{pipeline.replace('-', '_')}_pipeline.py"
            self._known[pipeline] = source_of(self._root, path)
        return self._known[pipeline]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


def source_of(project_root: Path, path: str) -> CodeSource:
    """Origin, commit and path; an empty Source outside a git clone with an origin."""
    git = project_root / ".git"
    url, commit = _origin(git), _commit(git)
    if not url or not commit or not (project_root / path).is_file():
        return CodeSource()
    return CodeSource(url, commit, path)


def _origin(git: Path) -> str:
    """The origin as a web address, without user or password."""
    config = configparser.ConfigParser(strict=False, interpolation=None)
    try:
        config.read(git / "config", encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return ""
    url = config.get('remote "origin"', "url", fallback="")
    if url.startswith("git@"):
        host, _, path = url.removeprefix("git@").partition(":")
        return f"https://{host}/{path}"
    scheme, separator, rest = url.partition("://")
    if scheme not in ("http", "https", "ssh"):
        return ""
    return without_user(f"https{separator}{rest}")


def _commit(git: Path) -> str:
    try:
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
    except OSError:
        return ""
    if not head.startswith("ref: "):
        return head
    name = head.removeprefix("ref: ")
    loose, packed = git / name, git / "packed-refs"
    if loose.is_file():
        return loose.read_text(encoding="utf-8").strip()
    lines = packed.read_text(encoding="utf-8").splitlines() if packed.is_file() else []
    return next((line.split(" ")[0] for line in lines if line.endswith(f" {name}")), "")
