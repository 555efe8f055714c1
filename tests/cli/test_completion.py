"""The Tab key, by click's own protocol: a process that gets words and prints candidates."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from platform_ctl import targets
from platform_ctl.settings import Settings
from tests.support.programs import needs
from tests.support.terminal import shell

HEAVY = {"feast", "kfp", "mlflow", "numpy", "optuna", "pandas", "pyarrow", "ray", "rich"}
PROGRAMS = {"platform-ctl": "platform_ctl.cli.app", "mlship": "platform_ctl.cli.mlship"}


def ask(
    home: Path, line: str, *, cwd: Path = Path(), code: str = ""
) -> subprocess.CompletedProcess[str]:
    """Candidates for the last word of ``line``; ``code`` runs instead of the program itself."""
    program = line.split(maxsplit=1)[0]
    env = {
        **os.environ,
        "PLATFORM_HOME": str(home),
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
        f"_{program.replace('-', '_').upper()}_COMPLETE": "bash_complete",
    }
    run = code or f"from {PROGRAMS[program]} import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", run], cwd=cwd, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0 and (code or not done.stderr), done.stderr
    return done


def words(home: Path, line: str) -> list[str]:
    return [answer.partition(",")[2] for answer in ask(home, line).stdout.split()]


@pytest.fixture
def home(tmp_path) -> Path:
    """A home with two runs and two requests, as its own database records them."""
    home = tmp_path / "home"
    database = targets.state(Settings(home=str(home)))
    for number, state in enumerate(("SUCCEEDED", "FAILED")):
        database.execute(
            "INSERT INTO runs (id, name, pipeline, state, created_at, directory, parameters,"
            " use_cache) VALUES (?, '', 'train-deploy', ?, ?, '', '{}', 1)",
            (f"{number}aaaaaaa-0000", state, f"2026-01-0{number + 1}T00:00:00Z"),
        )
    for number, state in enumerate(("pending", "approved")):
        database.execute(
            "INSERT INTO approvals (id, model, version, recipe, subject, subject_digest, state,"
            " requested_by, requested_at, expires_at, approvals_needed)"
            " VALUES (?, 'm', '1', 'r', '{}', '', ?, 'me', ?, '', 1)",
            (f"{number}bbbbbbb", state, f"2026-01-0{number + 1}T00:00:00Z"),
        )
    database.execute(
        "INSERT INTO tasks (run_id, path, name, component, state) VALUES"
        " ('0aaaaaaa-0000', 'condition-1.train', 'train', 'comp-train', 'SUCCEEDED')"
    )
    database.execute(
        "INSERT INTO recurring_runs (id, key, display_name, description, spec, compiled,"
        " created_at) VALUES ('r', 'shop/nightly', 'nightly', '', '{}', x'', 0)"
    )
    database.commit()
    _registered(home / "mlflow" / "mlflow.db")
    (home / "services" / "weekly-commits").mkdir(parents=True)
    return home


def _registered(database: Path) -> None:
    """The tables of MLflow's store that hold models, aliases and versions."""
    database.parent.mkdir()
    with contextlib.closing(sqlite3.connect(database)) as db, db:
        db.execute("CREATE TABLE registered_models (name TEXT)")
        db.execute("CREATE TABLE registered_model_aliases (name TEXT, alias TEXT, version INT)")
        db.execute("INSERT INTO registered_models VALUES ('shop')")
        db.execute("INSERT INTO registered_model_aliases VALUES ('shop', 'production', 7)")
        db.execute("CREATE TABLE model_versions (name TEXT, version INT)")
        db.execute("INSERT INTO model_versions VALUES ('shop', 7)")


def test_mlship_completes_models_aliases_and_versions(home):
    assert words(home, "mlship deploy ") == ["shop", "shop@production", "shop/7"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("platform-ctl pipel", ["pipeline"]),
        ("platform-ctl run sh", ["show"]),
        ("platform-ctl run show --out", ["--output"]),
        ("platform-ctl run show -o ", ["text", "json"]),
        ("platform-ctl completion ", ["bash", "zsh", "fish"]),
        ("platform-ctl pipeline run tr", ["train-deploy"]),
        ("platform-ctl data show --recipe tr", ["train_deploy"]),
        ("platform-ctl recipe new x --kind cl", ["classification"]),
        ("platform-ctl lab start blocked", ["blocked-promotion"]),
        ("platform-ctl nonsense pipel", ["pipeline"]),
        ("platform-ctl --home /nowhere run show lat", ["latest"]),
        ("mlship dep", ["deploy"]),
        ("platform-ctl run list --pipeline tr", ["train-deploy"]),
        ("platform-ctl pipeline run train-deploy -p max_tr", ["max_trials="]),
        ("platform-ctl pipeline impact -p max_trials=4 digits -p ep", ["epochs="]),
        ("platform-ctl pipeline run pipelines/comp", ["pipelines/comp"]),
        ("platform-ctl target install kub", ["kuberay"]),
        ("platform-ctl recipe check tr", ["train_deploy"]),
        ("platform-ctl recipe new tr", []),
        ("platform-ctl lab check --cause alias", ["alias-moved"]),
        ("platform-ctl exit-test check diagnose --cause alias", ["alias-moved"]),
    ],
)
def test_what_needs_no_home(tmp_path, line, expected):
    assert words(tmp_path / "home", line) == expected


def test_names_from_the_records_newest_first(home):
    assert words(home, "platform-ctl run show ") == ["latest", "1aaaaaaa", "0aaaaaaa"]
    assert words(home, "platform-ctl run diff 0aaaaaaa 1") == ["1aaaaaaa"]
    assert words(home, "platform-ctl cache explain 0") == ["0aaaaaaa"]
    assert words(home, "platform-ctl approval approve ") == ["latest", "0bbbbbbb", "1bbbbbbb"]
    assert words(home, "platform-ctl service stop ") == ["weekly-commits"]
    assert words(home, "platform-ctl run logs latest tr") == ["train"]
    assert words(home, "platform-ctl run logs 0 tr") == ["train"]
    assert words(home, "platform-ctl model restore ") == ["shop"]
    assert words(home, "platform-ctl schedule trigger ") == ["shop/nightly"]
    assert words(home, "platform-ctl cache explain latest ") == ["train"]
    assert words(home, "platform-ctl experiment show 0") == ["0aaaaaaa"]
    assert words(home.parent, f"platform-ctl --home {home} service stop ") == ["weekly-commits"]


@pytest.mark.parametrize("command", ["run show ", "approval show ", "model show ", "service stop "])
def test_asking_makes_nothing_and_tells_no_error(tmp_path, command):
    home = tmp_path / "home"
    words(home, f"platform-ctl {command}")
    assert not home.exists()
    home.mkdir()
    (home / "platform.db").write_bytes(b"no database at all" * 100)
    (home / "mlflow").mkdir()
    (home / "mlflow" / "mlflow.db").write_bytes(b"nor this")
    before = sorted(home.rglob("*"))
    assert set(words(home, f"platform-ctl {command}")) <= {"latest"}
    assert sorted(home.rglob("*")) == before


def test_a_broken_settings_file_is_no_error_either(tmp_path):
    (tmp_path / "platform-ctl.toml").write_text("not = [toml")
    assert ask(tmp_path / "home", "platform-ctl run show ", cwd=tmp_path).stdout.strip() == ""


@pytest.mark.parametrize("words", ["", "run show ", "model show ", "release continue "])
def test_it_loads_nothing_that_takes_its_time(home, words):
    code = (
        "import sys; from platform_ctl.cli.app import main\n"
        "try: main()\n"
        f"finally: print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = ask(home, f"platform-ctl {words}", code=code)
    assert done.stderr.strip() == "[]"


TYPED = [
    ("platform-ctl pipel", "pipeline"),
    ("platform-ctl run show --out", "--output"),
    ("platform-ctl run list --state=fai", "--state=failed"),
    ("platform-ctl run show 1a", "1aaaaaaa"),
    ("platform-ctl run logs 0a tr", "train"),
    ("platform-ctl model show shop@pro", "shop@production"),
    ("platform-ctl model show shop/", "shop/7"),
    ("platform-ctl service stop wee", "weekly-commits"),
    ("platform-ctl schedule pause shop/", "shop/nightly"),
    ("platform-ctl approval show 0b", "0bbbbbbb"),
    ("mlship deploy shop@", "shop@production"),
]


def _environment(home: Path) -> dict[str, str]:
    program = Path(sys.executable).with_name("platform-ctl")
    return {"PATH": f"{program.parent}:{os.environ['PATH']}", "PLATFORM_HOME": str(home)}


@pytest.mark.parametrize("name", [pytest.param(n, marks=needs(n)) for n in ("bash", "zsh")])
def test_a_real_shell_completes_as_somebody_types(home, name):
    with shell(name, _environment(home), f'eval "$(platform-ctl completion {name})"') as typing:
        for line, expected in TYPED:
            assert (line, typing.completed(line)[-1]) == (line, expected)
        # The cursor stays behind KEY=, and a value with = before it does not confuse the next one.
        line = "platform-ctl pipeline run train-deploy -p max_trials=4 -p epo"
        assert typing.completed(line, then="9")[-1] == "epochs=9"


@needs("fish")
def test_a_real_fish_completes(home):
    asked = "; ".join(f"complete -C '{line}'" for line, _ in TYPED)
    script = f"platform-ctl completion fish | source; {asked}"
    done = subprocess.run(
        ["fish", "--no-config", "-c", script],
        env={**os.environ, **_environment(home)},
        capture_output=True,
        text=True,
    )
    answers = [line.partition("\t")[0] for line in done.stdout.splitlines()]
    assert (answers, done.stderr) == ([expected for _, expected in TYPED], "")
