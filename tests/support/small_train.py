"""train-deploy in miniature, in a project of its own: the same roles, steps of milliseconds.

look (uncached, looks outside) -> extract -> search -> fit -> judge -> if successful: publish.
``outside.json`` of the home is the world: it names the newest snapshot.
"""

import json
import shutil
from pathlib import Path

PACKAGE = "small_recipes"
COMPILED = "small_pipelines/compiled/small-train.yaml"
SOURCE = "small_pipelines/small_train_pipeline.py"
SETTINGS = """
recipes_package = "small_recipes"
pipelines_package = "small_pipelines"
"""
PIPELINE_SOURCE = """
from typing import NamedTuple

from kfp import dsl

component = dsl.component(base_image="small:1", install_kfp_package=False)


@component
def look() -> NamedTuple("Looked", [("snapshot_id", str), ("champion", str)]):
    from small_recipes.shop import data

    return data.look()


@component
def extract(snapshot_id: str, rows: dsl.Output[dsl.Dataset]) -> int:
    from small_recipes.shop import features

    return features.extract(snapshot_id, rows.path)


@component
def search(rows: dsl.Input[dsl.Dataset], trials: int) -> NamedTuple("Found", [("rate", float)]):
    from small_recipes.shop import search

    return (search.best(rows.path, trials),)


@component
def fit(rows: dsl.Input[dsl.Dataset], rate: float, model: dsl.Output[dsl.Model]):
    from small_recipes.shop import fitting

    fitting.fit(rows.path, rate, model.path)


@component
def judge(model: dsl.Input[dsl.Model], champion: str) -> NamedTuple("Judged", [("verdict", str)]):
    from small_recipes.shop import gate

    return (gate.verdict(model.path, champion),)


@component
def publish(model: dsl.Input[dsl.Model]) -> str:
    return "published"


@component
def announce(said: str) -> str:
    return said


@dsl.pipeline(name="small-train")
def small_train(trials: int = 2):
    seen = look().set_caching_options(False)
    rows = extract(snapshot_id=seen.outputs["snapshot_id"]).outputs["rows"]
    found = search(rows=rows, trials=trials)
    model = fit(rows=rows, rate=found.outputs["rate"]).outputs["model"]
    judged = judge(model=model, champion=seen.outputs["champion"])
    with dsl.If(judged.outputs["verdict"] == "successful", name="passed"):
        published = publish(model=model).set_caching_options(False)
        announce(said=published.output)
"""
MODULES = {
    "__init__.py": "",
    "recipe.py": """
from platform_ctl.recipe.recipe import Budget, CanaryPlan, GateThresholds, Loss, Recipe

RECIPE = Recipe(
    package=__package__, title="Shop", model_name="shop", loss=Loss("error"), features=(),
    budget=Budget(), gate=GateThresholds(1, 0, 0), canary=CanaryPlan(),
    pipeline="small-train",
)
""",
    "data.py": """
import json
import os
from pathlib import Path

from platform_ctl.recipe.datasets import Resolved
from platform_ctl.errors import MissingTable


def outside(home):
    file = Path(home) / "outside.json"
    if not file.is_file():
        raise MissingTable("there is no table shop.sales yet", where="shop.sales", fix="ingest")
    return json.loads(file.read_text())


def look():
    found = outside(os.environ["PLATFORM_HOME"])
    return found["snapshot_id"], ""


def resolve(access):
    return Resolved(outside(access.golden_dir.parent)["snapshot_id"], "", "")


foresee = resolve


def golden_show(access):
    return outside(access.golden_dir.parent)
""",
    "features.py": '''
from small_recipes.shop import definitions


def extract(snapshot_id, path):
    """One line a feature."""
    lines = [f"{name} {size * int(snapshot_id)}" for name, size in definitions.FEATURES]
    with open(path, "w") as out:
        out.write("\\n".join(lines))
    return len(lines)


def describe():
    return "never called"
''',
    "definitions.py": """
FEATURES = (
    ("sales", 1),
    # the week before
    ("visits", 2),
)
""",
    "search.py": """
import json
from pathlib import Path

from small_recipes.shop import definitions

SPACE_FILE = "space.json"


def best(rows, trials):
    space = json.loads(Path(__file__).with_name(SPACE_FILE).read_text())
    names = [name for name, _ in definitions.FEATURES]
    return min(space["rates"][:trials]) + 0 * len(names)
""",
    "space.json": '{"rates": [0.5, 0.25, 0.125]}',
    "fitting.py": """
from pathlib import Path

import shopmath


def fit(rows, rate, model):
    total = sum(int(line.split()[1]) for line in Path(rows).read_text().splitlines())
    Path(model).write_text(str(shopmath.scale(total, rate)))
""",
    "gate.py": """
from pathlib import Path

from small_recipes.shop.limits import CEILING


def verdict(model, champion):
    score = float(Path(model).read_text())
    return "successful" if score <= CEILING else "failed"
""",
    "limits.py": """
CEILING = 1000.0
BUDGET = 10
""",
}


def install_shopmath(site: Path, version: str, body: str = "return total * rate") -> None:
    """Install a distribution of one module as an installer does: its files, and its dist-info in
    the place of the one before."""
    site.mkdir(exist_ok=True)
    for old in site.glob("shopmath-*.dist-info"):
        shutil.rmtree(old)
    info = site / f"shopmath-{version}.dist-info"
    info.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: shopmath\nVersion: {version}\n"
    (info / "METADATA").write_text(metadata)
    (site / "shopmath.py").write_text(f"def scale(total, rate):\n    {body}\n")


def write_project(root: Path) -> None:
    """The project, not yet compiled, and a home with something outside to look at."""
    package = root / PACKAGE / "shop"
    package.mkdir(parents=True)
    (root / PACKAGE / "__init__.py").touch()
    (root / "platform-ctl.toml").write_text(SETTINGS)
    for name, text in MODULES.items():
        (package / name).write_text(text)
    source = root / SOURCE
    source.parent.mkdir()
    (source.parent / "__init__.py").touch()
    source.write_text(PIPELINE_SOURCE)
    look_at(root / "home", snapshot_id="7")


def look_at(home: Path, **outside: str) -> None:
    """Change the world outside the runs."""
    home.mkdir(exist_ok=True)
    file = home / "outside.json"
    now = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps({**now, **outside}))
