"""The committed workflow files, executed unchanged by ``act`` on this machine, without Docker.

The runner's labels are this host; ``actions/setup-python`` is a local composite action, and
``actions/checkout`` copies the work tree. ``make setup`` finds an environment that is ready.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

from tests.support.uploads import Clone

ROOT = Path(__file__).parents[2]
FORGES = {".github": "ubuntu-24.04", ".gitea": "ubuntu-latest"}
"""Folder of a forge -> label of its runners."""
_KEPT = ("pipelines", "recipes", "platform_ctl", ".ci", "infra/dev", ".github", ".gitea")
_FILES = ("Makefile", "pyproject.toml", "constraints.txt", "platform-ctl.toml", ".gitignore")
_READY = """#!/usr/bin/env bash
exec {python} -c 'from platform_ctl.cli.app import main; main()' "$@"
"""


@dataclass
class Ntfy:
    """What a recording ntfy got: (path, headers, JSON)."""

    url: str
    messages: list[tuple[str, dict[str, str], dict]] = field(default_factory=list)


@contextmanager
def ntfy() -> Iterator[Ntfy]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])).decode("utf-8"))
            recording.messages.append((self.path, dict(self.headers), body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    recording = Ntfy(f"http://127.0.0.1:{server.server_port}/gitea-ci")
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield recording
    finally:
        server.shutdown()
        server.server_close()


class Forge:
    """A clone of this project, and the workflow of one forge to be run in it."""

    def __init__(self, scratch: Path, folder: str) -> None:
        self.scratch, self.folder = scratch, folder
        self.clone = Clone(scratch / "clone")
        for name in _KEPT:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, self.clone.root / name, ignore=ignored)
        for name in _FILES:
            shutil.copy(ROOT / name, self.clone.root / name)
        self.clone.commit("2026-02-13T14:30:22Z")
        self._make_ready()
        self.set_up("true")

    def _make_ready(self) -> None:
        folder = self.scratch / "venv" / "bin"
        folder.mkdir(parents=True)
        command = folder / "platform-ctl"
        command.write_text(_READY.format(python=sys.executable))
        command.chmod(0o755)
        stamp = folder.parent / ".stamp"
        stamp.touch()
        later_s = time.time() + 86_400
        os.utime(stamp, (later_s, later_s))

    def set_up(self, command: str) -> None:
        """What ``actions/setup-python`` does."""
        step = {"run": command, "shell": "bash"}
        action = {"name": "setup-python", "runs": {"using": "composite", "steps": [step]}}
        shutil.rmtree(self.scratch / "setup-python", ignore_errors=True)
        local = Clone(self.scratch / "setup-python")
        local.write("action.yml", yaml.safe_dump(action))
        local.commit()

    def event(
        self, name: str, *, variables: dict[str, str], secrets: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run what an event (``push``, ``pull_request``) runs."""
        workflow = self.clone.root / self.folder / "workflows" / "compile-upload.yaml"
        event = self.scratch / "event.json"
        event.write_text(json.dumps({"ref": "refs/heads/main", "repository": {"name": "shop"}}))
        words = [name, "-W", str(workflow), "--eventpath", str(event)]
        words += ["-P", f"{FORGES[self.folder]}=-self-hosted"]
        for uses in _uses(workflow):
            if uses.startswith("actions/setup-python@"):
                words += ["--local-repository", f"{uses}={self.scratch / 'setup-python'}"]
        words += [w for item in variables.items() for w in ("--var", "=".join(item))]
        # In a file, as on a forge: an argument would be in the list of processes.
        secret_file = self.scratch / "secrets"
        secret_file.write_text("".join(f"{k}={v}\n" for k, v in secrets.items()))
        words += ["--secret-file", str(secret_file)]
        words += ["--env", f"MAKEFLAGS=VENV={self.scratch / 'venv'}"]
        return subprocess.run(
            [str(Path(sys.executable).with_name("act")), *words],
            cwd=self.clone.root,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def _environment(self) -> dict[str, str]:
        home = self.scratch / "home"
        (home / ".config" / "act").mkdir(parents=True, exist_ok=True)
        (home / ".config" / "act" / "actrc").touch()
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PLATFORM_", "GIT"))}
        git = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        return {**kept, **git, "HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config")}


def _uses(workflow: Path) -> set[str]:
    jobs = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"].values()
    return {step["uses"] for job in jobs for step in job["steps"] if "uses" in step}
