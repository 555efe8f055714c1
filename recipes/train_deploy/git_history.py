"""Read the history of a local git clone: one ``git log``, parsed as a stream of bytes.

A clone is input that somebody else may have prepared, so git runs without
hooks, pagers, external diffs, text conversion, fsmonitor, replacement objects,
network transports, or any configuration but the clone's own. The history itself
is read from the clone's objects alone, out of an empty repository beside: no
configuration, attributes or encodings of the clone change a figure.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import IO
from urllib.parse import urlsplit

from platform_ctl.errors import MissingProgram, NotARepository, ShallowClone
from recipes.train_deploy import observed
from recipes.train_deploy.names import RECIPE

_SAFE_OPTIONS = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.pager=cat",
    "core.commitGraph=true",
    "diff.orderFile=/dev/null",
    "gc.auto=0",
    "i18n.commitEncoding=UTF-8",
    "i18n.logOutputEncoding=UTF-8",
    "log.showSignature=false",
    "maintenance.auto=false",
    "protocol.allow=never",
]
_LOG_OPTIONS = [
    "--format=%x00%x00%H %ct%x00%ae",
    "--encoding=none",
    "--root",
    "--no-renames",
    "--no-ext-diff",
    "--no-textconv",
    "--no-show-signature",
    "--no-color",
    "--diff-algorithm=myers",
    "--ignore-submodules=none",
]
_RECORD = re.compile(
    rb"\x00\x00([0-9a-f]{40,64}) (-?\d*)\x00([^\n]*)\n"
    rb"(?:\n (\d+) files? changed(?:, (\d+) insertions?\(\+\))?(?:, (\d+) deletions?\(-\))?\n)?"
)
_RAW_RECORD = re.compile(rb"\x00\x00([0-9a-f]{40,64}) (-?\d*)\x00([^\n]*)\n([^\x00]*)")
_BLOB_TROUBLE = re.compile(r"unable to read|promisor|transport|could not (?:fetch|get object)")
_CHUNK_BYTES = 1 << 20
_BEGIN = b"\x00\x00"
"""Before each record, and nowhere in one."""
_ALIAS = re.compile(r"[A-Za-z0-9_-]+:(?!/)")
"""An address without a user, whose host has no dot."""
_DEFAULT_PORTS = {"22", "80", "443", "9418"}

RawCommit = tuple[bytes, bytes, bytes, bytes, bytes, bytes]
"""hash, committer date (epoch s), author e-mail, files, insertions, deletions; b"" is 0."""


class MissingBlobs(Exception):
    """The clone has the commits but not every file's content: partial, or pruned."""


@dataclass(frozen=True)
class Clone:
    """A usable local clone, looked at but not read."""

    path: Path
    repo: str
    """The repository's key: normalised origin URL, else the folder's name."""
    has_origin: bool
    head: str | None
    """None: no commit at HEAD."""
    object_dir: Path
    observed_until: int
    """Seconds since 1970: the newest moment at which ``head`` is known to have held everything
    that its origin had."""
    notes: tuple[str, ...] = ()
    """Why that is not as new as somebody may expect."""


def inspect(path: Path, now_s: int) -> Clone:
    """Look at a clone without reading its history.

    Raises NotARepository, ShallowClone, MissingProgram.
    """
    path = path.expanduser().absolute()
    _refuse_unless_folder(path)
    probe = _git(path, "rev-parse", "--is-shallow-repository", "--absolute-git-dir")
    if probe.returncode != 0:
        raise _not_a_repository(path, probe.stderr)
    shallow, git_dir = os.fsdecode(probe.stdout).splitlines()
    if shallow == "true":
        raise ShallowClone(
            f"{path} is a shallow clone: its older history is missing",
            where=str(path),
            fix=f"git -C {quote(str(path))} fetch --unshallow",
        )
    common = _git(path, "rev-parse", "--path-format=absolute", "--git-common-dir").stdout
    common_dir = Path(os.fsdecode(common).strip())
    origin = _git(path, "config", "--get-all", "remote.origin.url").stdout
    url = os.fsdecode(origin).splitlines()[0] if origin.strip() else ""
    head = _git(path, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").stdout.decode().strip()
    repo = normalise_url(_spelled_out(path, url)) if url else ""
    folders = observed.Folders(Path(git_dir), common_dir)
    seen = observed.until(_Git(path), folders, url, head, now_s) if head else observed.NOTHING
    return Clone(
        path=path,
        repo=printable(repo or _folder_name(common_dir)),
        has_origin=bool(repo),
        head=head or None,
        object_dir=common_dir / "objects",
        observed_until=min(now_s, seen.until),
        notes=seen.notes,
    )


def _refuse_unless_folder(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise _inside(path, "a file") or NotARepository(
            f"{path} is a file, not a repository",
            where=str(path),
            fix=f"platform-ctl data ingest --recipe {RECIPE} --git {quote(str(path.parent))}",
        )
    if not path.is_dir():
        raise NotARepository(
            f"{path} does not exist",
            where=str(path),
            fix=f"git clone URL {quote(str(path))}",
        )


@dataclass(frozen=True)
class _Git:
    """What ``observed`` asks of git, of one clone."""

    path: Path

    def __call__(self, *words: str) -> str | None:
        """Standard output without blanks at its ends; None when git says no."""
        done = _git(self.path, *words)
        return os.fsdecode(done.stdout).strip() if done.returncode == 0 else None


def normalise_url(url: str) -> str:
    """``host/path`` of a remote, the same for https, ssh and scp-like spellings.

    Scheme, credentials, default ports, query, ``.git`` and slashes at the ends go;
    the host is lower-cased. A local path gives that path.
    """
    url = url.strip()
    scp = re.match(r"^(?:[^@/:]+@)?([^/:@]+):(?!//)(.*)$", url)
    if scp and "://" not in url:
        host, path = scp.group(1).lower(), scp.group(2)
    elif "://" in url:
        try:
            parts = urlsplit(url)
            port = str(parts.port or "")
        except ValueError:
            return ""
        host = (parts.hostname or "").lower()
        if port and port not in _DEFAULT_PORTS:
            host = f"{host}:{port}"
        path = parts.path
    else:
        host, path = "", url
    path = re.sub(r"/+", "/", path).strip("/").removesuffix(".git").strip("/")
    return f"{host}/{path}".strip("/")


def _spelled_out(path: Path, url: str) -> str:
    """The address behind an alias such as ``gh:org/app``, by ``url.<base>.insteadOf``.

    The clone's configuration is asked, and that of the person, whose git made the clone.
    Any other address stays as it is: a mirror that stands in for its host is no other
    repository. Nothing is fetched.
    """
    if not _ALIAS.match(url):
        return url
    environment = _environment(path)
    del environment["GIT_CONFIG_GLOBAL"]
    environment |= {n: os.environ[n] for n in ("HOME", "XDG_CONFIG_HOME") if n in os.environ}
    done = subprocess.run(
        [*_command(path), "ls-remote", "--get-url", url],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment,
        check=False,
    )
    return os.fsdecode(done.stdout).strip() if done.returncode == 0 else url


def printable(text: str | Path) -> str:
    """A path or URL as text that every file and terminal takes, whatever its bytes were."""
    return os.fsencode(text).decode("utf-8", errors="replace")


def has_commit(clone: Clone, commit: str) -> bool:
    """Whether the clone still has a commit of that hash."""
    return _git(clone.path, "cat-file", "-e", f"{commit}^{{commit}}").returncode == 0


def is_ancestor(clone: Clone, commit: str, of: str = "") -> bool:
    """Whether ``commit`` is part of the history of ``of`` (default: HEAD)."""
    probe = _git(clone.path, "merge-base", "--is-ancestor", commit, of or clone.head or "HEAD")
    return probe.returncode == 0


def read(clone: Clone, since: str | None, *, lines: bool = True) -> Iterator[list[RawCommit]]:
    """The commits reachable from the clone's head (not from ``since``), in batches.

    Newest first, as git lists them; merges have no file counts. With ``lines``
    git has to read every changed file: raises MissingBlobs when the clone does
    not have them all. Without, insertions and deletions stay empty. Raises
    NotARepository when git cannot read the history to its end.
    """
    if clone.head is None:
        return
    revisions = [clone.head] + (["--not", since] if since else [])
    figures = ["--shortstat"] if lines else ["--raw"]
    with (
        _objects_only(clone) as (git, environment),
        tempfile.TemporaryFile() as stderr,
        subprocess.Popen(
            [*git, "log", *_LOG_OPTIONS, *figures, *revisions, "--"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment,
        ) as process,
    ):
        assert process.stdout is not None  # PIPE
        try:
            for records in _chunks(process.stdout):
                commits = _RECORD.findall(records) if lines else _parse_raw(records)
                if len(commits) != records.count(_BEGIN):
                    raise _unreadable(clone.path, "git lists commits in a form of its own")
                yield commits
        except BaseException:
            process.kill()
            raise
        if process.wait() == 0:
            return
        stderr.seek(0)
        stderr_text = stderr.read().decode(errors="replace").strip()
        if lines and _BLOB_TROUBLE.search(stderr_text):
            raise MissingBlobs(stderr_text)
        raise _unreadable(clone.path, stderr_text)


@contextlib.contextmanager
def _objects_only(clone: Clone) -> Iterator[tuple[list[str], dict[str, str]]]:
    """Command and environment of a git that sees the objects of a clone and nothing else of it."""
    kind = _git(clone.path, "rev-parse", "--show-object-format").stdout.decode().strip()
    with tempfile.TemporaryDirectory(prefix="objects-only-") as folder:
        empty = Path(folder)
        environment = _environment(empty)
        git = _command(empty)
        words = ["init", "--quiet", "--bare", f"--object-format={kind or 'sha1'}"]
        subprocess.run([*git, *words], env=environment, capture_output=True, check=True)
        yield git, environment | {"GIT_OBJECT_DIRECTORY": str(clone.object_dir)}


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    """Whole records, about a megabyte at a time."""
    tail = b""
    while chunk := stream.read(_CHUNK_BYTES):
        buffer = tail + chunk
        end = buffer.rfind(_BEGIN)
        if end > 0:
            yield buffer[:end]
            buffer = buffer[end:]
        tail = buffer
    if tail:
        yield tail


def _parse_raw(records: bytes) -> list[RawCommit]:
    return [
        (commit, date, mail, b"%d" % (b"\n" + changes).count(b"\n:"), b"", b"")
        for commit, date, mail, changes in _RAW_RECORD.findall(records)
    ]


def _command(path: Path) -> list[str]:
    git = shutil.which("git")
    if git is None:
        raise MissingProgram(
            "git is not installed or not on PATH", where="PATH", fix="sudo apt install git"
        )
    options = [*_SAFE_OPTIONS, "safe.directory=*"]  # whoever owns it, nothing of it is executed
    return [git, "--no-pager", "-C", str(path), *(x for o in options for x in ("-c", o))]


def _environment(path: Path) -> dict[str, str]:
    """Nothing of the caller's git variables, no global or system configuration."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C",
        "LANGUAGE": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CEILING_DIRECTORIES": str(path.parent),
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
    }


def _git(path: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*_command(path), *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=_environment(path),
        check=False,
    )


def _inside(path: Path, what: str) -> NotARepository | None:
    """The error for a path within a clone; None where it is in none."""
    enclosing = next((p for p in path.parents if (p / ".git").exists()), None)
    if enclosing is None:
        return None
    return NotARepository(
        f"{path} is {what} inside the repository {enclosing}, not a repository",
        where=str(path),
        fix=f"platform-ctl data ingest --recipe {RECIPE} --git {quote(str(enclosing))}",
    )


def _not_a_repository(path: Path, stderr: bytes) -> NotARepository:
    if enclosing := _inside(path, "a folder"):
        return enclosing
    inside = sorted(str(p.parent) for p in path.glob("*/.git"))
    if inside:
        clones = " ".join(quote(clone) for clone in inside)
        return NotARepository(
            f"{path} is a folder with {len(inside)} git repositories in it, not one itself",
            where=str(path),
            fix=f"platform-ctl data ingest --recipe {RECIPE} --git {clones}",
        )
    lines = stderr.decode(errors="replace").strip().splitlines()
    detail = lines[-1].removeprefix("fatal: ") if lines else "git does not recognise it"
    why = "" if detail.startswith("not a git repository") else f": {detail}"
    return NotARepository(
        f"{path} is not a git repository{why}",
        where=str(path),
        fix=f"git -C {quote(str(path))} status",
    )


def _unreadable(path: Path, message: str) -> NotARepository:
    detail = message.splitlines()[-1].removeprefix("fatal: ") if message else "git log failed"
    return NotARepository(
        f"the history of {path} cannot be read to its end: {detail}",
        where=str(path),
        fix=f"git -C {quote(str(path))} fsck",
    )


def _folder_name(common_dir: Path) -> str:
    folder = common_dir.parent if common_dir.name == ".git" else common_dir
    return folder.name.removesuffix(".git") or folder.name
