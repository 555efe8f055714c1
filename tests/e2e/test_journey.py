"""The main job as a person does it: data, train, gate, Staging, a human, canary, Production.

One home, one story: the tests of this file run in order and share it. Small
(three trials, a few epochs), but every component is the real one.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
SMALL = ("-p", "max_trials=3", "-p", "epochs=6")
ALWAYS = {"resolve", "register", "request-approval"}
"""Tasks with effects, or that look outside: never served from the cache."""


class Shell:
    """platform-ctl and mlship in one home."""

    def __init__(self, home: Path, temporary: Path) -> None:
        self.home = home
        self.temporary = temporary
        self.environment = {
            **os.environ,
            "PLATFORM_HOME": str(home),
            "TMPDIR": str(temporary),
        }

    def run(self, *words: str, code: int, program: str) -> subprocess.CompletedProcess[str]:
        module = "mlship" if program == "mlship" else "app"
        start = f"from platform_ctl.cli.{module} import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", start, *words],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=300,
        )
        assert done.returncode == code, f"{words}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def __call__(self, *words: str, code: int = 0, program: str = "platform-ctl") -> str:
        return self.run(*words, code=code, program=program).stdout

    def errors(self, *words: str, code: int) -> str:
        """What the command says on stderr."""
        return self.run(*words, code=code, program="platform-ctl").stderr

    def json(self, *words: str, code: int = 0):
        return json.loads(self(*words, "-o", "json", code=code))

    def states(self) -> dict[str, str]:
        return {t["name"]: t["state"] for t in self.json("run", "show", "latest")["tasks"]}

    def aliases(self) -> dict[str, str]:
        """Stage -> version of the one model there is."""
        (model,) = self.json("model", "list")
        return {a: v["version"] for v in model["versions"] for a in v["aliases"]}


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    home = tmp_path_factory.mktemp("journey") / "home"
    with tempfile.TemporaryDirectory(prefix="j-") as temporary:  # short: sockets live there
        shell = Shell(home, Path(temporary))
        yield shell
        subprocess.run(
            [
                sys.executable,
                "-c",
                "from platform_ctl.cli.app import main; main()",
                *("service", "stop", "weekly-commits"),
            ],
            cwd=ROOT,
            env=shell.environment,
            check=False,
            capture_output=True,
        )


def processes_of(home: Path) -> list[str]:
    """Command lines of live processes that name the home."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if str(home) in line:
            found.append(line)
    return found


def test_without_data_the_run_says_what_to_do(shell):
    said = shell.errors("pipeline", "run", "train-deploy", *SMALL, code=3)
    assert "error: there is no table abukix.commits yet: ingest your clones" in said
    assert "fix:   platform-ctl data ingest" in said


def test_the_first_run_registers_as_staging_and_asks(shell):
    shell("data", "ingest", "--sample")
    printed = shell("pipeline", "run", "train-deploy", *SMALL)
    assert set(shell.states().values()) == {"SUCCEEDED"}
    assert shell.aliases() == {"staging": "1"}
    (request,) = shell.json("approval", "list")
    assert request["state"] == "pending"
    assert f"platform-ctl approval approve {request['id']}" in printed
    assert re.search(
        r"MASE \d\.\d+ \(beside last_week \d\.\d+, mean_4w \d\.\d+, log_ses \d\.\d+\)", printed
    )
    assert not [p for p in processes_of(shell.home) if "ray" in p], "Ray outlived its run"
    assert shell.json("run", "show", "latest")["cost"]["notes"] == [], "nothing was cut short"
    assert list(shell.temporary.iterdir()) == [], "left in the machine's temporary folder"


def test_nothing_changed_means_nothing_is_done_twice(shell):
    shell("pipeline", "run", "train-deploy", *SMALL)
    states = shell.states()
    assert {n for n, s in states.items() if s == "SUCCEEDED"} == ALWAYS
    assert {n for n, s in states.items() if s == "CACHED"} == set(states) - ALWAYS
    assert shell.aliases() == {"staging": "1"}
    assert len(shell.json("approval", "list")) == 1


def test_nobody_approves_by_accident(shell):
    (request,) = shell.json("approval", "list")
    shell("approval", "approve", request["id"], code=2)
    shell("mlship", "nothing", code=2)
    shell("deploy", "weekly-commits/1", program="mlship", code=3)
    assert shell.json("approval", "list")[0]["state"] == "pending"
    assert shell.json("service", "list") == []


def test_an_approval_takes_the_model_to_production(shell):
    printed = shell("approval", "approve", "latest", "--reason", "beats both", "--wait")
    assert "is in Production at http://127.0.0.1:" in printed
    assert shell.aliases() == {"production": "1"}
    (service,) = shell.json("service", "list")
    assert service["state"] == "running"
    assert service["spec"]["production"]["model_version"] == "1"
    events = shell.json("release", "show", "weekly-commits")["events"]
    (compared,) = (e["detail"] for e in events if e["kind"] == "live features")
    assert compared["verdict"] == "successful"
    assert "are the same online and offline" in compared["reason"]


def test_the_service_answers_for_a_repository_as_predict_does(shell):
    forecast = shell.json("model", "predict", "weekly-commits@production")["predictions"][0]
    (service,) = shell.json("service", "list")
    request = urllib.request.Request(
        f"{service['url']}/v1/models/weekly-commits:predict",
        data=json.dumps({"instances": [{"repo": forecast["repo"]}]}).encode(),
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        (served,) = json.load(answer)["predictions"]
    assert served == pytest.approx(forecast["prediction"], rel=1e-5)


def test_the_training_rows_stand_up_to_the_auditor(shell):
    assert "0" in shell("data", "audit", "--rows", "40")


def test_a_second_model_goes_through_a_canary_and_back(shell):
    shell("pipeline", "run", "train-deploy", *SMALL, "-p", "seed=1")
    assert shell.aliases() == {"production": "1", "staging": "2"}
    printed = shell("approval", "approve", "latest", "--reason", "as good", "--wait")
    assert "is in Production" in printed
    assert shell.aliases() == {"production": "2", "previous": "1"}
    shell("release", "rollback", "weekly-commits", "--reason", "drill")
    assert shell.aliases()["production"] == "1"
    (service,) = shell.json("service", "list")
    assert service["spec"]["production"]["model_version"] == "1"
    assert shell.json("approval", "list", "--all")[0]["state"] == "void"
    shell("deploy", "weekly-commits/2", program="mlship", code=3)


def test_stopping_leaves_no_process(shell):
    shell("service", "stop", "weekly-commits")
    assert processes_of(shell.home) == []
