"""The frame around every command: help, near misses, exit codes, the four lines of an error."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from platform_ctl.cli import app, reference
from platform_ctl.errors import MissingTable, PlatformError

HEAVY = {"feast", "kfp", "kserve", "mlflow", "numpy", "pandas", "pyarrow", "pyiceberg", "ray"}
HEAVY |= {"optuna", "torch", "rich"}
PROGRAM = Path(sys.executable).with_name("platform-ctl")


def every_command() -> list[tuple[str, click.Command]]:
    return [
        (context.command_path, command)
        for name, root in reference.PROGRAMS.items()
        for context, command in reference.walk(name, root)
    ]


def call(*words: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The real program, in a process of its own, without this shell's settings."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PLATFORM_")}
    if home:
        env["PLATFORM_HOME"] = str(home)
    return subprocess.run([PROGRAM, *words], env=env, capture_output=True, text=True, check=False)


def leave(command: click.Command, *words: str) -> int:
    with pytest.raises(SystemExit) as caught:
        app.run_command(command, list(words), prog="platform-ctl")
    return caught.value.code


def failing(exc: BaseException) -> click.Command:
    @click.command()
    @click.option("--debug", is_flag=True)
    @click.option("-o", "output", default="text")
    def command(debug: bool, output: str) -> None:
        raise exc

    return command


# ---- help -----------------------------------------------------------------


@pytest.mark.parametrize("name", app.GROUPS)
def test_every_listed_group_is_there_and_says_what_it_does(name: str) -> None:
    context = click.Context(app.cli)
    command = app.cli.get_command(context, name)
    assert command is not None
    assert command.get_short_help_str(200)


@pytest.mark.parametrize(
    ("path", "command"), every_command(), ids=[path for path, _ in every_command()]
)
def test_every_command_explains_itself(path: str, command: click.Command) -> None:
    assert command.help, f"{path} has no help"
    context = click.Context(command)
    options = [p for p in command.get_params(context) if isinstance(p, click.Option)]
    silent = [p.opts[-1] for p in options if not p.help and not p.hidden]
    assert not silent, f"{path}: options without help"
    for option in options:
        if "-o" in option.opts:
            assert isinstance(option.type, click.Choice)
            assert list(option.type.choices)[:2] == ["text", "json"]


def test_help_and_version_come_without_heavy_imports() -> None:
    code = (
        "import sys; from platform_ctl.cli import app\n"
        "for words in (['--help'], ['--version'], *([g, '--help'] for g in app.GROUPS)):\n"
        "    try: app.main(words)\n"
        "    except SystemExit as exc: assert not exc.code, (words, exc.code)\n"
        f"sys.exit(str(sorted({HEAVY!r} & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("words", "hint"),
    [(["modle", "list"], "'model'"), (["config", "shwo"], "show"), (["--hme", "x"], "--home")],
)
def test_a_near_miss_is_named(words: list[str], hint: str) -> None:
    done = call(*words)
    assert done.returncode == 2
    assert hint in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("words", "what", "where", "fix"),
    [
        (
            "run list --limt 5",
            "no such option '--limt'; did you mean '--limit'?",
            "platform-ctl run list",
            "platform-ctl run list --limit 5",
        ),
        (
            "run list --limt=5",
            "no such option '--limt'; did you mean '--limit'?",
            "platform-ctl run list",
            "platform-ctl run list --limit=5",
        ),
        (
            "run list --nothing-like-it",
            "no such option '--nothing-like-it'",
            "platform-ctl run list",
            "platform-ctl run list --help",
        ),
        (
            "run list --limit 5 --home there",
            "--home stands before the command",
            "platform-ctl run list",
            "platform-ctl --home there run list --limit 5",
        ),
        (
            "run list --debug",
            "--debug stands before the command",
            "platform-ctl run list",
            "platform-ctl --debug run list",
        ),
        (
            "modle list",
            "no such command 'modle'; did you mean 'model'?",
            "platform-ctl",
            "platform-ctl model list",
        ),
        (
            "pipeline run",
            "missing argument 'PIPELINE'",
            "platform-ctl pipeline run",
            "platform-ctl pipeline list",
        ),
        (
            "run list -o jsn",
            "invalid value for '-o' / '--output': 'jsn' is not one of 'text', 'json'",
            "platform-ctl run list",
            "platform-ctl run list -o json",
        ),
        (
            "--target=lcal run list",
            "invalid value for '--target': 'lcal' is not one of 'local', 'kubernetes'",
            "platform-ctl",
            "platform-ctl --target=local run list",
        ),
        (
            "run list --limit many",
            "invalid value for '--limit': 'many' is not a valid integer",
            "platform-ctl run list",
            "platform-ctl run list --help",
        ),
        (
            "run list --limit",
            "option '--limit' requires an argument",
            "platform-ctl run list",
            "platform-ctl run list --help",
        ),
        (
            "run show a b",
            "got unexpected extra argument (b)",
            "platform-ctl run show",
            "platform-ctl run show a",
        ),
    ],
)
def test_wrong_words_are_four_lines_and_the_fix_is_a_command(
    words: str, what: str, where: str, fix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert leave(app.cli, *words.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        f"error: {what} (err-usage)",
        f"where: {where}",
        f"fix:   {fix}",
        "see:   runbooks/errors/usage.md",
    ]


@pytest.mark.parametrize("spelling", [["-o", "json"], ["-ojson"], ["--output=json"]])
def test_wrong_words_are_one_object_for_who_reads_json(
    spelling: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert leave(app.cli, "run", "list", *spelling, "--limit", "many") == 2
    assert json.loads(capsys.readouterr().err)["error"]["id"] == "err-usage"


def test_a_word_that_happens_to_be_json_asks_for_no_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert leave(app.cli, "run", "lst", "json") == 2
    assert capsys.readouterr().err.startswith("error: no such command 'lst'")


# ---- errors ---------------------------------------------------------------


def test_an_error_is_four_lines_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    exc = MissingTable("no table", where="the home", fix="platform-ctl data ingest --sample")
    assert leave(failing(exc)) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "error: no table (err-no-table)",
        "where: the home",
        "fix:   platform-ctl data ingest --sample",
        "see:   runbooks/errors/precondition.md",
    ]


def test_an_error_is_one_object_for_who_reads_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert leave(failing(MissingTable("no table", fix="x")), "-o", "json") == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err)["error"] == {
        "id": "err-no-table",
        "what": "no table",
        "where": "",
        "fix": "x",
        "see": "runbooks/errors/precondition.md",
    }


@pytest.mark.parametrize(
    ("exc", "code"),
    [
        (PlatformError("x"), 70),
        (ZeroDivisionError("x"), 70),
        (KeyboardInterrupt(), 130),
        (click.exceptions.Abort(), 130),
        (click.UsageError("x"), 2),
        (click.exceptions.Exit(1), 1),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, BaseException) else str(v),
)
def test_exit_codes(exc: BaseException, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert leave(failing(exc)) == code
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        "run show WORD",
        "cache explain WORD",
        "lineage show WORD",
        "run diff WORD latest",
        "approval approve latest --reason WORD",
        "data golden refresh --reason WORD",
        "pipeline run train-deploy --name WORD",
        "pipeline run train-deploy -p text=WORD",
        "model show WORD",
    ],
)
def test_an_argument_that_is_no_utf8_is_refused(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """kubeflow/pipelines 7283: a word in ISO-8859-1, as Python hands it on."""
    latin = os.fsdecode("café".encode("latin-1"))
    home = tmp_path / "home"
    given = [w.replace("WORD", latin) for w in words.split()]
    assert leave(app.cli, "--home", str(home), *given) == 2
    lines = capsys.readouterr().err.splitlines()
    assert "caf\\udce9' is not UTF-8 text (err-usage)" in lines[0] and len(lines) == 4
    assert not home.exists()


def test_a_path_may_be_other_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + "/café".encode("latin-1")))
    folder.mkdir()
    home = str(tmp_path / "home")
    data = ["data", "ingest", "--recipe", "train-deploy", "--git"]
    assert leave(app.cli, "--home", home, *data, str(folder)) == 3
    assert "is not a git repository" in capsys.readouterr().err


def test_a_bug_shows_its_traceback_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        app.run_command(failing(ZeroDivisionError()), ["--debug"], prog="platform-ctl")
    assert leave(failing(MissingTable("no table")), "--debug") == 3
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_leaves_early_is_no_error() -> None:
    script = f"{PROGRAM} config show --origin | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "words", [["config", "show"], ["config", "show", "-o", "json"], ["--help"]]
)
def test_a_reader_that_left_before_the_first_word_is_no_error(words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [PROGRAM, *words], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


# ---- doctor ---------------------------------------------------------------


def test_doctor_looks_without_touching(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = call("doctor", "-o", "json", home=home)
    checks = json.loads(done.stdout)
    assert {c["health"] for c in checks} <= {"ok", "warn", "fail"}
    assert all(c["fix"] for c in checks if c["health"] != "ok")
    assert done.returncode == int(any(c["health"] == "fail" for c in checks))
    assert not home.exists()


def test_doctor_fails_for_a_home_of_a_newer_version(tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "platform.db") as db:
        db.execute("PRAGMA user_version=999999")
    done = call("doctor", home=tmp_path)
    assert done.returncode == 1
    assert "git pull && make setup" in done.stdout


def test_doctor_reads_the_records_of_a_home(tmp_path: Path) -> None:
    from platform_ctl import targets
    from platform_ctl.settings import Settings

    targets.state(Settings(home=str(tmp_path))).close()
    checks = {c["name"]: c for c in json.loads(call("doctor", "-o", "json", home=tmp_path).stdout)}
    assert checks["runs"]["health"] == "ok"
    assert checks["services"]["health"] == "ok"


def test_doctor_names_a_damaged_home(tmp_path: Path) -> None:
    (tmp_path / "platform.db").write_text("no database " * 100)
    done = call("doctor", home=tmp_path)
    assert done.returncode == 1
    assert "is damaged: file is not a database" in done.stdout


def test_a_question_that_nobody_can_answer_is_a_missing_option(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert leave(app.cli, "recipe", "new", "x") == 2
    assert "platform-ctl recipe new --help" in capsys.readouterr().err


def test_json_is_asked_for_by_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert leave(app.cli, "run", "list", "--json") == 2
    assert "fix:   platform-ctl run list -o json" in capsys.readouterr().err
