"""``platform-ctl data`` from the outside: words, exit codes, four lines."""

from __future__ import annotations

import json

import pytest

from platform_ctl.cli.app import main
from tests.recipes.train_deploy.histories import make_repo, weekly_commits


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    """Run a command in a home of its own; (exit code, stdout, stderr)."""
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path / "home"))

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["data", *words])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def test_several_paths_after_one_flag(cli, tmp_path):
    one = make_repo(tmp_path / "one", weekly_commits(2))
    two = make_repo(tmp_path / "two", weekly_commits(3))
    code, out, _ = cli("ingest", "--git", str(one), str(two), "-o", "json")
    report = json.loads(out)
    assert code == 0
    assert {r["name"]: r["new_rows"] for r in report["parts"]} == {"one": 4, "two": 6}
    code, out, _ = cli("ingest", "--git", str(one), "--git", str(two))
    assert code == 0
    assert "nothing new" in out
    code, out, _ = cli("show", "-o", "json")
    assert [r["rows"] for r in json.loads(out)["entities"]] == [4, 6]
    code, out, _ = cli("remove", "one")
    assert (code, out) == (0, "removed 4 commits of one\n")


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (("show",), 3, "err-no-table"),
        (("audit",), 3, "err-no-table"),
        (("ingest", "--git", "/nowhere"), 3, "err-not-a-repository"),
        (("show", "--recipe", "nope"), 2, "err-unknown-name"),
    ],
)
def test_errors_are_four_lines(cli, words, code, error):
    got, out, err = cli(*words)
    assert (got, out) == (code, "")
    lines = err.strip().splitlines()
    assert [line.split(":")[0] for line in lines] == ["error", "where", "fix", "see"]
    assert f"({error})" in lines[0]


@pytest.mark.parametrize(
    "words",
    [
        ("ingest",),
        ("ingest", "--git"),
        ("ingest", "--git", ".", "--sample"),
        ("ingest", "--sample", "."),
        ("ingest", "--git", ".", "--seed", "3"),
    ],
)
def test_wrong_words(cli, words):
    code, out, err = cli(*words)
    assert (code, out) == (2, "")
    assert "(err-usage)\nwhere: platform-ctl data ingest\nfix:   platform-ctl data ingest" in err


def test_too_little_history(cli, tmp_path):
    clone = make_repo(tmp_path / "young", weekly_commits(20))
    cli("ingest", "--git", str(clone))
    code, _, err = cli("audit")
    assert code == 3
    assert "err-too-little-history" in err
    code, out, _ = cli("golden", "show")
    assert (code, out) == (0, "no golden set yet: the first run makes it\n")


def test_the_whole_way_on_one_repository(cli, tmp_path):
    clone = make_repo(tmp_path / "grown", weekly_commits(80), bare=True)
    cli("ingest", "--git", str(clone))
    code, out, _ = cli("audit", "--rows", "30")
    assert code == 0
    assert out.startswith("no row used later data: 30 rows")
    code, out, _ = cli("golden", "refresh", "--reason", "a test", "-o", "json")
    assert [e["reason"] for e in json.loads(out)["history"]] == ["first run"], "the same set"
