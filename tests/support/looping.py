"""A pipeline with a loop over a list that a step makes, and a choice between two branches."""

from pathlib import Path

from kfp import compiler, dsl

_component = dsl.component(base_image="python:3.11", install_kfp_package=False)


@_component
def count(n: int) -> list:
    return list(range(n))


@_component
def square(x: int) -> int:
    return x * x


@_component
def total(numbers: list) -> int:
    return sum(numbers)


@_component
def size(x: int) -> str:
    return "large" if x > 4 else "small"


@_component
def word(text: str) -> str:
    return text


@_component
def say(text: str) -> str:
    return text


@dsl.pipeline(name="looping")
def looping(n: int = 3) -> str:
    counted = count(n=n)
    with dsl.ParallelFor(counted.output) as x:
        squared = square(x=x)
    added = total(numbers=dsl.Collected(squared.output))
    sized = size(x=added.output)
    with dsl.If(sized.output == "large"):
        large = word(text="large")
    with dsl.Else():
        small = word(text="small")
    return say(text=dsl.OneOf(large.output, small.output)).output


def write_project(root: Path) -> Path:
    """The compiled pipeline in a project of its own."""
    (root / "platform-ctl.toml").touch()
    compiled = root / "looping.yaml"
    compiler.Compiler().compile(looping, str(compiled))
    return compiled
