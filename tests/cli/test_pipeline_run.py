"""platform-ctl pipeline and run, as typed by a user."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.support import ir

ROOT = Path(__file__).parents[2]
SOURCE = """
Said = NamedTuple(
    "Said", [("verdict", str), ("reasons", list), ("summary", str), ("next_command", str)]
)

def judge(x: int, text: str) -> Said:
    import time

    print("looking at", x, text)
    if x < 0:
        raise ValueError("x is negative")
    time.sleep(x / 1000)
    verdict = "successful" if x else "failed"
    return verdict, ["x is %s" % x], "x was %s" % x, "platform-ctl run show"
"""


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    """A pipeline of one step, whose verdict is successful unless x is 0."""
    document = ir.document()
    header = "import kfp\nfrom kfp import dsl\nfrom kfp.dsl import *\nfrom typing import *\n"
    container = ir.container()
    container["command"][-1] = header + SOURCE
    container["args"][-1] = "judge"
    kinds = {"verdict": "STRING", "reasons": "LIST", "summary": "STRING", "next_command": "STRING"}
    document["deploymentSpec"]["executors"]["exec-add"]["container"] = container
    document["components"]["comp-add"] = {
        "executorLabel": "exec-add",
        "inputDefinitions": {
            "parameters": {
                "x": {"parameterType": "NUMBER_INTEGER"},
                "text": {"parameterType": "STRING"},
            }
        },
        "outputDefinitions": {"parameters": {n: {"parameterType": k} for n, k in kinds.items()}},
    }
    document["root"] = {
        "inputDefinitions": {
            "parameters": {
                "x": {"parameterType": "NUMBER_INTEGER"},
                "text": {"parameterType": "STRING", "defaultValue": "hello"},
            }
        },
        "dag": {
            "tasks": {
                "judge": {
                    "componentRef": {"name": "comp-add"},
                    "cachingOptions": {"enableCache": True},
                    "inputs": {
                        "parameters": {
                            "x": {"componentInputParameter": "x"},
                            "text": {"componentInputParameter": "text"},
                        }
                    },
                }
            }
        },
    }
    path = tmp_path / "judged.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def platform_ctl(tmp_path: Path, *words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from platform_ctl.cli.app import main; main()", *words],
        cwd=cwd,
        env={**os.environ, "PLATFORM_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_run_from_start_to_prune(judged: Path, tmp_path: Path) -> None:
    done = platform_ctl(tmp_path, "pipeline", "run", str(judged), "-p", "x=5")
    assert done.returncode == 0, done.stderr
    assert "SUCCEEDED: 1 executed, 0 cached" in done.stdout
    assert "x was 5" in done.stdout
    assert done.stdout.strip().endswith("next: platform-ctl run show")
    assert "SUCCEEDED judge" in done.stderr

    again = platform_ctl(tmp_path, "pipeline", "run", str(judged), "-p", "x=5", "-o", "json")
    record = json.loads(again.stdout)
    assert [task["state"] for task in record["tasks"]] == ["CACHED"]

    listed = json.loads(platform_ctl(tmp_path, "run", "list", "-o", "json").stdout)
    assert listed[0]["id"] == record["id"]
    shown = platform_ctl(tmp_path, "run", "show", listed[1]["id"][:6])
    assert "judge: successful\n           x is 5" in shown.stdout
    logs = platform_ctl(tmp_path, "run", "logs", listed[1]["id"][:6], "judge")
    assert logs.stdout == "looking at 5 hello\n"
    pruned = platform_ctl(tmp_path, "run", "prune", "--older-than", "0s", "--keep", "1")
    assert "deleted 1 runs" in pruned.stdout
    assert len(list((tmp_path / "home" / "runs").iterdir())) == 1


def test_on_a_terminal_tasks_are_lines_that_change(judged: Path, tmp_path: Path) -> None:
    terminal, side = pty.openpty()
    words = ["pipeline", "run", str(judged), "-p", "x=200"]
    process = subprocess.Popen(
        [sys.executable, "-c", "from platform_ctl.cli.app import main; main()", *words],
        cwd=ROOT,
        env={**os.environ, "PLATFORM_HOME": str(tmp_path / "home"), "TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=side,
    )
    os.close(side)
    seen = b""
    with contextlib.suppress(OSError):
        while data := os.read(terminal, 4096):
            seen += data
    os.close(terminal)
    assert b"SUCCEEDED: 1 executed" in process.communicate(timeout=20)[0]
    assert process.returncode == 0
    for state in (b"RUNNING", b"SUCCEEDED"):
        assert state in seen


def test_a_failed_verdict_is_exit_code_1(judged: Path, tmp_path: Path) -> None:
    done = platform_ctl(tmp_path, "pipeline", "run", str(judged), "-p", "x=0")
    assert done.returncode == 1, done.stderr
    assert "failed: x is 0" in done.stdout


def test_a_failed_step_is_exit_code_5_and_four_lines(judged: Path, tmp_path: Path) -> None:
    done = platform_ctl(tmp_path, "pipeline", "run", str(judged), "-p", "x=-1")
    assert done.returncode == 5
    error, where, fix, see = done.stderr.strip().splitlines()[-4:]
    assert "judge: ValueError: x is negative (err-step-failed)" in error
    assert where.startswith("where:")
    assert see.startswith("see:")
    logs = platform_ctl(tmp_path, *fix.removeprefix("fix:").split()[1:])
    assert "ValueError: x is negative" in logs.stdout
    resumed = platform_ctl(tmp_path, "run", "resume")
    assert resumed.returncode == 5


def test_wrong_parameters_are_exit_code_2_before_there_is_a_run(
    judged: Path, tmp_path: Path
) -> None:
    for words in (["-p", "x=five"], ["-p", "X=5"], [], ["-p", "x"], ["--params-file", "/none"]):
        done = platform_ctl(tmp_path, "pipeline", "run", str(judged), *words)
        assert done.returncode == 2, words
        assert "err-bad-parameter" in done.stderr
    assert platform_ctl(tmp_path, "run", "list", "-o", "json").stdout.strip() == "[]"


@pytest.mark.parametrize(
    "word",
    ["max_trials=0", "max_trials=-1", "max_trials=2.5", "epochs=0", "num_workers=3", "seed=-1"],
)
@pytest.mark.parametrize("verb", ["run", "impact"])
def test_values_that_a_recipe_does_not_allow_are_refused_at_once(
    tmp_path: Path, word: str, verb: str
) -> None:
    done = platform_ctl(tmp_path, "pipeline", verb, "train-deploy", "-p", "epochs=5", "-p", word)
    assert done.returncode == 2
    assert "(err-bad-parameter)" in done.stderr
    assert not list((tmp_path / "home/runs").glob("*"))
    name = word.partition("=")[0]
    fix = next(line for line in done.stderr.splitlines() if line.startswith("fix:"))
    assert fix.split()[1:5] == ["platform-ctl", "pipeline", "run", "train-deploy"]
    assert f"-p {name}=" in fix and word not in fix


def test_parameters_from_a_file(judged: Path, tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text("x: 1\ntext: from the file\n")
    words = ["--params-file", str(tmp_path / "values.yaml"), "-p", "x=2", "-o", "json"]
    record = json.loads(platform_ctl(tmp_path, "pipeline", "run", str(judged), *words).stdout)
    assert record["parameters"] == {"x": 2, "text": "from the file"}


def test_detached_then_logs_follow(judged: Path, tmp_path: Path) -> None:
    words = ["pipeline", "run", str(judged), "-p", "x=300", "--detach"]
    begun = time.monotonic()
    started = platform_ctl(tmp_path, *words)
    assert started.returncode == 0, started.stderr
    followed = platform_ctl(tmp_path, "run", "logs", "latest", "-f")
    assert followed.stdout == "[judge] looking at 300 hello\n"
    assert time.monotonic() - begun < 20
    assert platform_ctl(tmp_path, "run", "cancel").stdout.split()[-1] == "SUCCEEDED"


def test_unknown_names_have_near_misses(tmp_path: Path) -> None:
    done = platform_ctl(tmp_path, "pipeline", "run", "train-depoy")
    assert done.returncode == 2
    assert "did you mean train-deploy?" in done.stderr
    assert platform_ctl(tmp_path, "run", "show", "nope").returncode == 3  # there is no run at all


def test_the_wrong_folder_is_named(tmp_path: Path) -> None:
    done = platform_ctl(tmp_path, "pipeline", "run", "train-deploy", cwd=tmp_path)
    assert done.returncode == 2
    assert str(tmp_path) in done.stderr
    assert "cd to the project" in done.stderr


def test_explain_lists_what_is_refused(judged: Path, tmp_path: Path) -> None:
    document = yaml.safe_load(judged.read_text())
    container = document["deploymentSpec"]["executors"]["exec-add"]["container"]
    container["resources"] = {"resourceCpuLimit": "2", "accelerator": {"resourceCount": "1"}}
    judged.write_text(yaml.safe_dump(document))
    done = platform_ctl(tmp_path, "pipeline", "run", str(judged), "--explain")
    assert done.returncode == 0
    assert "ignored" in done.stdout
    assert "refused" in done.stdout
    run = platform_ctl(tmp_path, "pipeline", "run", str(judged), "-p", "x=1")
    assert run.returncode == 6
    assert "an accelerator" in run.stderr


def test_committed_ir_is_current_and_portable(tmp_path: Path) -> None:
    done = platform_ctl(tmp_path, "pipeline", "compile", "--check")
    assert done.returncode == 0, done.stderr
    listed = json.loads(platform_ctl(tmp_path, "pipeline", "list", "-o", "json").stdout)
    assert {"train-deploy", "promote"} <= {pipeline["name"] for pipeline in listed}


def test_a_stale_ir_is_named(tmp_path: Path) -> None:
    """A project of its own, so that nothing here is touched."""
    project = tmp_path / "project"
    (project / "pipelines" / "compiled").mkdir(parents=True)
    (project / "platform-ctl.toml").write_text("")
    (project / "pipelines" / "__init__.py").write_text("")
    (project / "pipelines" / "one_pipeline.py").write_text(
        "from kfp import dsl\n\n\n@dsl.component(install_kfp_package=False)\n"
        "def say(n: int) -> int:\n    return n\n\n\n"
        "@dsl.pipeline(name='one')\ndef one(n: int = 1):\n    say(n=n)\n"
    )
    command = [sys.executable, "-c", "from platform_ctl.cli.app import main; main()", "pipeline"]

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PLATFORM_HOME": str(tmp_path / "home")}
        return subprocess.run(
            [*command, *words], cwd=project, env=env, capture_output=True, text=True
        )

    assert call("compile", "--check").returncode == 2
    assert "written" in call("compile").stdout
    assert "unchanged" in call("compile").stdout
    assert call("compile", "--check").returncode == 0
    source = project / "pipelines" / "one_pipeline.py"
    source.write_text(source.read_text().replace("n: int = 1", "n: int = 2"))
    stale = call("compile", "--check")
    assert (stale.returncode, "err-stale-ir" in stale.stderr) == (2, True)
    assert call("run", "one").returncode == 0
