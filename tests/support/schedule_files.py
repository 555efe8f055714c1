"""A small project with schedule files, and what its tests need of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from platform_ctl.ir.parameters import Allowed
from platform_ctl.schedules.document import Documents
from platform_ctl.schedules.read import Project, documents

PIPELINE = """\
pipelineInfo: {name: NAME}
schemaVersion: 2.1.0
sdkVersion: kfp-2.17.0
components:
  comp-say:
    executorLabel: exec-say
    inputDefinitions:
      parameters: {text: {parameterType: STRING}}
deploymentSpec:
  executors:
    exec-say:
      container:
        image: python:3.12
        command: [echo]
        args: ["{{$.inputs.parameters['text']}}"]
root:
  inputDefinitions:
    parameters:
      text: {parameterType: STRING, defaultValue: hello}
      trials: {parameterType: NUMBER_INTEGER, defaultValue: 3}
      rate: {parameterType: NUMBER_DOUBLE, defaultValue: 0.5}
      names: {parameterType: LIST, isOptional: true}
  dag:
    tasks:
      say:
        cachingOptions: {}
        componentRef: {name: comp-say}
        inputs:
          parameters: {text: {componentInputParameter: text}}
        taskInfo: {name: say}
"""
"""A pipeline of one step; ``NAME`` is its name."""


def project(root: Path, *, kubernetes: bool = False) -> Project:
    """A project with the pipelines ``hello`` and ``other`` and no schedules."""
    compiled = root / "pipelines/compiled"
    compiled.mkdir(parents=True, exist_ok=True)
    for name in ("hello", "other"):
        file = compiled / f"{name}.yaml"
        if not file.exists():
            file.write_text(PIPELINE.replace("NAME", name))

    def find(name: str) -> Path:
        from platform_ctl.ir.catalogue import Pipelines

        return Pipelines(root, "pipelines").find(name)

    return Project(
        root=root,
        folder=root / "pipelines/schedules",
        find=find,
        allowed=lambda pipeline: {"trials": Allowed(minimum=1, maximum=100)},
        recipes=lambda: ["train_deploy"],
        kubernetes=kubernetes,
    )


def write(
    root: Path, recurring_runs: str | None, experiments: str | None = None, team: str = "blue"
) -> None:
    """A team's files; None writes none."""
    folder = root / "pipelines/schedules" / team
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("recurring_runs", recurring_runs), ("experiments", experiments)):
        if text is not None:
            (folder / f"{name}.yaml").write_text(text)


def entry(name: str = "nightly", **changes: str) -> str:
    """One entry of ``recurring_runs`` as text."""
    fields = {"pipeline": "hello", "trigger": '{cron: "0 0 6 * * MON"}', **changes}
    lines = [f"- name: {name}", *(f"  {key}: {value}" for key, value in fields.items() if value)]
    return "\n".join(lines) + "\n"


def listed(*entries: str) -> str:
    return "recurring_runs:\n" + "".join(entries) if entries else "recurring_runs: []\n"


def load(root: Path, *entries: str, kubernetes: bool = False, experiments: str = "") -> Documents:
    """The documents of a project with these entries in team ``blue``."""
    made = project(root, kubernetes=kubernetes)
    write(root, listed(*entries), experiments or None)
    return documents(made)


def commit(root: Path, message: str = "change") -> str:
    """Commit everything in ``root`` to git, and answer the commit."""
    words = ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", message]
    if not (root / ".git").exists():
        subprocess.run(["git", "init", "-q", root], check=True)
    subprocess.run(["git", "-C", root, "add", "-A"], check=True)
    subprocess.run(["git", "-C", root, *words], check=True)
    found = subprocess.run(
        ["git", "-C", root, "rev-parse", "HEAD"], check=True, capture_output=True
    )
    return found.stdout.decode().strip()
