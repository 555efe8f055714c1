"""Names, tags and decisions of an upload."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from platform_ctl.upload import marks, plan
from platform_ctl.upload.plan import NameUse, UploadAction
from platform_ctl.upload.port import UploadedVersion
from tests.support.uploads import EPOCH, IMAGE, OTHER_IMAGE, Line, commit, made

A, B, C = commit("a"), commit("b", EPOCH + 30), commit("c", EPOCH + 60)


def version(source, at_s: int, *, name: str = "", **words) -> UploadedVersion:
    told = made(source, **words).marks
    return UploadedVersion(
        f"{source.commit[:1]}{at_s}", name or told.name, at_s, told.description()
    )


def foreign(at_s: int) -> UploadedVersion:
    return UploadedVersion(f"x{at_s}", "by hand", at_s, "from the page")


def test_a_version_is_named_after_the_time_of_its_commit():
    at = datetime.fromisoformat("2026-02-13T15:30:22+01:00")
    told = marks.Marks("0123456789" * 4, at, "1" * 64, "2" * 64, "2.17.0")
    assert (told.name, told.suffixed_name) == ("v20260213-143022", "v20260213-143022-0123456")


def test_tags_fit_kfp_and_the_description_holds_all_of_it():
    url = "https://forge.example/" + "x" * 200
    told = marks.Marks("c" * 40, datetime(2026, 2, 13, tzinfo=UTC), "1" * 64, "2" * 64, "2", url)
    assert all(len(k) <= 63 and "." not in k for k in told.tags())
    assert all(len(v) <= 63 for v in told.tags().values())
    assert told.tags()["ir-sha256"] == "1" * 40
    assert marks.read(told.description()) == told


@pytest.mark.parametrize(
    "text", ["", "by hand", marks.MARK, f"{marks.MARK}\ngit: a\ncommitted-at: yesterday"]
)
def test_a_description_that_is_not_ours_has_no_marks(text):
    assert marks.read(text) is None


@pytest.mark.parametrize(
    ("versions", "action"),
    [
        ([], UploadAction.UPLOAD),
        ([version(B, 5)], UploadAction.UNCHANGED),
        ([version(A, 5)], UploadAction.UNCHANGED),
        ([version(A, 5, text="two")], UploadAction.UPLOAD),
        ([version(A, 5, image="", sdk="kfp-2.17.1")], UploadAction.UNCHANGED),
        ([version(C, 5)], UploadAction.SUPERSEDED),
        ([version(C, 5, text="two")], UploadAction.SUPERSEDED),
        ([foreign(6), version(B, 5)], UploadAction.UPLOAD),
        ([version(A, 6, text="two"), version(B, 6)], UploadAction.REPLACE),
        ([version(A, 6), version(B, 6)], UploadAction.UNCHANGED),
    ],
)
def test_decision(versions, action):
    assert plan.decide(made(B).marks, versions, Line(A, B, C)).action is action


def test_a_revert_is_a_new_version():
    history, listed = Line(A, B, C), [version(B, 6, text="two"), version(A, 5)]
    assert plan.decide(made(C).marks, listed, history).action is UploadAction.UPLOAD


def test_another_image_is_a_new_version():
    mine = made(B, image=OTHER_IMAGE, committed_image="python-recipe:1").marks
    theirs = made(A, image=IMAGE, committed_image="python-recipe:1").marks
    listed = [UploadedVersion("1", theirs.name, 5, theirs.description())]
    assert mine.ir == theirs.ir
    assert plan.decide(mine, listed, Line(A, B)).action is UploadAction.UPLOAD


@pytest.mark.parametrize(
    ("later", "action"), [(C, UploadAction.SUPERSEDED), (A, UploadAction.UPLOAD)]
)
def test_a_commit_the_clone_lacks_counts_by_its_time(later, action):
    listed = [version(later, 5, text="two")]
    assert plan.decide(made(B).marks, listed, Line(A, B, C, unknown=(later,))).action is action


def test_only_the_newest_version_of_an_unknown_commit_counts():
    listed = [version(A, 6, text="two"), version(C, 5, text="three")]
    history = Line(A, B, C, unknown=(C,))
    assert plan.decide(made(B).marks, listed, history).action is UploadAction.UPLOAD


def test_versions_out_of_order_are_those_of_older_commits_after_newer_ones():
    late, newer, first = version(A, 7), version(B, 6), version(A, 5, name="v0")
    assert plan.out_of_order([late, newer, first], Line(A, B)) == [late]
    assert plan.out_of_order([foreign(7), newer, first], Line(A, B)) == []
    assert plan.out_of_order([late, newer], Line(A, B, unknown=(B,))) == []


def test_uses_of_a_name():
    mine = made(B).marks
    assert plan.name_use(mine, "v1", []) is NameUse.FREE
    assert plan.name_use(mine, "by hand", [foreign(1)]) is NameUse.OTHER
    assert plan.name_use(mine, "v1", [version(A, 1, name="v1")]) is NameUse.OTHER
    assert plan.name_use(mine, "v1", [version(B, 1, name="v1")]) is NameUse.SAME
    assert plan.name_use(mine, "v1", [version(B, 1, name="v1", text="x")]) is NameUse.CONFLICT


@pytest.mark.parametrize(("now_s", "seconds"), [(0, 0), (6, 0), (5, 1), (4, 2), (1, 2)])
def test_a_version_waits_for_a_second_of_its_own(now_s, seconds):
    assert plan.wait_s(version(A, 5), now_s) == seconds
