"""Files at a git reference: of the project's own clone, or of another repository."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

_TIMEOUT_S = 60


class NotInGit(Exception):
    """The reference or the file is not there; the message says which."""


def commit(root: Path, ref: str, url: str = "") -> str:
    """The commit that ``ref`` is at now. Raises NotInGit."""
    if ref.startswith("-") or url.startswith("-"):
        raise NotInGit(f"{ref!r} of {url!r} is not a git reference")
    if url:
        lines = _git(root, "ls-remote", "--", url, ref).decode().splitlines()
        if not lines and _is_sha(ref):
            return ref
        if not lines:
            raise NotInGit(f"{url} has no reference {ref!r}")
        return lines[0].split("\t")[0]
    return _git(root, "rev-parse", "--verify", f"{ref}^{{commit}}").decode().strip()


def content(root: Path, sha: str, path: str, url: str = "") -> bytes:
    """The bytes of a file in a commit. Raises NotInGit."""
    if not url:
        return _git(root, "cat-file", "blob", f"{sha}:{path}")
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder)
        _git(clone, "init", "-q")
        _git(clone, "fetch", "-q", "--depth", "1", "--", url, sha)
        return _git(clone, "cat-file", "blob", f"{sha}:{path}")


def _is_sha(ref: str) -> bool:
    return len(ref) == 40 and all(c in "0123456789abcdef" for c in ref)


def _git(folder: Path, *words: str) -> bytes:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": "file:https:ssh"},
        )
    except FileNotFoundError as exc:
        raise NotInGit("git is not on PATH") from exc
    except subprocess.TimeoutExpired as exc:
        raise NotInGit(f"git {words[0]} took longer than {_TIMEOUT_S} s") from exc
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise NotInGit(f"git {words[0]}: {lines[-1] if lines else 'no answer'}")
    return done.stdout
