"""A compiled six-step pipeline over a small first-party package, in a project of its own.

begin -> clean -> features -> fit -> score -> publish; score reads clean's rows too.
"""

from pathlib import Path

from kfp import compiler, dsl

_component = dsl.component(base_image="python:3.11", install_kfp_package=False)

MODULES = {
    "__init__.py": "",
    "load.py": """
def write(path, n):
    with open(path, "w") as out:
        out.write("\\n".join(map(str, range(n))))
    return n
""",
    "cleaning.py": '''
from pathlib import Path

from recipes.shop import shared


def copy(source, target):
    """Keep the numbers."""
    Path(target).write_text("\\n".join(shared.lines(source)))


def double(source, target):
    # twice each
    Path(target).write_text("\\n".join(str(2 * int(x)) for x in shared.lines(source)))
''',
    "shared.py": """
def lines(path):
    with open(path) as file:
        return file.read().split()
""",
    "fitting.py": """
from pathlib import Path


def fit(rows, rate, model):
    Path(model).mkdir()
    total = sum(int(x) for x in Path(rows).read_text().split())
    (Path(model) / "weights.txt").write_text(str(total * rate))


def score(model, rows):
    weights = float((Path(model) / "weights.txt").read_text())
    return weights / max(1, len(Path(rows).read_text().split()))
""",
}


@_component
def begin(n: int, out: dsl.Output[dsl.Dataset]) -> int:
    from recipes.shop import load

    return load.write(out.path, n)


@_component
def clean(rows: dsl.Input[dsl.Dataset], out: dsl.Output[dsl.Dataset]):
    from recipes.shop import cleaning

    cleaning.copy(rows.path, out.path)


@_component
def features(rows: dsl.Input[dsl.Dataset], out: dsl.Output[dsl.Dataset]):
    from recipes.shop import cleaning

    cleaning.double(rows.path, out.path)


@_component
def fit(rows: dsl.Input[dsl.Dataset], rate: float, model: dsl.Output[dsl.Model]):
    from recipes.shop import fitting

    fitting.fit(rows.path, rate, model.path)


@_component
def score(model: dsl.Input[dsl.Model], rows: dsl.Input[dsl.Dataset]) -> float:
    from recipes.shop import fitting

    return fitting.score(model.path, rows.path)


@_component
def publish(value: float) -> str:
    return f"score {value}"


@dsl.pipeline(name="six-steps")
def six_steps(n: int = 3, rate: float = 0.5):
    begun = begin(n=n)
    cleaned = clean(rows=begun.outputs["out"])
    made = features(rows=cleaned.outputs["out"])
    fitted = fit(rows=made.outputs["out"], rate=rate)
    scored = score(model=fitted.outputs["model"], rows=cleaned.outputs["out"])
    publish(value=scored.output).set_caching_options(False)


def write_project(root: Path) -> Path:
    """A project with the package and the compiled pipeline; the pipeline's path."""
    package = root / "recipes" / "shop"
    package.mkdir(parents=True)
    (root / "recipes" / "__init__.py").touch()
    (root / "platform-ctl.toml").touch()
    for name, text in MODULES.items():
        (package / name).write_text(text)
    compiled = root / "six_steps.yaml"
    compiler.Compiler().compile(six_steps, str(compiled))
    return compiled
