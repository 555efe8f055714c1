"""Facts of the git clone that an upload reads: never its configuration's programs.

All answers come from ``git`` itself, read only. A commit that the clone does not
hold is answered with None, which is another answer than "no".
"""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from platform_ctl.errors import MissingProgram, NotARepository

COMPILED_FROM = ("*.py", "*.yaml", "*.yml", "*.toml", "constraints.txt")
"""What an import of the pipelines' modules may read: a change elsewhere compiles to the same."""
_TIMEOUT_S = 30.0


class Checkout:
    """The clone around ``root``. Raises NotARepository, MissingProgram at the first question."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @cached_property
    def commit(self) -> str:
        """The full hash of HEAD."""
        commit = self._git("rev-parse", "--verify", "HEAD^{commit}")
        if commit is None:
            raise NotARepository(
                "an upload takes committed pipelines; this folder is no git clone with a commit",
                where=str(self._root),
                fix=f"git -C {self._root} log -1",
            )
        return commit.strip()

    @cached_property
    def committed_at(self) -> datetime:
        """The committer's time of HEAD, in UTC and whole seconds."""
        return self._time(self.commit) or datetime.fromtimestamp(0, UTC)

    @cached_property
    def shallow(self) -> bool:
        """Whether older history is cut off, so that "no ancestor" means nothing."""
        return (self._git("rev-parse", "--is-shallow-repository") or "").strip() == "true"

    @cached_property
    def clean(self) -> bool:
        """Whether nothing that the pipelines compile from was changed or added since HEAD."""
        status = self._git(
            "status", "--porcelain", "--untracked-files=normal", "--", *COMPILED_FROM
        )
        return status == ""

    def committed_bytes(self, path: Path) -> bytes | None:
        """What HEAD holds at ``path``; None when it holds no such file."""
        inside = os.path.relpath(path, self._root)
        return self._bytes("cat-file", "blob", f"{self.commit}:./{Path(inside).as_posix()}")

    def holds(self, commit: str) -> bool:
        """Whether the clone knows the commit."""
        return self._git("cat-file", "-e", f"{commit}^{{commit}}") is not None

    def is_ancestor(self, older: str, newer: str) -> bool | None:
        """Whether ``newer`` was made on top of ``older``; None when one of them is not here.

        A commit is no ancestor of itself.
        """
        if older == newer:
            return False
        if not (self.holds(older) and self.holds(newer)):
            return None
        return self._git("merge-base", "--is-ancestor", older, newer) is not None

    def same_sources(self, commit: str) -> bool:
        """Whether everything pipelines compile from is in HEAD as it was in ``commit``."""
        if commit == self.commit:
            return True
        if not self.holds(commit):
            return False
        changed = self._git("diff", "--quiet", commit, self.commit, "--", *COMPILED_FROM)
        return changed is not None

    def _time(self, commit: str) -> datetime | None:
        text = self._git("show", "--no-patch", "--format=%ct", commit)
        return datetime.fromtimestamp(int(text), UTC) if text else None

    def _git(self, *words: str) -> str | None:
        output = self._bytes(*words)
        return None if output is None else output.decode("utf-8", "replace")

    def _bytes(self, *words: str) -> bytes | None:
        """stdout, or None where git says no."""
        quiet = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
        try:
            done = subprocess.run(
                ["git", "-C", str(self._root), *words],
                capture_output=True,
                check=False,
                env={**os.environ, **quiet},
                timeout=_TIMEOUT_S,
            )
        except FileNotFoundError as exc:
            raise MissingProgram(
                "git is not on the PATH", where="pipeline upload", fix="apt-get install git"
            ) from exc
        except subprocess.TimeoutExpired as exc:
            raise NotARepository(
                f"git does not answer within {_TIMEOUT_S:g} s",
                where=str(self._root),
                fix=f"git -C {self._root} status",
            ) from exc
        return done.stdout if done.returncode == 0 else None
