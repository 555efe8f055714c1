"""A scratch checkout of recipes and pipelines with a home of its own, where a run is quick.

It trains in the step's process for one epoch and logs no search in MLflow:
without Ray and that a run takes a third. Everything else is the real thing.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from platform_ctl.explain.impact import Impact
from platform_ctl.runs.record import Run

ROOT = Path(__file__).parents[2]
SMALL = ("-p", "max_trials=1", "-p", "epochs=1")
_CLI = "from platform_ctl.cli.app import main; main()"
FIT_HERE = '''

def fit(rows_path, params, out_dir, *, num_workers=2, epochs=None, seed=0):
    """As fit_with_ray, in this process."""
    hp = replace(Hyperparameters.parse({**params, "epochs": epochs}), seed=seed)
    net, history = train_here(hp, rows_path)
    Path(out_dir).mkdir(parents=True, exist_ok=True)
    digest = model.save(net, out_dir)
    return {**history[-1], "model_digest": digest, "summary": "fitted here"}
'''


WITHOUT_RAY = """
import contextlib
from platform_ctl.targets import tuning
from platform_ctl.training.local.training import LocalTraining

LocalTraining.connect = lambda self: contextlib.nullcontext()
tuning.log_search = lambda *a, **k: ""
"""
"""Trials run in the step's own process, and MLflow hears nothing of them."""


class Checkout:
    """``edit`` it, and type commands in it; no command may fail but by answering no."""

    def __init__(self, root: Path) -> None:
        self.root, self.home = root / "project", root / "home"
        for name in ("recipes", "pipelines"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, self.root / name, ignore=ignored)
        shutil.copy(ROOT / "platform-ctl.toml", self.root)
        self._make_it_quick()

    def _make_it_quick(self) -> None:
        start, imports = "from __future__ import annotations\n", f"\n{WITHOUT_RAY}\n"
        self.edit("pipelines/steps/tune.py", start, start + imports)
        self.edit("recipes/train_deploy/train.py", "epochs: int = 10", "epochs: int = 1")
        self.edit("recipes/train_deploy/train.py", "def fit(", "def fit_with_ray(")
        with (self.root / "recipes/train_deploy/train.py").open("a") as file:
            file.write(FIT_HERE)

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.root / file
        text = path.read_text()
        assert old in text, file
        path.write_text(text.replace(old, new, 1))

    def python(self, code: str, *words: str, env: Mapping[str, str] | None = None) -> str:
        path = os.pathsep.join([str(self.root), os.environ.get("PYTHONPATH", "")]).rstrip(":")
        own = {"PLATFORM_HOME": str(self.home), "PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=self.root,
            env={**os.environ, **own, **(env or {})},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=300,
        )
        assert done.returncode in (0, 1), f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def call(self, *words: str, env: Mapping[str, str] | None = None) -> str:
        return self.python(_CLI, *words, env=env)

    def json(self, *words: str, env: Mapping[str, str] | None = None):
        return json.loads(self.call(*words, "-o", "json", env=env))

    def run(self) -> Run:
        self.json("pipeline", "run", "train-deploy", *SMALL)
        return self.newest()

    def newest(self) -> Run:
        """The newest run of train-deploy, with its tasks."""
        runs = self.json("run", "list", "--limit", "50")
        found = next(r["id"] for r in runs if r["pipeline"] == "train-deploy")
        return msgspec.convert(self.json("run", "show", found), Run)

    def impact(self) -> tuple[Impact, dict]:
        told = self.json("pipeline", "impact", "train-deploy", *SMALL)
        return msgspec.convert(told, Impact), told

    @contextlib.contextmanager
    def taken_back(self) -> Iterator[None]:
        """Whatever happens to code and records inside did not happen. No service may be up."""
        kept = self.root.parent / "kept"
        places = (self.root, self.home)
        for place in places:
            shutil.copytree(place, kept / place.name, symlinks=True)
        try:
            yield
        finally:
            for place in places:
                shutil.rmtree(place)
                shutil.move(kept / place.name, place)
            shutil.rmtree(kept)
