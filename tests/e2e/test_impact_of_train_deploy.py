"""``pipeline impact train-deploy`` against the run that follows: the real recipe and its steps.

One home, one story: each edit stays, and the next one comes on top. The scratch
checkout trains in the step's process for one epoch and logs no search in MLflow:
without Ray and that a run takes a third. The whole corpus of edits is in
tests/unit/adapters/local/test_impact.py.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from platform_ctl.domain.impact import Fate, Impact
from platform_ctl.domain.runs import Run
from tests.support.predictions import assert_came_true

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
SMALL = ("-p", "max_trials=1", "-p", "epochs=1")
RUN, HIT, DEPENDS = Fate.RUN, Fate.HIT, Fate.DEPENDS
STEPS = ("resolve", "extract", "tune", "train", "evaluate", "gate")
INSIDE = ("condition-1.register", "condition-1.request-approval")
FIT_HERE = '''

def fit(rows_path, params, out_dir, *, num_workers=2, epochs=None, seed=0):
    """As fit_with_ray, in this process."""
    hp = replace(Hyperparameters.parse({**params, "epochs": epochs}), seed=seed)
    net, history = train_here(hp, rows_path)
    Path(out_dir).mkdir(parents=True, exist_ok=True)
    return {**history[-1], "model_digest": model.save(net, out_dir)}
'''


class Checkout:
    """A copy of recipes and pipelines, and a home of its own."""

    def __init__(self, root: Path) -> None:
        self.root, self.home = root / "project", root / "home"
        for name in ("recipes", "pipelines"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, self.root / name, ignore=ignored)
        (self.root / "platform-ctl.toml").touch()
        self._make_it_quick()

    def _make_it_quick(self) -> None:
        start, imports = "from __future__ import annotations\n", "\nimport contextlib\n"
        for step, settings in (("tune", "settings"), ("train", "targets.current_settings()")):
            file = f"pipelines/steps/{step}.py"
            self.edit(file, f"targets.training({settings}).connect()", "contextlib.nullcontext()")
            self.edit(file, start, start + imports)
        self.edit("pipelines/steps/tune.py", "    targets.log_search(", "    (lambda *a: None)(")
        self.edit("recipes/train_deploy/train.py", "epochs: int = 10", "epochs: int = 1")
        self.edit("recipes/train_deploy/train.py", "def fit(", "def fit_with_ray(")
        with (self.root / "recipes/train_deploy/train.py").open("a") as file:
            file.write(FIT_HERE)

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.root / file
        text = path.read_text()
        assert old in text, file
        path.write_text(text.replace(old, new, 1))

    def python(self, code: str, *words: str) -> str:
        path = os.pathsep.join([str(self.root), os.environ.get("PYTHONPATH", "")]).rstrip(":")
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=self.root,
            env={**os.environ, "PLATFORM_HOME": str(self.home), "PYTHONPATH": path},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=300,
        )
        assert done.returncode in (0, 1), f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, *words: str):
        start = "from platform_ctl.cli.app import main; main()"
        return json.loads(self.python(start, *words, "-o", "json"))

    def run(self) -> Run:
        self.json("pipeline", "run", "train-deploy", *SMALL)
        return self.newest()

    def newest(self) -> Run:
        return msgspec.convert(self.json("run", "show", "latest"), Run)

    def impact(self) -> tuple[Impact, dict]:
        told = self.json("pipeline", "impact", "train-deploy", *SMALL)
        return msgspec.convert(told, Impact), told


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Trained once, and the model is in Staging."""
    made = Checkout(tmp_path_factory.mktemp("impact"))
    made.json("data", "ingest", "--sample")
    assert {v.verdict for v in made.run().verdicts} == {"successful"}
    return made


def comment_docstring_and_unrelated_function(checkout: Checkout) -> None:
    checkout.edit("recipes/train_deploy/features/definitions.py", "FEATURES:", "# all\nFEATURES:")
    checkout.edit("recipes/train_deploy/evaluate.py", '"""', '"""Well: ')
    with (checkout.root / "recipes/train_deploy/evaluate.py").open("a") as file:
        file.write("\n\ndef nobody_calls_this():\n    return 1\n")


def gate_threshold(checkout: Checkout) -> None:
    checkout.edit("recipes/train_deploy/recipe.py", "max_mase=1.5", "max_mase=1.4")


def champion(checkout: Checkout) -> None:
    checkout.python(
        "from platform_ctl import targets;"
        " registry = targets.registry(targets.current_settings());"
        " registry.move_aliases('weekly-commits', {'production': '1', 'staging': ''},"
        " actor='test', reason='a champion')"
    )


def search_space(checkout: Checkout) -> None:
    checkout.edit("recipes/train_deploy/experiment.yaml", 'min: "0.0003"', 'min: "0.003"')


def feature_added(checkout: Checkout) -> None:
    checkout.edit(
        "recipes/train_deploy/features/definitions.py",
        'Feature("files_4w"',
        'Feature("files_8w", total("files", 8), "files touched in the last 8 weeks"),\n'
        '    Feature("files_4w"',
    )


def new_commits(checkout: Checkout) -> None:
    clone = checkout.root.parent / "clone"
    git = ["git", "-C", str(clone), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "init", "-q", str(clone)], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    checkout.json("data", "ingest", "--git", str(clone))


SLOW = pytest.mark.learning
"""Train again, 20 s each; the corpus on the small pipeline has these edits too."""
EDITS = [
    pytest.param(comment_docstring_and_unrelated_function, {}),
    pytest.param(gate_threshold, {"gate": RUN}),
    pytest.param(champion, {"evaluate": RUN, "gate": DEPENDS}),
    pytest.param(search_space, {"tune": RUN} | dict.fromkeys(STEPS[3:], DEPENDS), marks=SLOW),
    pytest.param(
        feature_added,
        dict.fromkeys(STEPS[1:4], RUN) | dict.fromkeys(STEPS[4:], DEPENDS),
        marks=SLOW,
    ),
    pytest.param(new_commits, {"extract": RUN} | dict.fromkeys(STEPS[2:], DEPENDS), marks=SLOW),
]


@pytest.mark.parametrize(("edit", "told"), EDITS, ids=lambda v: getattr(v, "__name__", ""))
def test_predicted_is_what_happens(checkout: Checkout, edit, told: dict[str, Fate]) -> None:
    edit(checkout)
    before = checkout.newest()
    expected, document = checkout.impact()
    assert expected.against == before.id
    assert_came_true(expected, before, checkout.run())
    inside = DEPENDS if "gate" in told else RUN
    wanted = dict.fromkeys(STEPS, HIT) | dict.fromkeys(INSIDE, inside) | {"resolve": RUN} | told
    assert {s.task: s.fate for s in expected.steps} == wanted
    assert {"at_least", "at_most", "saved"} <= document.keys()
    assert document["at_least"]["cpu_s"] <= document["at_most"]["cpu_s"]
