"""Commits, candidates and clones of uploads, small enough to reason about."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from platform_ctl.upload.candidate import SourceCommit, UploadCandidate, candidate

IMAGE = f"registry.example/platform@sha256:{'a' * 64}"
OTHER_IMAGE = f"registry.example/platform@sha256:{'b' * 64}"
EPOCH = 1_770_000_000


def ir(
    name: str = "demo",
    *,
    text: str = "one",
    image: str = IMAGE,
    sdk: str = "kfp-2.17.0",
    **more: Any,
) -> bytes:
    """Compiled IR of one task that prints ``text``."""
    task = {"taskInfo": {"name": "say"}, "componentRef": {"name": "comp-say"}, **more}
    container = {"image": image, "command": ["echo", text]}
    return yaml.safe_dump(
        {
            "pipelineInfo": {"name": name, "description": "Says a word."},
            "schemaVersion": "2.1.0",
            "sdkVersion": sdk,
            "root": {"dag": {"tasks": {"say": task}}},
            "components": {"comp-say": {"executorLabel": "exec-say"}},
            "deploymentSpec": {"executors": {"exec-say": {"container": container}}},
        }
    ).encode()


def commit(letter: str, at_s: int = EPOCH) -> SourceCommit:
    """A commit whose hash is one letter, forty times."""
    return SourceCommit(letter * 40, datetime.fromtimestamp(at_s, UTC))


def made(
    source: SourceCommit, *, image: str = IMAGE, committed_image: str = IMAGE, **words: Any
) -> UploadCandidate:
    """What ``source`` would upload: its IR names ``committed_image``, the settings ``image``."""
    return candidate(ir(image=committed_image, **words), Path("demo.yaml"), source, image=image)


class Line:
    """A history without branches: each commit on top of the one before. ``unknown`` to a clone
    are those that were pushed after it was made."""

    def __init__(self, *commits: SourceCommit, unknown: tuple[SourceCommit, ...] = ()) -> None:
        self._order = [c.commit for c in commits]
        self._unknown = {c.commit for c in unknown}

    def is_ancestor(self, older: str, newer: str) -> bool | None:
        known = [c for c in self._order if c not in self._unknown]
        if older not in known or newer not in known:
            return None
        return known.index(older) < known.index(newer)


class Clone:
    """A git repository with a project in it: compiled pipelines and what they come from."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.email", "somebody@example.org")
        self.git("config", "user.name", "Somebody")
        self.write("platform-ctl.toml", "")

    def git(self, *words: str, env: Mapping[str, str] | None = None) -> str:
        done = subprocess.run(
            ["git", "-C", str(self.root), *words],
            check=True,
            capture_output=True,
            text=True,
            env={**_environment(), **(env or {})},
        )
        return done.stdout.strip()

    def write(self, file: str, text: str | bytes) -> Path:
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def commit(self, at: str = "2026-02-13T15:30:22+01:00", message: str = "Change") -> str:
        self.git("add", "-A")
        dates = {"GIT_AUTHOR_DATE": at, "GIT_COMMITTER_DATE": at}
        self.git("commit", "-q", "--allow-empty", "-m", message, env=dates)
        return self.git("rev-parse", "HEAD")


def _environment() -> dict[str, str]:
    import os

    kept = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    return {**kept, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


SOURCE = '''"""A pipeline of one container."""

from kfp import dsl


@dsl.container_component
def say():
    return dsl.ContainerSpec(image="{image}", command=["echo", "{text}"])


@dsl.pipeline(name="{name}")
def {name}():
    say()
'''


def write_pipeline(clone: Clone, name: str, *, text: str = "one", image: str = IMAGE) -> None:
    """A source in the package ``flows``; ``compile_in`` makes its IR."""
    clone.write("platform-ctl.toml", 'pipelines_package = "flows"\n')
    clone.write("flows/__init__.py", "")
    source = SOURCE.format(name=name, text=text, image=image)
    clone.write(f"flows/{name}_pipeline.py", source)
