"""``platform-ctl model`` and ``approval`` from the outside, over one real registry."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from mlflow import MlflowClient

from platform_ctl import targets
from platform_ctl.approvals.request import Answer, Vote
from platform_ctl.cli.app import main
from platform_ctl.models.register import register_model
from platform_ctl.settings import Settings
from recipes.train_deploy.recipe import RECIPE
from tests.support.candidates import PASSED, write_candidate


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Version 1 of weekly-commits in Staging."""
    folder = tmp_path_factory.mktemp("cli")
    settings = Settings(home=str(folder / "home"))
    model_dir, evaluation_dir = write_candidate(folder / "candidate", seed=1)
    register_model(
        targets.registry(settings),
        recipe=RECIPE,
        model_dir=model_dir,
        evaluation_dir=evaluation_dir,
        decision=PASSED,
        provenance={"data_snapshot": "4711"},
    )
    return settings.home


@pytest.fixture
def cli(home, monkeypatch, capsys):
    """(exit code, stdout, stderr) of a command in that home."""
    monkeypatch.setenv("PLATFORM_HOME", home)

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@pytest.fixture
def empty(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path / "none"))
    return cli


def test_an_empty_home_says_what_to_do(empty):
    assert empty("model", "list")[:2] == (
        0,
        "no models yet: platform-ctl pipeline list\n",
    )
    code, out, err = empty("model", "show", "weekly-commits")
    assert (code, out) == (3, "") and "no model is registered yet" in err
    assert empty("approval", "list")[1] == "nothing waits for an approval\n"
    assert empty("approval", "show")[0] == 3


def test_models_are_listed_with_their_stages(cli):
    code, out, _ = cli("model", "list")
    assert code == 0 and "weekly-commits" in out and "Staging" in out
    listed = json.loads(cli("model", "list", "-o", "json")[1])
    assert listed[0]["aliases"] == {"staging": "1"}


def test_a_version_shows_its_provenance(cli):
    for reference in ("weekly-commits/1", "weekly-commits@staging"):
        code, out, _ = cli("model", "show", reference)
        assert code == 0 and "4711" in out and "model_digest" in out


def test_the_history_says_who_when_and_why(cli):
    code, out, err = cli("model", "show", "weekly-commits", "--history")
    assert code == 0 and err == "" and "passed the gate" in out


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("model", "show", "weekly-comits"), 3, "did you mean weekly-commits"),
        (("model", "show", "weekly-commits/9"), 3, "has no version 9"),
        (("model", "show", "weekly-commits@stagin"), 3, "did you mean staging"),
        (("model", "show", "a/b/c"), 2, "is not NAME, NAME@alias or NAME/version"),
        (("model", "predict", "weekly-commits"), 3, "err-no-table"),
        (("approval", "show", "zzzz"), 3, "there is no approval request yet"),
        (("approval", "approve", "latest", "--reason", " "), 2, "needs a reason"),
        (("approval", "request", "weekly-commits/9"), 3, "has no version 9"),
    ],
)
def test_errors_are_four_lines_with_a_fix(cli, words, code, told):
    found, out, err = cli(*words)
    assert (found, out) == (code, "") and told in err
    assert "fix:" in err and "Traceback" not in err


def test_a_reason_is_not_optional(cli):
    code, _, err = cli("approval", "approve", "latest")
    assert code == 2 and "--reason" in err


def test_ask_show_reject_and_ask_again(cli):
    code, out, _ = cli("approval", "request", "weekly-commits@staging", "-o", "json")
    asked = json.loads(out)["id"]
    assert code == 0
    code, out, _ = cli("approval", "show", asked)
    assert code == 0 and f"platform-ctl approval approve {asked}" in out and "mase" in out
    assert asked in cli("approval", "list")[1]
    code, out, _ = cli("approval", "reject", asked, "--reason", "not today")
    assert code == 0 and "rejected" in out
    code, _, err = cli("approval", "approve", asked, "--reason", "but now")
    assert code == 3 and "err-already-decided" in err
    again = json.loads(cli("approval", "request", "weekly-commits/1", "-o", "json")[1])
    assert again["id"] != asked and again["state"] == "pending"


def test_latest_is_refused_by_name_while_another_model_waits(cli, home):
    """The words of a how-to must not approve the model of somebody else."""
    asked = json.loads(cli("approval", "request", "weekly-commits/1", "-o", "json")[1])["id"]
    approvals = targets.approvals(Settings(home=home))
    mine = approvals.get(asked)
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    other = replace(mine, id="f" * 8, model="wine", version="3", requested_at=now)
    approvals.open(other)
    try:
        for answer in ("approve", "reject"):
            code, out, err = cli("approval", answer, "latest", "--reason", "x")
            assert (code, out) == (2, "") and len(err.strip().splitlines()) == 4
            assert f"{asked} (weekly-commits/1, pending)" in err and "ffffffff (wine/3" in err
        assert cli("approval", "show")[0] == 2
        assert all(not approvals.get(one).votes for one in (asked, other.id))
    finally:
        approvals.void(other.id, "of this test")
    approvals.void(asked, "of this test")
    assert approvals.get("latest").id == other.id


FORGED = "not yet\nanswer     approve by release-board at 2026-11-27: fine\x1b[2K\u202eby us\x9b31m"


def test_the_words_of_a_reason_forge_nothing(cli):
    """One answer is one line, whatever it holds, and no terminal obeys it."""
    asked = json.loads(cli("approval", "request", "weekly-commits/1", "-o", "json")[1])["id"]
    assert cli("approval", "reject", asked, "--reason", FORGED)[0] == 0
    shown = cli("approval", "show", asked)[1]
    answers = [line for line in shown.splitlines() if line.startswith("answer")]
    assert len(answers) == 1 and "reject by" in answers[0]
    assert "\\nanswer     approve by release-board" in answers[0]
    late = cli("approval", "approve", asked, "--reason", "but now")[2]
    assert len(late.strip().splitlines()) == 4
    document = cli("approval", "show", asked, "-o", "json")[1]
    assert json.loads(document)["request"]["votes"][0]["reason"] == FORGED
    for said in (shown, late, document):
        assert not any(c in said for c in "\x1b\u202e\x9b")


def test_a_secret_that_is_not_set_leaves_no_half_of_a_decision(cli, monkeypatch):
    asked = json.loads(cli("approval", "request", "weekly-commits/1", "-o", "json")[1])["id"]
    monkeypatch.setenv("PLATFORM_CTL_NOTIFY__NTFY_URL", "http://127.0.0.1:1/topic")
    monkeypatch.setenv("PLATFORM_CTL_NOTIFY__NTFY_TOKEN", "env:NO_SUCH_TOKEN")
    code, _, err = cli("approval", "approve", asked, "--reason", "good")
    assert code == 2 and "NO_SUCH_TOKEN, which is not set" in err
    monkeypatch.delenv("PLATFORM_CTL_NOTIFY__NTFY_TOKEN")
    assert json.loads(cli("approval", "show", asked, "-o", "json")[1])["request"]["votes"] == []


def test_asking_about_what_stands_approved_says_how_to_release_it(cli, home):
    asked = json.loads(cli("approval", "request", "weekly-commits/1", "-o", "json")[1])["id"]
    yes = Vote("ada", Answer.APPROVE, "good", datetime.now(UTC).isoformat())
    targets.approvals(Settings(home=home)).vote(asked, yes)
    code, out, err = cli("approval", "request", "weekly-commits/1")
    assert code == 0 and f"{asked} for weekly-commits/1 is approved" in out
    assert "next: mlship deploy weekly-commits/1" in err


def test_verify_says_what_was_checked_and_leaves_with_one_when_something_is_wrong(cli, home):
    assert cli("model", "verify", "weekly-commits/1")[0] == 0
    registry = targets.registry(Settings(home=home))
    version = registry.models()[0].versions[0]
    file = registry.local_dir(version, "weights") / "model.json"
    content = file.read_text()
    file.write_text(content + " ")
    try:
        code, out, _ = cli("model", "verify", "weekly-commits/1")
    finally:
        file.write_text(content)
    assert code == 1 and "WRONG    weights, signature or predict code" in out


@pytest.fixture
def promoted(cli, tmp_path, monkeypatch):
    """A home of its own: version 1 in production, version 2 before it."""
    settings = Settings(home=str(tmp_path / "home"))
    registry = targets.registry(settings)
    for seed in (1, 2):
        model_dir, evaluation_dir = write_candidate(tmp_path / f"candidate-{seed}", seed=seed)
        register_model(
            registry,
            recipe=RECIPE,
            model_dir=model_dir,
            evaluation_dir=evaluation_dir,
            decision=PASSED,
            provenance={},
        )
    for moves in ({"production": "1"}, {"production": "2", "previous": "1", "staging": ""}):
        registry.move_aliases(RECIPE.model_name, moves, actor="promote", reason="canary successful")
    monkeypatch.setenv("PLATFORM_HOME", settings.home)
    return registry, MlflowClient(targets.mlflow_uri(settings))


def test_an_alias_moved_or_deleted_in_mlflow_is_reported_and_put_back(promoted, cli):
    registry, client = promoted
    name, before = RECIPE.model_name, registry.aliases(RECIPE.model_name)
    assert before == {"production": "2", "previous": "1"}

    def health() -> str:
        checks = json.loads(cli("doctor", "-o", "json")[1])
        return next(c["health"] for c in checks if c["name"] == "aliases")

    assert health() == "ok"
    for alias, to in [("production", "1"), ("previous", "2"), ("staging", "1"), ("production", "")]:
        if to:
            client.set_registered_model_alias(name, alias, to)
        else:
            client.delete_registered_model_alias(name, alias)
        assert f"{name}@{alias} is at {to or 'nothing'}" in cli("model", "show", name)[2]
        assert health() == "warn"
        said = cli("model", "restore", name, "--reason", "by mistake", "-o", "json")[1]
        assert json.loads(said) == [{"alias": alias, "to": before.get(alias, ""), "found_at": to}]
        assert registry.aliases(name) == before
        outside, back = registry.history()[-2:]
        assert (outside.actor, outside.to_version) == ("unknown", to)
        assert (back.reason, back.to_version) == ("by mistake", before.get(alias, ""))
    assert cli("model", "show", name)[2] == ""
    assert json.loads(cli("model", "restore", name, "--reason", "again", "-o", "json")[1]) == []


def test_putting_aliases_back_needs_a_reason_and_a_model(cli):
    assert cli("model", "restore", RECIPE.model_name)[0] == 2
    assert cli("model", "restore", RECIPE.model_name, "--reason", " ")[0] == 2
    assert cli("model", "restore", "nobody", "--reason", "x")[0] == 3


def test_a_pack_is_verified_without_a_home(promoted, cli, tmp_path, monkeypatch):
    registry, _ = promoted
    settings = Settings(home=str(tmp_path / "home"))
    version = registry.models()[0].versions[0]
    pack = targets.write_evidence(settings, version).rename(tmp_path / "pack.tar")
    shutil.copy(settings.layout.root / "evidence" / "weekly-commits-2.tar.sha256", f"{pack}.sha256")
    shutil.rmtree(settings.home)
    code, out, _ = cli("model", "verify", str(pack))
    assert code == 0 and "as it was registered" in out
    assert not settings.layout.root.exists()
    content = pack.read_bytes()
    at = content.index(b'"mase"')
    pack.write_bytes(content[:at] + b"?" + content[at + 1 :])
    code, out, _ = cli("model", "verify", str(pack))
    assert code == 1 and "evaluation/evaluation.json was altered" in out
    assert cli("model", "verify", str(tmp_path / "none.tar"))[0] == 2
