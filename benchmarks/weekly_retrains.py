"""Weekly retrains on real histories, with a clock of their own: what does each one learn from?

``python -m benchmarks.weekly_retrains CLONE… --until 2026-07-20 --weeks 4``. Each Monday a copy of
every clone is brought to what its main branch had by then, ingested as of then, and the pipeline
runs. After the last Monday, two days of commits more are ingested and it runs once again: the
training rows are the same, so that search and fit have to come from the cache. The clones are read
and not changed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from platform_ctl import targets
from platform_ctl.settings import load
from recipes.train_deploy import data

ROOT = Path(__file__).parents[1]
CLI = (sys.executable, "-c", "from platform_ctl.cli.app import main; main()")
BRANCH = "refs/remotes/origin/main"


class Copy:
    """A clone of a clone, whose main branch is set back in time."""

    def __init__(self, source: Path, folder: Path) -> None:
        self._source = source
        self.path = folder / source.name
        url = _git(source, "config", "remote.origin.url")
        _git(folder, "init", "-q", "-b", "main", str(self.path))
        alternates = self.path / ".git/objects/info/alternates"
        objects = _git(source, "rev-parse", "--path-format=absolute", "--git-path", "objects")
        alternates.write_text(objects + "\n")
        _git(self.path, "remote", "add", "origin", url)
        _git(self.path, "config", "branch.main.remote", "origin")
        _git(self.path, "config", "branch.main.merge", "refs/heads/main")

    def bring_to(self, moment: datetime) -> None:
        """Main as it was at ``moment``; the reflog says that it was fetched then."""
        before = ("--first-parent", f"--before={moment.isoformat()}", "HEAD")
        commit = _git(self._source, "rev-list", "-1", *before)
        clock = {"GIT_COMMITTER_DATE": moment.isoformat(), "GIT_COMMITTER_NAME": "clock"}
        env = {**clock, "GIT_COMMITTER_EMAIL": "clock@example.org"}
        words = ("update-ref", "--create-reflog", "-m", "fetch origin: fast-forward")
        _git(self.path, *words, BRANCH, commit, env=env)
        _git(self.path, "update-ref", "refs/heads/main", commit, env=env)


def _git(folder: Path, *words: str, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *words],
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def retrain(copies: Sequence[Copy], moment: datetime, words: Sequence[str]) -> dict[str, Any]:
    """Ingest as of ``moment``, run the pipeline; what the run says of itself."""
    for copy in copies:
        copy.bring_to(moment)
    access = targets.data_access(load(cwd=ROOT, env=os.environ).settings)
    ingested = data.ingest_git(access, paths=[copy.path for copy in copies], now=moment)
    done = subprocess.run(
        [*CLI, "pipeline", "run", "train-deploy", *words], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode > 1:
        raise SystemExit(done.stdout + done.stderr)
    shown = subprocess.run([*CLI, "run", "show", "-o", "json"], cwd=ROOT, capture_output=True)
    tasks = {task["name"].rpartition(".")[2]: task for task in json.loads(shown.stdout)["tasks"]}
    place = tasks["evaluate"]["outputs"]["artifacts"]["evaluation"][0]["uri"]
    evaluation = json.loads((Path(place) / "evaluation.json").read_text())
    return {
        "new": ingested.new_rows,
        "splits": tasks["extract"]["outputs"]["artifacts"]["rows"][0]["metadata"]["splits"],
        "cached": [n for n in ("tune", "train") if tasks[n]["cache_use"] == "HIT"],
        "evaluation": evaluation,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clones", nargs="+", type=Path)
    parser.add_argument("--until", required=True, help="the last Monday, YYYY-MM-DD")
    parser.add_argument("--weeks", type=int, default=4)
    parser.add_argument("--trials", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=5)
    given = parser.parse_args()
    words = ["-p", f"max_trials={given.trials}", "-p", f"epochs={given.epochs}"]
    last = datetime.fromisoformat(given.until).replace(tzinfo=UTC)
    moments = [last - timedelta(weeks=n) for n in reversed(range(given.weeks))]
    print(
        "as of       new  train rows  newest training row  golden weeks                MASE  cached"
    )
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PLATFORM_HOME"] = f"{folder}/home"
        copies = [Copy(path.absolute(), Path(folder)) for path in given.clones]
        for moment in [*moments, last + timedelta(days=2)]:
            found = retrain(copies, moment, words)
            evaluation = found["evaluation"]
            training, golden = evaluation["training"], evaluation["golden"]
            print(
                f"{moment:%Y-%m-%d} {found['new']:4d} {found['splits']['train']:11d}"
                f"  {training['newest_row_at'][:10]:19s}"
                f"  {golden['starts_at'][:10]} to {golden['ends_at'][:10]}"
                f"  {evaluation['metrics']['mase']:8.3f}  {', '.join(found['cached']) or '-'}",
                flush=True,
            )


if __name__ == "__main__":
    main()
