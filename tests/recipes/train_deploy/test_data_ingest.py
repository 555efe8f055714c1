"""Ingest on real, tiny git repositories."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from platform_ctl.errors import (
    ConfigError,
    DiskFull,
    HomeBusy,
    MissingProgram,
    MissingTable,
    NotARepository,
    ShallowClone,
    UsageError,
)
from platform_ctl.recipe import data_files
from recipes.common import iceberg
from recipes.train_deploy import tables
from recipes.train_deploy.git_history import inspect, normalise_url
from recipes.train_deploy.ingest import ingest_git
from tests.recipes.train_deploy.histories import (
    DAY_S,
    MONDAY_S,
    NOW,
    WEEK_S,
    Commit,
    add_commits,
    data_access,
    fetched,
    git,
    make_repo,
    read_table,
    snapshots,
    weekly_commits,
)

NOW_S = int(NOW.timestamp())


@pytest.fixture
def data(tmp_path):
    return data_access(tmp_path / "home")


def test_first_ingest_is_a_backfill_and_names_nobody(data, tmp_path):
    clone = make_repo(tmp_path / "app", weekly_commits(3), origin="git@github.com:o/app.git")
    report = ingest_git(data, [clone], NOW)
    rows = read_table(data)
    assert report.new_rows == rows.num_rows == 6
    assert set(rows["repo"].to_pylist()) == {"github.com/o/app"}
    assert rows["available_at"].to_pylist() == rows["committed_at"].to_pylist()
    assert set(rows["backfill"].to_pylist()) == {True}
    assert all("@" not in a and len(a) == 32 for a in rows["author"].to_pylist())
    assert len(set(rows["author"].to_pylist())) == 2
    assert stat.S_IMODE(data.pseudonym_key_file.stat().st_mode) == 0o600
    assert rows["files_changed"].to_pylist() == [1] * 6
    assert sum(rows["insertions"].to_pylist()) == 18


def test_a_key_of_the_environment_names_authors_the_same_in_each_pod(tmp_path):
    clone = make_repo(tmp_path / "app", weekly_commits(3))

    def authors(folder, **changed):
        pod = replace(data_access(tmp_path / folder), **changed)
        ingest_git(pod, [clone], NOW)
        return set(read_table(pod)["author"].to_pylist())

    shared = {"pseudonym_key_file": None, "pseudonym_key": "of-the-secret"}
    assert authors("first", **shared) == authors("second", **shared)
    with pytest.raises(ConfigError, match="no key for the pseudonyms") as refused:
        authors("third", pseudonym_key_file=None)
    assert "PLATFORM_PSEUDONYM_KEY" in refused.value.where
    assert not (tmp_path / "third").exists()


@pytest.mark.parametrize("planted", ["link", "dangling link", "empty"])
def test_a_key_that_is_not_ours_alone_is_refused(data, tmp_path, planted):
    clone, key_file = make_repo(tmp_path / "app", weekly_commits(3)), data.pseudonym_key_file
    key_file.parent.mkdir(parents=True)
    known = tmp_path / "known"
    if planted == "link":
        known.write_text("known to somebody else")
    if planted == "empty":
        key_file.touch()
    else:
        key_file.symlink_to(known)
    with pytest.raises(ConfigError, match="key for the pseudonyms") as refused:
        ingest_git(data, [clone], NOW)
    assert str(key_file) in refused.value.fix
    assert known.exists() == (planted == "link")


def test_what_a_killed_ingest_wrote_is_deleted_by_the_next(data, tmp_path):
    clone = make_repo(tmp_path / "app", weekly_commits(3))
    ingest_git(data, [clone], NOW)
    (file, *_) = (tmp_path / "home").rglob("*.parquet")
    dead = file.with_name("00000-0-dead.parquet")
    dead.write_bytes(file.read_bytes())
    add_commits(clone, [Commit(MONDAY_S + 4 * WEEK_S)])
    assert ingest_git(data, [clone], NOW + timedelta(days=1)).new_rows == 1
    assert file.exists() and not dead.exists()
    assert len(read_table(data)) == 7


def test_every_data_file_has_a_digest(data, tmp_path):
    ingest_git(data, [make_repo(tmp_path / "app", weekly_commits(3))], NOW)
    (metadata,) = (tmp_path / "home").rglob("metadata")
    names = {p.name for p in (tmp_path / "home").rglob("*.parquet")}
    assert data_files.recorded(metadata).keys() == names


def test_ingesting_twice_changes_nothing(data, tmp_path):
    clone = make_repo(tmp_path / "app", weekly_commits(3))
    first = ingest_git(data, [clone], NOW)
    again = ingest_git(data, [clone], NOW + timedelta(days=1))
    assert first.snapshot_id is not None
    assert again.snapshot_id is None
    assert again.new_rows == 0
    assert snapshots(data) == 1


def test_later_commits_are_available_when_they_were_ingested(data, tmp_path):
    clone = make_repo(tmp_path / "app", weekly_commits(3))
    ingest_git(data, [clone], NOW)
    add_commits(clone, [Commit(MONDAY_S + 4 * WEEK_S)])
    later = NOW + timedelta(days=1)
    report = ingest_git(data, [clone], later)
    rows = [r for r in read_table(data).to_pylist() if not r["backfill"]]
    assert report.new_rows == len(rows) == 1
    assert rows[0]["available_at"] == later
    assert snapshots(data) == 2


def test_overlapping_clones_of_one_repository_never_duplicate(data, tmp_path):
    one = make_repo(tmp_path / "one", weekly_commits(3), origin="https://u:p@example.org/o/app.git")
    git(tmp_path, "clone", "--quiet", str(one), "two")
    git(tmp_path / "two", "remote", "set-url", "origin", "ssh://git@example.org/o/app")
    add_commits(one, [Commit(MONDAY_S + 5 * WEEK_S)])
    report = ingest_git(data, [tmp_path / "two", one, one], NOW)
    hashes = read_table(data)["hash"].to_pylist()
    assert len(hashes) == len(set(hashes)) == 7
    assert [r.name for r in report.parts] == ["example.org/o/app"]
    assert report.parts[0].known_rows == 6


def test_one_bad_path_and_nothing_is_written(data, tmp_path):
    good = make_repo(tmp_path / "good", weekly_commits(2))
    (tmp_path / "plain").mkdir()
    with pytest.raises(NotARepository):
        ingest_git(data, [good, tmp_path / "plain"], NOW)
    with pytest.raises(NotARepository, match="does not exist"):
        ingest_git(data, [good, tmp_path / "nowhere"], NOW)
    with pytest.raises(MissingTable):
        read_table(data)
    with pytest.raises(UsageError):
        ingest_git(data, [], NOW)


def test_folder_inside_a_repository_is_not_one(data, tmp_path):
    clone = make_repo(tmp_path / "app", weekly_commits(1))
    (clone / "src").mkdir()
    with pytest.raises(NotARepository, match="inside the repository") as caught:
        ingest_git(data, [clone / "src"], NOW)
    assert str(clone) in caught.value.fix


def test_folder_with_clones_in_it_names_them(data, tmp_path):
    clones = [make_repo(tmp_path / "src" / name, weekly_commits(1)) for name in ("app", "lib")]
    (tmp_path / "src" / "notes").mkdir()
    with pytest.raises(NotARepository, match="2 git repositories in it") as caught:
        ingest_git(data, [tmp_path / "src"], NOW)
    assert caught.value.fix.endswith(f"--git {clones[0]} {clones[1]}")
    with pytest.raises(NotARepository, match=r"notes is not a git repository$"):
        ingest_git(data, [tmp_path / "src" / "notes"], NOW)


def test_shallow_clone_is_refused_with_the_command_that_helps(data, tmp_path):
    full = make_repo(tmp_path / "full", weekly_commits(3))
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{full}", "shallow")
    with pytest.raises(ShallowClone) as caught:
        ingest_git(data, [tmp_path / "shallow"], NOW)
    assert caught.value.fix.endswith("fetch --unshallow")


def test_bare_and_empty_repositories(data, tmp_path):
    bare = make_repo(tmp_path / "bare.git", weekly_commits(2), bare=True)
    empty = make_repo(tmp_path / "empty", [])
    report = {r.name: r for r in ingest_git(data, [bare, empty], NOW).parts}
    assert report["bare"].new_rows == 4
    assert report["empty"].new_rows == 0
    assert report["empty"].observed_until is None, "nothing was seen, not 1970"
    assert "no commit at HEAD" in report["empty"].notes[0]
    add_commits(empty, weekly_commits(1))
    later = ingest_git(data, [empty], NOW)
    assert later.parts[0].backfill, "an empty repository was not ingested yet"


def test_missing_git(data, tmp_path, monkeypatch):
    clone = make_repo(tmp_path / "app", weekly_commits(1))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingProgram):
        ingest_git(data, [clone], NOW)


def test_odd_dates_are_left_out_and_counted_and_future_ones_come_later(data, tmp_path):
    now_s = int(NOW.timestamp())
    clone = make_repo(
        tmp_path / "app",
        [Commit(0), Commit(MONDAY_S), Commit(now_s + DAY_S), Commit(MONDAY_S + DAY_S)],
    )
    report = ingest_git(data, [clone], NOW)
    assert report.new_rows == 2
    assert sorted(report.parts[0].notes) == [
        "1 commits dated before 1970-01-05 (or undated) left out",
        "1 commits dated in the future left out for now",
    ]
    assert report.parts[0].observed_until <= NOW
    later = NOW + timedelta(days=2)
    assert ingest_git(data, [clone], later).new_rows == 1
    assert ingest_git(data, [clone], later).snapshot_id is None


def test_odd_encodings_and_empty_mails(data, tmp_path):
    mails = [b"\xe9milie@ex\xffample.org", b"", "ünï@example.org".encode()]
    clone = make_repo(
        tmp_path / "app",
        [Commit(MONDAY_S + i, mail, b"caf\xe9 \xff") for i, mail in enumerate(mails)],
    )
    assert ingest_git(data, [clone], NOW).new_rows == 3
    assert len(set(read_table(data)["author"].to_pylist())) == 3


def test_folder_names_that_are_no_utf8(data, tmp_path):
    clone = make_repo(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")), weekly_commits(1))
    report = ingest_git(data, [clone], NOW)
    assert report.parts[0].name == "caf\ufffd"
    report.parts[0].path.encode("utf-8")


def test_merges_cost_nothing(data, tmp_path):
    clone = make_repo(tmp_path / "app", weekly_commits(2))
    git(clone, "reset", "--hard", "--quiet")
    git(clone, "checkout", "--quiet", "-b", "side", "HEAD~2")
    (clone / "big.txt").write_text("line\n" * 500)
    git(clone, "add", "-A")
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    git(clone, *who, "commit", "--quiet", "-m", "big")
    git(clone, *who, "merge", "--quiet", "-m", "merge", "main")
    ingest_git(data, [clone], NOW)
    rows = read_table(data).sort_by([("files_changed", "ascending")]).to_pylist()
    assert rows[0]["files_changed"] == rows[0]["insertions"] == 0
    assert max(r["insertions"] for r in rows) == 500


def test_rewritten_history_is_said(data, tmp_path):
    clone = make_repo(tmp_path / "app", weekly_commits(3), origin="https://example.org/app")
    ingest_git(data, [clone], NOW)
    add_commits(clone, [Commit(MONDAY_S + 9 * WEEK_S, message=b"anew")], restart=True)
    report = ingest_git(data, [clone], NOW)
    assert report.new_rows == 1
    assert any("data remove example.org/app" in note for note in report.parts[0].notes)
    assert read_table(data).num_rows == 7


def test_strangers_of_one_name_are_refused(data, tmp_path):
    one = make_repo(tmp_path / "a" / "app", weekly_commits(2))
    other = make_repo(tmp_path / "b" / "app", [Commit(MONDAY_S, message=b"else")])
    with pytest.raises(NotARepository, match="no commit in common"):
        ingest_git(data, [one, other], NOW)
    ingest_git(data, [one], NOW)
    with pytest.raises(NotARepository, match="no commit in common"):
        ingest_git(data, [other], NOW)
    assert read_table(data).num_rows == 4


def test_clone_without_file_contents_has_no_line_counts(data, tmp_path):
    full = make_repo(tmp_path / "full", weekly_commits(3))
    git(full, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "--quiet", "--bare", "--filter=blob:none", f"file://{full}", "part.git")
    report = ingest_git(data, [tmp_path / "part.git"], NOW)
    assert report.new_rows == 6
    assert any("no line counts" in note for note in report.parts[0].notes)
    rows = read_table(data)
    assert set(rows["files_changed"].to_pylist()) == {1}
    assert set(rows["insertions"].to_pylist()) == {0}


def test_a_clones_configuration_runs_nothing(data, tmp_path, monkeypatch):
    clone = make_repo(tmp_path / "app", weekly_commits(2))
    trap = tmp_path / "trap"
    script = tmp_path / "trap.sh"
    script.write_text(f"#!/bin/sh\ntouch {trap}\ncat\n")
    script.chmod(0o755)
    for key in ("core.pager", "core.fsmonitor", "diff.external", "diff.x.textconv", "gpg.program"):
        git(clone, "config", key, str(script))
    git(clone, "config", "diff.x.command", str(script))
    git(clone, "config", "log.showSignature", "true")
    (clone / ".git" / "info" / "attributes").write_text("* diff=x\n")
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(script))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert ingest_git(data, [clone], NOW).new_rows == 4
    assert not trap.exists()


def test_two_ingests_at_once_wait_for_each_other(data, tmp_path, monkeypatch):
    clone = make_repo(tmp_path / "app", weekly_commits(1))
    monkeypatch.setattr(iceberg, "LOCK_TIMEOUT_S", 0.1)
    with tables.exclusive(data, "data"), pytest.raises(HomeBusy):
        ingest_git(data, [clone], NOW)
    assert ingest_git(data, [clone], NOW).new_rows == 2


def test_full_disk_is_told_apart():
    with pytest.raises(DiskFull), iceberg.disk_errors():
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(PermissionError), iceberg.disk_errors():
        raise PermissionError(errno.EACCES, "denied")


def test_a_clone_vouches_only_up_to_its_last_fetch(tmp_path):
    now_s = int(NOW.timestamp())
    bare = make_repo(tmp_path / "mirror.git", [Commit(MONDAY_S)], bare=True)
    assert inspect(bare, now_s).observed_until == MONDAY_S, "newest commit"
    at = MONDAY_S + 40 * DAY_S
    fetched(bare, at)
    assert inspect(bare, now_s).observed_until == at
    fetched(bare, now_s + 99)
    assert inspect(bare, now_s).observed_until == MONDAY_S, "a time to come proves nothing"


def remote_clone(tmp_path: Path) -> Path:
    """Ten weeks of an origin, cloned at the end of the sixth, which is also what HEAD is."""
    clone = make_repo(tmp_path / "app", weekly_commits(6), origin="https://example.org/app")
    log_entry(clone, "refs/remotes/origin/main", MONDAY_S + 6 * WEEK_S, "fetch: fast-forward")
    git(clone, "update-ref", "--no-deref", "refs/remotes/origin/main", "HEAD")
    git(clone, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")
    return clone


def log_entry(clone: Path, ref: str, at: int, what: str, commit: str = "") -> None:
    log = clone / ".git" / "logs" / ref
    log.parent.mkdir(parents=True, exist_ok=True)
    head = commit or git(clone, "rev-parse", "HEAD")
    with log.open("a") as handle:
        handle.write(f"{'0' * 40} {head} x <x@example.org> {at} +0000\t{what}\n")


def later_on_origin(clone: Path, weeks: int) -> str:
    """Commits of more weeks that the remote branch has and HEAD has not."""
    before = git(clone, "rev-parse", "HEAD")
    add_commits(clone, weekly_commits(weeks, start=MONDAY_S + 6 * WEEK_S))
    newest = git(clone, "rev-parse", "HEAD")
    git(clone, "update-ref", "--no-deref", "refs/remotes/origin/main", newest)
    git(clone, "update-ref", "refs/heads/main", before)
    return newest


def test_local_work_is_no_look_at_the_origin(tmp_path):
    clone = remote_clone(tmp_path)
    log_entry(clone, "HEAD", MONDAY_S + 30 * WEEK_S, "commit: mine")
    assert inspect(clone, NOW_S).observed_until == MONDAY_S + 6 * WEEK_S


def test_a_fetch_that_is_not_merged_says_nothing_of_the_time_since(tmp_path):
    clone = remote_clone(tmp_path)
    newest = later_on_origin(clone, 4)
    at = MONDAY_S + 30 * WEEK_S
    log_entry(clone, "refs/remotes/origin/main", at, "fetch: fast-forward", newest)
    fetched(clone, at, newest)
    seen = inspect(clone, NOW_S)
    assert seen.observed_until == MONDAY_S + 6 * WEEK_S
    assert "HEAD lacks 8 commits that were fetched" in seen.notes[0]
    git(clone, "update-ref", "refs/heads/main", newest)
    merged = inspect(clone, NOW_S)
    assert (merged.observed_until, merged.notes) == (at, ())


def test_a_failed_fetch_is_no_look(tmp_path):
    """git empties FETCH_HEAD before it asks, and its time is that of the failure."""
    clone = remote_clone(tmp_path)
    (clone / ".git" / "FETCH_HEAD").write_text("")
    os.utime(clone / ".git" / "FETCH_HEAD", (MONDAY_S + 30 * WEEK_S,) * 2)
    assert inspect(clone, NOW_S).observed_until == MONDAY_S + 6 * WEEK_S


def test_a_fetch_of_another_branch_is_no_look(tmp_path):
    clone = remote_clone(tmp_path)
    fetched(clone, MONDAY_S + 30 * WEEK_S, branch="topic")
    assert inspect(clone, NOW_S).observed_until == MONDAY_S + 6 * WEEK_S


def test_a_detached_head_at_an_older_commit_says_nothing_of_the_time_since(data, tmp_path):
    clone = remote_clone(tmp_path)
    ingest_git(data, [clone], NOW)
    (clone / ".git" / "HEAD").write_text(git(clone, "rev-parse", "HEAD~4") + "\n")
    seen = inspect(clone, NOW_S)
    assert seen.observed_until < MONDAY_S + 6 * WEEK_S
    report = ingest_git(data, [clone], NOW)
    notes = " ".join(report.parts[0].notes)
    assert "older commit than the last ingest read" in notes and "rewritten" not in notes
    assert report.new_rows == 0


def test_a_copied_clone_is_as_old_as_what_it_was_copied_from(tmp_path):
    clone = remote_clone(tmp_path)
    fetched(clone, MONDAY_S + 30 * WEEK_S)
    os.utime(clone / ".git" / "description", (MONDAY_S + 30 * WEEK_S,) * 2)
    assert inspect(clone, NOW_S).observed_until == MONDAY_S + 6 * WEEK_S


def test_a_clone_of_a_mirror_that_stopped_vouches_as_far_as_the_mirror(tmp_path):
    mirror = make_repo(
        tmp_path / "mirror.git", weekly_commits(6), origin="https://example.org/app", bare=True
    )
    stopped = MONDAY_S + 6 * WEEK_S
    fetched(mirror, stopped)
    git(tmp_path, "clone", "--quiet", str(mirror), "app")
    seen = inspect(tmp_path / "app", NOW_S)
    assert seen.observed_until == stopped
    assert "its origin is a mirror that was itself brought up to date" in seen.notes[0]
    git(mirror, "remote", "remove", "origin")
    assert inspect(tmp_path / "app", NOW_S).observed_until > stopped, "it is the origin itself"


def test_attributes_and_encodings_of_a_clone_change_no_figure(data, tmp_path):
    plain = make_repo(tmp_path / "plain.git", weekly_commits(4), bare=True)
    odd = make_repo(tmp_path / "odd", weekly_commits(4))
    (odd / ".gitattributes").write_text("* -diff\n")
    (odd / ".git" / "info").mkdir(exist_ok=True)
    (odd / ".git" / "info" / "attributes").write_text("* -diff\n")
    for key in ("i18n.logOutputEncoding", "i18n.commitEncoding"):
        git(odd, "config", key, "UTF-16LE")
    report = ingest_git(data, [plain, odd], NOW)
    assert [p.new_rows for p in report.parts] == [8, 8]
    table = read_table(data)
    lines = [
        sorted(
            r
            for r, k in zip(table["insertions"].to_pylist(), table["repo"].to_pylist(), strict=True)
            if k == name
        )
        for name in ("plain", "odd")
    ]
    assert lines[0] == lines[1] and sum(lines[0]) > 0


def test_the_first_days_of_1970_are_left_out_and_said(data, tmp_path):
    clone = make_repo(tmp_path / "app", [Commit(3 * DAY_S), Commit(4 * DAY_S), Commit(MONDAY_S)])
    report = ingest_git(data, [clone], NOW)
    assert report.new_rows == 2
    assert any("1 commits dated before 1970-01-05" in note for note in report.parts[0].notes)


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/Owner/app.git",
        "https://user:token@github.com/Owner/app/",
        "git@github.com:Owner/app.git",
        "ssh://git@GitHub.com:22/Owner/app.git",
        "git://github.com/Owner//app",
    ],
)
def test_one_key_for_every_spelling_of_an_origin(url):
    assert normalise_url(url) == "github.com/Owner/app"


def test_an_alias_of_a_host_is_the_host(data, tmp_path, monkeypatch):
    """``git help config``, url.<base>.insteadOf: in the configuration of the person."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".gitconfig").write_text(
        '[url "https://github.com/"]\n\tinsteadOf = gh:\n'
        '[url "https://mirror.example.org/"]\n\tinsteadOf = https://github.com/\n'
    )
    one = make_repo(tmp_path / "one", weekly_commits(3), origin="gh:Org/app")
    two = make_repo(tmp_path / "two", weekly_commits(3), origin="git@github.com:Org/app.git")
    three = make_repo(tmp_path / "three", weekly_commits(3), origin="https://github.com/Org/app")
    report = ingest_git(data, [one, two, three], NOW)
    assert [(p.name, p.new_rows) for p in report.parts] == [("github.com/Org/app", 6)]


def test_an_alias_that_nobody_explains_stays_as_it_is(data, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    clone = make_repo(tmp_path / "one", weekly_commits(1), origin="gh:Org/app")
    assert inspect(clone, NOW_S).repo == "gh/Org/app"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a clone to somebody else")
def test_somebody_else_s_clone_behind_a_link_is_read(data, tmp_path):
    clone = make_repo(tmp_path / "foreign", weekly_commits(2))
    for path in [clone, *clone.rglob("*")]:
        os.lchown(path, 1234, 1234)
    (tmp_path / "linked").symlink_to(clone)
    assert ingest_git(data, [tmp_path / "linked"], NOW).new_rows == 4


def test_other_origins():
    assert normalise_url("ssh://git@host:2222/app.git") == "host:2222/app"
    assert normalise_url("/srv/git/app.git") == "srv/git/app"
    assert normalise_url("file:///srv/git/app.git") == "srv/git/app"
    assert "token" not in normalise_url("https://host/app?private_token=token")
    assert Path(normalise_url("host:~/app.git")).name == "app"


def test_one_repository_under_two_capitalisations_is_one(data, tmp_path):
    one = make_repo(tmp_path / "one", weekly_commits(3), origin="https://github.com/Org/app")
    two = make_repo(tmp_path / "two", weekly_commits(3), origin="git@github.com:org/App.git")
    assert ingest_git(data, [one], NOW).new_rows == 6
    report = ingest_git(data, [two], NOW)
    assert [(p.name, p.new_rows) for p in report.parts] == [("github.com/Org/app", 0)]
    own = make_repo(tmp_path / "own", weekly_commits(2), origin="https://git.example.org/org/App")
    other = make_repo(
        tmp_path / "other", weekly_commits(2), origin="https://git.example.org/org/app"
    )
    assert len(ingest_git(data, [own, other], NOW).parts) == 2
