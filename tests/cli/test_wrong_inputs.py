"""Wrong words that look nearly right: the fix is the command that was meant, whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from platform_ctl import targets
from platform_ctl.approvals.request import Subject
from platform_ctl.cli import app, mlship
from platform_ctl.settings import Settings

RUN = "0aaaaaaa-1111-2222-3333-444444444444"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One run with a step that wrote nothing, one request, one service."""
    home = tmp_path / "home"
    database = targets.state(Settings(home=str(home)))
    database.execute(
        "INSERT INTO runs (id, name, pipeline, state, created_at, directory, parameters,"
        " use_cache) VALUES (?, '', 'train-deploy', 'SUCCEEDED', '2026-01-01T00:00:00Z', '',"
        " '{}', 1)",
        (RUN,),
    )
    database.execute(
        "INSERT INTO tasks (run_id, path, name, component, state) VALUES"
        " (?, 'condition-1.register', 'register', 'comp-register', 'SUCCEEDED'),"
        " (?, 'train', 'train', 'comp-train', 'CACHED')",
        (RUN, RUN),
    )
    subject = json.dumps({name: "x" for name in Subject.__dataclass_fields__})
    for number, state in (("0", "approved"), ("1", "pending")):
        database.execute(
            "INSERT INTO approvals (id, model, version, recipe, subject, subject_digest, state,"
            " requested_by, requested_at, expires_at, approvals_needed)"
            " VALUES (?, 'm', '1', 'r', ?, '', ?, 'me', ?, ?, 1)",
            (f"{number}bbbbbbb", subject, state, "2026-01-01T00:00:00Z", "2099-01-01T00:00:00Z"),
        )
    database.commit()
    service = home / "services" / "weekly-commits"
    service.mkdir(parents=True)
    (service / "spec.json").write_text(json.dumps({"spec": {"production": None}, "port": 1}))
    monkeypatch.setenv("PLATFORM_HOME", str(home))
    return home


def fails(line: str, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Its four lines, by their labels."""
    prog, *words = line.split(" ")
    with pytest.raises(SystemExit) as caught:
        app.run_command(mlship.cli if prog == "mlship" else app.cli, words, prog=prog)
    captured = capsys.readouterr()
    assert caught.value.code in (2, 3) and captured.out == "", (line, captured)
    said = [one for one in captured.err.splitlines() if not one.startswith("note: ")]
    lines = [one.partition(": ") for one in said]
    assert [label for label, _, _ in lines] == ["error", "where", "fix", "see"], captured.err
    return {label: text.strip() for label, _, text in lines}


@pytest.mark.parametrize(
    ("line", "fix"),
    [
        ("pipeline run train-deplo -p epochs=3", "pipeline run train-deploy -p epochs=3"),
        ("run show 0aaaaaaaf", "run show 0aaaaaaa"),
        (f"run why {RUN[:-1]}5", "run why 0aaaaaaa"),
        ("run logs 0aaa registr", "run logs 0aaa register"),
        ("cache explain 0aaaaaba", "cache explain 0aaaaaaa"),
        ("approval show 1bbbbbbx", "approval show 1bbbbbbb"),
        ("approval approve 1bbbbbbx --reason good", "approval approve 1bbbbbbb --reason good"),
        ("service stop weekly_commits", "service stop weekly-commits"),
        ("release show weekly_commits", "release show weekly-commits"),
        ("run latest", "run show latest"),
        ("run 0aaaaaaa", "run show 0aaaaaaa"),
        ("model weekly-commits", "model show weekly-commits"),
        ("run list --limit 0", "run list --limit 1"),
        ("run list --limit=-1", "run list --limit=1"),
        ("run list --state=fail", "run list --state=failed"),
        ("metrics serve --port 99999", "metrics serve --port 65535"),
        ("approval approve 1bbbbbbb", "approval approve 1bbbbbbb --reason why"),
        ("run show latest -o json x", "run show latest -o json"),
        ("pipeline run", "pipeline list"),
        ("model show", "model list"),
        ("trigger", "schedule trigger"),
        ("completion zhs", "completion zsh"),
        ("recipe new Bad_Name", "recipe new bad-name"),
        ("pipeline run train-deploy --params-file /nosuch/x.yaml", "ls /nosuch"),
    ],
)
def test_the_fix_is_what_was_meant(
    home: Path, line: str, fix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if "-o json" in line:
        with pytest.raises(SystemExit):
            app.run_command(app.cli, line.split(), prog="platform-ctl")
        assert json.loads(capsys.readouterr().err)["error"]["fix"] == f"platform-ctl {fix}"
        return
    expected = fix if fix.startswith("ls ") else f"platform-ctl {fix}"
    assert fails(f"platform-ctl {line}", capsys)["fix"] == expected


def test_mlship_with_nothing_but_a_model_means_its_only_command(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fix = fails("mlship weekly-commits@production", capsys)["fix"]
    assert fix == "mlship deploy weekly-commits@production"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("list", "there is: recipe list, pipeline list, run list"),
        ("run list --limit 0", "--limit must be at least 1, not 0"),
        ("mlship deploy m --canary 500", "--canary must be from 1 to 100, not 500"),
        ("run show 0aaaaaaab", "there is no run '0aaaaaaab'; did you mean 0aaaaaaa?"),
        ("run show ", "the id of a run is empty"),
        ("run show zzz", "there is no run 'zzz' (err-unknown-name)"),
        ("run logs latest nosuch", "there is: register, train"),
        ("schedule trigger nosuch", "no schedule is applied yet"),
        ("schedule apply --plan /nosuch", "/nosuch is not a plan: No such file or directory"),
        ("experiment run README.md", "cannot be read: line "),
        ("recipe new train_deploy", "train-deploy"),
        ("approval reject 0bbbbbbb --reason late", "request 0bbbbbbb is approved"),
    ],
)
def test_the_first_line_says_it(
    home: Path, line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    full = line if line.startswith("mlship") else f"platform-ctl {line}"
    assert said in fails(full, capsys)["error"]


def test_an_approved_request_is_not_asked_for_again(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = fails("platform-ctl approval reject 0bbbbbbb --reason late", capsys)
    assert found["fix"] == "platform-ctl approval show 0bbbbbbb"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "logs", "latest", "register"], "register wrote nothing"),
        (["run", "logs", "latest"], "the run wrote nothing"),
        (
            ["run", "logs", "latest", "train"],
            "train was not executed: its outputs are from the cache",
        ),
    ],
)
def test_no_log_is_said_and_not_printed(
    home: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        app.main(words)
    captured = capsys.readouterr()
    assert (caught.value.code or 0, captured.out, captured.err.strip()) == (0, "", said)


def test_no_run_of_a_mistyped_pipeline(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        app.main(["run", "list", "--pipeline", "train-deplo"])
    said = capsys.readouterr().out.strip()
    assert said == "no run is of a pipeline 'train-deplo'; did you mean train-deploy?"


def test_no_help_is_cut_off() -> None:
    """A list of commands whose sentences end in dots tells nobody which one to take."""
    import click

    from platform_ctl.cli import reference

    for name, root in reference.PROGRAMS.items():
        for context, command in reference.walk(name, root):
            if isinstance(command, click.Group):
                formatter = click.HelpFormatter(width=80)
                command.format_commands(context, formatter)
                assert "..." not in formatter.getvalue(), context.command_path


@pytest.mark.parametrize(
    ("words", "code", "what"),
    [
        ("-p approval_id=zzz", 2, "zzz"),
        ("-p approval_id=1bbbbbbb", 3, "request 1bbbbbbb is expired, not approved"),
        ("-p approval_id=", 3, "a promotion needs an approval"),
        ("-p approval_id= -p model_version=weekly-commits/7", 3, "weekly-commits"),
    ],
)
def test_a_promotion_that_may_not_be_starts_no_run(
    home: Path, capsys: pytest.CaptureFixture[str], words: str, code: int, what: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        app.run_command(app.cli, f"pipeline run promote {words}".split(" "), prog="platform-ctl")
    captured = capsys.readouterr()
    assert (caught.value.code, captured.out) == (code, ""), captured
    assert what in captured.err and len(captured.err.splitlines()) == 4
    runs = targets.run_reader(Settings(home=str(home))).list(10)
    assert [run.id for run in runs] == [RUN]
    assert not list(home.glob("runs/*"))


@pytest.mark.parametrize(
    "line",
    [
        "pipeline run train-deploy -p db_password=hunter2 --no-such-option",
        "pipeline run train-deplo -p db_password=hunter2",
        "pipeline run train-deploy -p db_password=hunter2",
        "pipeline run train-deploy -p hunter2",
        "pipeline run train-deploy -p hunter2 -p epochs=3",
        "pipeline run train-deploy -p source=https://me:hunter2@host/x --no-such-option",
        "pipeline impact train-deplo -p api_token=hunter2",
    ],
)
def test_what_may_be_a_secret_is_not_repeated(
    home: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    with pytest.raises(SystemExit):
        app.run_command(app.cli, line.split(" "), prog="platform-ctl")
    captured = capsys.readouterr()
    assert "hunter2" not in captured.out + captured.err
    assert len(captured.err.splitlines()) == 4
