# ruff: noqa: UP006, UP035, UP045, SIM115, SIM117, B006  (annotations that kfp can read)
"""Pipelines for faults that users of KFP have reported; ``python -m`` this with a folder."""

import functools
import sys
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

from kfp import compiler, dsl

component = functools.partial(dsl.component, install_kfp_package=False)
pipelines = []


def pipeline(name: str):
    def keep(function):
        pipelines.append(dsl.pipeline(name=name)(function))
        return pipelines[-1]

    return keep


@component
def shelf(place: str = "", data: Optional[dsl.Input[dsl.Dataset]] = None) -> str:
    return f"{place}|{data}"


@component
def kept(a: Optional[str] = "own", n: Optional[int] = 7, d: Optional[dict] = None) -> list:
    return [a, n, d]


@component
def empties(b: bool, t: str, i: int, f: float, v: list, d: dict) -> list:
    return [b, t, i, f, v, d]


@component
def echo(text: str) -> str:
    return text


@component
def whole(n: int) -> int:
    return n


@component
def real(x: float) -> str:
    return f"{type(x).__name__} {x!r}"


@component
def joined(parts: List[str]) -> str:
    return ";".join(parts)


@component
def number(kind: str) -> float:
    return {"large": 1e300, "tiny": 5e-324, "negative": -0.0, "nan": float("nan")}[kind]


@component
def take(value: dict) -> dict:
    return value


@component
def breaks_at(n: int) -> int:
    if n == 2:
        raise RuntimeError("part two broke")
    return n


@component
def last(path: str, status: dsl.PipelineTaskFinalStatus):
    with open(path, "a") as file:
        file.write(f"{status.state}\n")


@component
def write(folder: str, n: int) -> str:
    place = f"{folder}/räw {n}%20.csv"
    with open(place, "w") as file:
        file.write(str(n))
    return place


@component
def facts(data: dsl.Input[dsl.Dataset]) -> str:
    return open(data.path).read() + repr(sorted(data.metadata.items()))


@component
def described(n: int, model: dsl.Output[dsl.Model]):
    model.metadata["n"] = n  # and no file is written


@component
def sum_of(models: dsl.Input[List[dsl.Model]]) -> int:
    return sum(model.metadata["n"] for model in models)


@component
def nothing() -> list:
    return []


@component
def ones() -> list:
    return [1]


@component
def doubled(n: int, model: dsl.Output[dsl.Model]) -> int:
    open(model.path, "w").write(str(n))
    return 2 * n


@component
def described_part(text: str, counts: dict) -> str:
    return f"{text} {counts}"


@component
def counted(models: dsl.Input[List[dsl.Model]], numbers: List[int]) -> str:
    return f"{models} {numbers}"


@component
def leaves() -> str:
    import sys

    sys.exit(0)


@component
def returns_none() -> str:
    return None


@component
def leaves_at_once(model: dsl.Output[dsl.Model]):
    import os

    os._exit(0)


@component
def half() -> NamedTuple("Pair", [("a", str), ("b", int)]):
    return ("x", None)


@component
def curve(metrics: dsl.Output[dsl.ClassificationMetrics]):
    metrics.log_roc_curve([0.0, 1.0], [0.0, 1.0], [float("inf"), 0.5])


@component
def fits(prior: Optional[dsl.Input[dsl.Model]] = None) -> str:
    return "fitted" if prior is None else "continued"


@component
def third_time(path: str) -> int:
    with open(path, "a") as file:
        file.write(".")
    tries = len(open(path).read())
    if tries < 3:
        raise RuntimeError(f"try {tries}")
    return tries


@component
def letters(token: str) -> int:
    import os

    from platform_ctl.home.secrets import read_secret

    return len(read_secret(token, os.environ))


@pipeline("reads-a-secret")
def reads_a_secret(token: str) -> int:
    return letters(token=token).output


@pipeline("artifact-left-out")
def artifact_left_out() -> str:
    return shelf(place="shelf-7").output


@pipeline("defaults-of-none")
def defaults_of_none(
    a: Optional[str] = None, n: Optional[int] = None, d: Optional[dict] = None
) -> list:
    return kept(a=a, n=n, d=d).output


@pipeline("empty-defaults")
def empty_defaults(
    b: bool = False,
    t: str = "",
    i: int = 0,
    f: float = 0.0,
    v: list = [],
    d: dict = {},
) -> list:
    return empties(b=b, t=t, i=i, f=f, v=v, d=d).output


@pipeline("text-between-tasks")
def text_between_tasks(text: str) -> str:
    return echo(text=echo(text=text).output).output


@pipeline("item-without-a-key")
def item_without_a_key():
    with dsl.ParallelFor([{"kids": [{"head": "a", "tail": "b"}, {"head": "c"}]}]) as item:
        with dsl.ParallelFor(item.kids) as kid:
            echo(text=kid.tail)


@pipeline("numbers-of-a-loop")
def numbers_of_a_loop() -> str:
    with dsl.ParallelFor([1472953, 2**53 + 1]) as n:
        same = whole(n=n)
        text = echo(text=f"{same.output}")
    with dsl.ParallelFor([1e22, 0.5, 3.0]) as x:
        shown = real(x=x)
    exact = joined(parts=dsl.Collected(text.output))
    return echo(text=f"{exact.output} {joined(parts=dsl.Collected(shown.output)).output}").output


@pipeline("number-of-a-step")
def number_of_a_step(kind: str) -> float:
    return number(kind=kind).output


@pipeline("number-for-a-dict")
def number_for_a_dict():
    with dsl.ParallelFor(ones().output) as n:
        take(value=n)


@pipeline("loop-under-exit-handler")
def loop_under_exit_handler(path: str):
    with dsl.ExitHandler(last(path=path)):
        with dsl.ParallelFor([1, 2, 3]) as n:
            breaks_at(n=n)


@dsl.pipeline(name="inner")
def inner(path: str):
    with dsl.ExitHandler(last(path=path)):
        breaks_at(n=2)


@pipeline("nested-exit-handlers")
def nested_exit_handlers(path: str):
    with dsl.ExitHandler(last(path=path)):
        inner(path=path)


@pipeline("imports-of-a-loop")
def imports_of_a_loop(folder: str) -> str:
    with dsl.ParallelFor([1, 2]) as n:
        place = write(folder=folder, n=n).output
        imported = dsl.importer(
            artifact_uri=place,
            artifact_class=dsl.Dataset,
            reimport=False,
            metadata={"fixed": 3, "list": [1, 2], "half": 0.5},
        )
        text = facts(data=imported.output)
    return joined(parts=dsl.Collected(text.output)).output


@pipeline("models-without-files")
def models_without_files() -> int:
    with dsl.ParallelFor([3, 5, 8]) as n:
        model = described(n=n)
    return sum_of(models=dsl.Collected(model.outputs["model"])).output


@pipeline("loop-without-items")
def loop_without_items() -> str:
    with dsl.ParallelFor(nothing().output) as n:
        task = doubled(n=n)
    return counted(
        models=dsl.Collected(task.outputs["model"]), numbers=dsl.Collected(task.outputs["Output"])
    ).output


@pipeline("output-left-out")
def output_left_out():
    echo(text=leaves().output)


@pipeline("output-of-none")
def output_of_none():
    echo(text=returns_none().output)


@pipeline("half-a-pair")
def half_a_pair():
    half()


@pipeline("artifact-not-written")
def artifact_not_written():
    leaves_at_once()


@pipeline("curve-with-infinity")
def curve_with_infinity():
    curve()


@pipeline("cached-without-artifact")
def cached_without_artifact() -> str:
    return fits().output


@pipeline("whole-floats-compared")
def whole_floats_compared(x: float = 1.0) -> str:
    with dsl.If(x == 1.0):
        one = echo(text="one")
    with dsl.Else():
        other = echo(text="another")
    return dsl.OneOf(one.output, other.output)


@dsl.pipeline(name="part")
def part(n: int) -> NamedTuple("Part", [("text", str), ("counts", Dict[str, int])]):
    shown = echo(text=f"part {n}")
    counts = take(value={"n": n})
    return NamedTuple("Part", [("text", str), ("counts", Dict[str, int])])(
        text=shown.output, counts=counts.output
    )


@pipeline("outputs-of-a-part")
def outputs_of_a_part() -> str:
    done = part(n=3)
    return described_part(text=done.outputs["text"], counts=done.outputs["counts"]).output


@pipeline("works-the-third-time")
def works_the_third_time(path: str) -> int:
    return third_time(path=path).set_retry(3, backoff_duration="0s").output


def main(folder: Path) -> None:
    for one in pipelines:
        compiler.Compiler().compile(one, str(folder / f"{one.name}.yaml"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
