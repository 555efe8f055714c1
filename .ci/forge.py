"""What the scripts here know of the forge that runs them (GitHub, or Gitea's act_runner).

Standard library only: they run before and without any set-up.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

OUTPUTS = (
    "compiled",
    "uploaded",
    "unchanged",
    "superseded",
    "failed",
    "failed_names",
    "version",
)


def run_url(env: Mapping[str, str]) -> str:
    """The run's page; "" where the forge does not say enough (act_runner leaves some empty)."""
    server, repository, run = (env.get(n, "") for n in ("SERVER_URL", "REPOSITORY", "RUN"))
    if not (server and repository and run):
        return ""
    return f"{server.rstrip('/')}/{repository}/actions/runs/{run}"


def write_outputs(values: Mapping[str, object], env: Mapping[str, str]) -> None:
    """Append to the file of the job's outputs; on the terminal where there is none."""
    lines = [f"{name}={' '.join(str(values.get(name, '')).split())}" for name in OUTPUTS]
    if file := env.get("GITHUB_OUTPUT"):
        with Path(file).open("a", encoding="utf-8") as outputs:
            outputs.write("".join(f"{line}\n" for line in lines))
    print("; ".join(lines), flush=True)
