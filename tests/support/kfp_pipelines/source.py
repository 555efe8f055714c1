# ruff: noqa: UP006, UP035, UP045, SIM115  (annotations that kfp can read)
"""Small pipelines, one for each thing the IR can say. Needs kfp; compile with ``build``."""

import functools
from typing import Any, Dict, List, NamedTuple, Optional

from kfp import dsl

component = functools.partial(dsl.component, install_kfp_package=False)


@component
def add(a: int, b: int = 2) -> int:
    return a + b


@component
def say(text: str) -> str:
    return text


@component
def fail(text: str = "boom") -> str:
    raise ValueError(text)


@component
def make(n: int, out: dsl.Output[dsl.Dataset]):
    out.metadata["n"] = n
    with open(out.path, "w") as file:
        file.write("x" * n)


@component
def size(data: dsl.Input[dsl.Dataset]) -> int:
    with open(data.path) as file:
        return len(file.read()) + int(data.metadata["n"])


@component
def sizes(data: dsl.Input[List[dsl.Dataset]]) -> List[int]:
    return [len(open(d.path).read()) for d in data]


@component
def total(numbers: List[int]) -> int:
    return int(sum(numbers))


@component
def flat_total(numbers: List[List[int]]) -> int:
    return int(sum(sum(inner) for inner in numbers))


@component
def numbers(n: int) -> List[int]:
    return list(range(n))


@component
def types(i: int, f: float, s: str, b: bool, d: dict, v: list) -> str:
    import json

    return json.dumps([i, f, s, b, d, v], sort_keys=True)


@component
def optional(x: Optional[str] = None, y: str = "default") -> str:
    return f"{x}-{y}"


@component
def judge(good: bool) -> NamedTuple("J", [("verdict", str), ("reasons", list), ("summary", str)]):
    return ("successful" if good else "failed", ["because"], "judged")


@component
def state_to(path: str, status: dsl.PipelineTaskFinalStatus):
    with open(path, "a") as file:
        file.write(f"{status.state}|{status.pipeline_task_name}|{status.error_message}\n")


@component
def marker(path: str, text: str):
    with open(path, "a") as file:
        file.write(text + "\n")


@component
def flaky(path: str, times: int) -> int:
    """Fails until it was called ``times`` times before."""
    with open(path, "a") as file:
        file.write(".")
    with open(path) as file:
        tries = len(file.read())
    if tries <= times:
        raise RuntimeError(f"try {tries}")
    return tries


@component
def environment(name: str) -> str:
    import os

    return os.environ.get(name, "")


@component
def through_path(path: dsl.OutputPath(int), text: dsl.OutputPath(str)):
    open(path, "w").write("41")
    open(text, "w").write("as it is\n")


@component
def nap(seconds: float) -> float:
    import time

    time.sleep(seconds)
    return seconds


# ---- what kfp.local runs correctly ------------------------------------------


@dsl.pipeline
def plain(x: int = 1) -> int:
    first = add(a=x)
    return add(a=first.output, b=10).output


@dsl.pipeline
def artifacts(n: int = 7) -> int:
    return size(data=make(n=n).outputs["out"]).output


@dsl.pipeline
def typed() -> str:
    return types(i=3, f=2.5, s="it's", b=True, d={"a": "b"}, v=["x"]).output


@dsl.pipeline
def inner(x: int) -> int:
    return add(a=x, b=100).output


@dsl.pipeline
def nested(x: int = 5) -> int:
    return add(a=inner(x=x).output).output


@dsl.pipeline
def branches(x: int = 5) -> str:
    seen = add(a=x, b=0)
    with dsl.If(seen.output > 10):
        one = say(text="large")
    with dsl.Elif(seen.output > 3):
        two = say(text="middle")
    with dsl.Else():
        three = say(text="small")
    return dsl.OneOf(one.output, two.output, three.output)


@dsl.pipeline
def loop_static() -> List[int]:
    with dsl.ParallelFor([1, 2, 3], parallelism=2) as item:
        each = add(a=item, b=1)
    return dsl.Collected(each.output)


@dsl.pipeline
def loop_dynamic(n: int = 4) -> int:
    with dsl.ParallelFor(numbers(n=n).output) as item:
        each = add(a=item, b=1)
    return total(numbers=dsl.Collected(each.output)).output


@dsl.pipeline
def loop_nested() -> int:
    with dsl.ParallelFor([1, 2]) as x, dsl.ParallelFor([10, 20]) as y:
        each = add(a=x, b=y)
    return flat_total(numbers=dsl.Collected(each.output)).output


@dsl.pipeline
def loop_dicts() -> List[str]:
    with dsl.ParallelFor([{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]) as item:
        each = say(text=item.b)
    return dsl.Collected(each.output)


@dsl.pipeline
def loop_artifacts() -> List[int]:
    with dsl.ParallelFor([1, 2, 3]) as item:
        each = make(n=item)
    return sizes(data=dsl.Collected(each.outputs["out"])).output


@dsl.pipeline
def optional_inputs() -> str:
    return optional().output


@dsl.pipeline
def output_paths() -> int:
    return add(a=through_path().outputs["path"], b=1).output


@dsl.pipeline
def variables() -> str:
    return environment(name="COLOUR").set_env_variable("COLOUR", "teal").output


# ---- where kfp.local is wrong, or cannot ------------------------------------


@dsl.pipeline
def quoted(text: str = "it's") -> str:
    with dsl.If(text == "its"):
        one = say(text="equal")
    with dsl.Else():
        two = say(text="different")
    return dsl.OneOf(one.output, two.output)


@dsl.pipeline
def injected(text: str = "no' or 'a'=='a") -> str:
    with dsl.If(text == "approved"):
        one = say(text="deployed")
    with dsl.Else():
        two = say(text="refused")
    return dsl.OneOf(one.output, two.output)


@dsl.pipeline
def oneof_artifact(x: int = 1) -> int:
    with dsl.If(x == 1):
        one = make(n=3)
    with dsl.Else():
        two = make(n=5)
    return size(data=dsl.OneOf(one.outputs["out"], two.outputs["out"])).output


@dsl.pipeline
def none_default(x: Optional[str] = None) -> str:
    return optional(x=x).output


@dsl.pipeline
def exact_ints(d: Dict[str, Any] = {"a": 1}) -> str:  # noqa: B006
    return types(i=1, f=1.5, s="s", b=False, d=d, v=[1, 2]).output


# ---- ours only: failures, verdicts, effects ---------------------------------


@dsl.pipeline
def exit_handler(path: str, break_it: bool = True):
    last = state_to(path=path)
    with dsl.ExitHandler(exit_task=last, name="guarded"):
        with dsl.If(break_it == True):  # noqa: E712  (a condition of the pipeline)
            fail()
        say(text="beside")


@dsl.pipeline
def ignoring(path: str):
    marker(path=path, text="after").after(fail()).ignore_upstream_failure()


@dsl.pipeline
def retried(path: str, times: int = 2) -> int:
    return flaky(path=path, times=times).set_retry(5, "0s", 1.0).set_caching_options(False).output


@dsl.pipeline
def verdicts(good: bool = True):
    with dsl.If(judge(good=good).outputs["verdict"] == "successful"):
        say(text="passed")


@dsl.pipeline
def four_naps(seconds: float = 1.0):
    for _ in range(4):
        nap(seconds=seconds).set_caching_options(False)


@component
def counted(path: str) -> int:
    import os
    import time

    with open(path, "a") as file:
        file.write("x")
    while not os.path.exists(f"{path}.go"):
        time.sleep(0.02)
    return 1


@dsl.pipeline
def held(path: str) -> int:
    return counted(path=path).output


@dsl.pipeline
def big(text: str) -> str:
    return say(text=text).output


@component
def slow_add(a: int, seconds: float) -> int:
    import time

    time.sleep(seconds)
    return a + 1


@dsl.pipeline
def slow_loop(seconds: float = 0.25) -> int:
    with dsl.ParallelFor([0, 1, 2, 3, 4], parallelism=2) as item:
        each = slow_add(a=item, seconds=seconds)
    return total(numbers=dsl.Collected(each.output)).output


@component
def misbehave(how: str, value: dsl.OutputPath(float)) -> NamedTuple("M", [("text", str)]):
    import os
    import resource
    import signal
    import subprocess
    import sys
    import time

    text = "fine"
    if how == "signal":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif how == "exit":
        os._exit(3)
    elif how == "surrogate":
        text = "\ud800"
    elif how == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    elif how == "daemon":
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    elif how == "noise":
        for _ in range(60):
            sys.stdout.buffer.write(bytes(range(256)) * 4096)
    elif how == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with open(value + ".much", "wb") as file:
            file.write(bytes(10_000))
    if how != "unwritten":
        with open(value, "w") as file:
            file.write("NaN" if how == "nan" else "1.5")
    return (text,)


@component
def use(value: float, text: str) -> str:
    return f"{value} {text}"


@dsl.pipeline
def hostile(how: str = "nothing") -> str:
    bad = misbehave(how=how).set_caching_options(False)
    return use(value=bad.outputs["value"], text=bad.outputs["text"]).output


@dsl.pipeline
def unquotable(text: str = "it's"):
    with dsl.If(text == "it's"):
        say(text="the compiler does not escape the quote")


CONFORMING = (
    plain, artifacts, typed, nested, branches, loop_static, loop_dynamic, loop_nested,
    loop_dicts, loop_artifacts, optional_inputs, output_paths, variables,
)  # fmt: skip
BETTER = (quoted, injected, oneof_artifact, none_default, exact_ints)
OURS = (
    exit_handler, retried, ignoring, verdicts, four_naps, held, big, unquotable, slow_loop, hostile,
)  # fmt: skip
