"""What is refused before the first write, and what equality of IR means."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from platform_ctl.errors import NotARepository, UnsupportedInPipeline, UploadRefused
from platform_ctl.ir import images, meaning
from platform_ctl.upload import preflight
from platform_ctl.upload.candidate import candidate
from platform_ctl.upload.checkout import Checkout
from tests.support.uploads import IMAGE, Clone, commit, ir, made

A = commit("a")


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        ({"name": "Upper"}, UploadRefused, "'Upper'"),
        ({"name": "a" * 129}, UploadRefused, "1 to 128"),
        ({"cachingOptions": {"enableCache": True, "cacheKey": "k"}}, UnsupportedInPipeline, "say"),
        ({"committed_image": "busybox", "image": ""}, UploadRefused, "busybox has no digest"),
        ({"text": "x" * (33 << 20)}, UploadRefused, "largest component is exec-say"),
    ],
    ids=["name", "long", "cache_key", "tag", "size"],
)
def test_refused(words, error, said):
    with pytest.raises(error) as caught:
        preflight.check_all([made(A, **words)], allow_image_tags=False)
    assert said in caught.value.what


def test_the_longest_name_and_an_allowed_tag_pass():
    preflight.check_all([made(A, name="a" * 128)], allow_image_tags=False)
    preflight.check_all([made(A, image="", committed_image="busybox:1")], allow_image_tags=True)


def test_what_uploads_and_may_not_run_is_a_warning():
    assert preflight.warnings(made(A)) == []
    (told,) = preflight.warnings(made(A, text="x" * 800_000))
    assert "may not run" in told and "exec-say" in told


@pytest.mark.parametrize(
    ("text", "version"),
    [("kfp==2.17.0\n", "2.17.0"), ("kfp-server-api==2.17.3\n", ""), ("kfp==2.17.0 ; x", "2.17.0")],
)
def test_the_pinned_kfp(text, version):
    assert preflight.pinned_kfp(text) == version


def test_the_image_of_the_settings_stands_for_the_one_without_digest():
    two = meaning.documents(ir(image="one:1"))
    two[0]["deploymentSpec"]["executors"]["other"] = {"container": {"image": IMAGE}}
    replaced = images.with_image(two, "new@sha256:" + "c" * 64)
    assert images.images(replaced) == ["new@sha256:" + "c" * 64, IMAGE]
    assert images.images(two) == ["one:1", IMAGE]
    two[0]["deploymentSpec"]["executors"]["third"] = {"container": {"image": "two:1"}}
    with pytest.raises(UploadRefused, match="one:1, two:1"):
        images.with_image(two, IMAGE)


@pytest.mark.parametrize("image", ["a", "a:1", "a@sha256:12", f"a@sha256:{'g' * 64}", "@sha256:"])
def test_names_without_a_digest(image):
    assert not images.has_digest(image)


def test_equality_leaves_out_comments_order_and_the_sdk():
    one = ir()
    assert meaning.same(one, b"# PIPELINE DEFINITION\n" + one)
    assert meaning.same(one, ir(sdk="kfp-2.17.9"))
    assert not meaning.same(one, ir(text="two"))
    assert not meaning.same(one, one + b"---\nplatforms: {kubernetes: {}}\n")
    assert meaning.same(meaning.text(meaning.documents(one)), one)


def test_the_content_holds_the_image_and_the_digest_of_the_ir_does_not():
    told = candidate(ir(image="one:1"), Path("x.yaml"), A, image=IMAGE)
    assert IMAGE.encode() in told.content
    assert told.marks.image == "a" * 64
    assert told.marks.ir == candidate(ir(image="one:1"), Path("x.yaml"), A).marks.ir


def test_facts_of_a_clone(tmp_path):
    clone = Clone(tmp_path / "clone")
    first = clone.commit("2026-02-13T15:30:22+01:00")
    clone.write("flows/a.py", "1\n")
    second = clone.commit("2026-02-13T15:31:00+01:00")
    clone.write("README.md", "words\n")
    third = clone.commit("2026-02-13T15:32:00+01:00")
    told = Checkout(clone.root)
    assert told.commit == third
    assert told.committed_at == datetime(2026, 2, 13, 14, 32, tzinfo=UTC)
    assert told.is_ancestor(first, third) is True
    assert told.is_ancestor(third, first) is False
    assert told.is_ancestor(third, third) is False
    assert told.is_ancestor("f" * 40, third) is None
    assert (told.same_sources(second), told.same_sources(first)) == (True, False)
    assert told.clean and not told.shallow
    assert told.committed_bytes(clone.root / "flows/a.py") == b"1\n"
    assert told.committed_bytes(clone.root / "flows/b.py") is None
    clone.write("flows/new.py", "")
    assert not Checkout(clone.root).clean


def test_a_project_in_a_folder_of_its_clone(tmp_path):
    clone = Clone(tmp_path / "clone")
    clone.write("project/flows/a.yaml", "x: 1\n")
    clone.commit()
    told = Checkout(clone.root / "project")
    assert told.committed_bytes(clone.root / "project/flows/a.yaml") == b"x: 1\n"


def test_no_clone(tmp_path):
    with pytest.raises(NotARepository):
        _ = Checkout(tmp_path).commit
