"""``run why``, ``run diff``, ``model why`` and ``pipeline impact`` as typed by a user."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from platform_ctl.cli.app import main
from platform_ctl.runs.record import Run
from tests.support import small_train
from tests.support.small_project import Project, step_function

LINKS = ["data", "snapshot", "features", "step", "cache", "gate", "registration", "alias",
         "approval", "release", "service", "lineage"]  # fmt: skip


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


Type = Callable[..., Said]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, Run, Run]]:
    """A project that ran twice, with an edit between."""
    project = Project(tmp_path_factory.mktemp("explaining") / "project")
    project.root.mkdir()
    small_train.write_project(project.root)
    small_train.install_shopmath(project.site, "1.0")
    project.compile()
    path = [str(project.root), str(project.site)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([*path, os.environ.get("PYTHONPATH", "")]))
        for entry in path:
            patch.syspath_prepend(entry)
        patch.setenv("PLATFORM_HOME", str(project.home))
        patch.chdir(project.root)
        first = project.run()
        step_function(project)
        yield project, first, project.run()
    for name in [m for m in sys.modules if m.partition(".")[0] == small_train.PACKAGE]:
        del sys.modules[name]


@pytest.fixture
def type_(story: object, capsys: pytest.CaptureFixture[str]) -> Type:
    def call(*words: str) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(list(words))
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return Said(int(left.value.code or 0), said.out, said.err)

    return call


@pytest.fixture
def empty(type_: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Type:
    """The same project with a home in which nothing has happened."""
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path / "nothing"))
    return type_


# ---- run why --------------------------------------------------------------------


def test_run_why_names_every_link_and_says_what_is_broken(type_: Type) -> None:
    said = type_("run", "why")
    lines = said.out.splitlines()
    assert said.err == "" and lines[0].startswith("run ") and lines[0].endswith("(small-train)")
    assert [line[14:27].strip() for line in lines[1:13]] == LINKS
    assert said.code == (1 if "first broken link" in said.out else 0)


def test_run_why_in_json_has_the_same_links(type_: Type) -> None:
    said = type_("run", "why", "latest", "-o", "json")
    assert [link["name"] for link in said.json["links"]] == LINKS
    assert {link["state"] for link in said.json["links"]} <= {"ok", "waiting", "broken",
                                                             "not reached"}  # fmt: skip
    assert (said.code == 1) is (said.json["broken"] is not None)


def test_a_run_is_found_by_its_id_and_by_a_prefix(
    type_: Type, story: tuple[Project, Run, Run]
) -> None:
    _, first, _ = story
    by_id, by_prefix = (type_("run", "why", word) for word in (first.id, first.id[:8]))
    assert by_id.out == by_prefix.out and first.id[:8] in by_id.out


# ---- run diff -------------------------------------------------------------------


def test_run_diff_names_the_function_first(type_: Type, story: tuple[Project, Run, Run]) -> None:
    _, first, second = story
    said = type_("run", "diff")
    assert said.code == 0 and said.err == ""
    assert said.out.startswith(f"from {first.id[:8]} (")
    assert "likeliest cause: code small_recipes.shop.features:extract: " in said.out
    assert type_("run", "diff", first.id[:8], second.id[:8]).out == said.out


def test_run_diff_in_json(type_: Type) -> None:
    found = type_("run", "diff", "latest", "-o", "json").json
    assert {"kind", "what", "old", "new", "tasks", "detail"} == set(found[0])
    assert (found[0]["kind"], found[0]["tasks"]) == ("code", ["extract"])
    assert "artifact" in {d["kind"] for d in found}


def test_run_diff_of_a_run_with_itself_blames_nothing(
    type_: Type, story: tuple[Project, Run, Run]
) -> None:
    _, first, _ = story
    said = type_("run", "diff", first.id, first.id)
    assert said.code == 0 and "the remaining differences are noise" in said.out
    assert type_("run", "diff", first.id, first.id, "-o", "json").json == []


def test_the_first_run_has_nothing_before_it(type_: Type, story: tuple[Project, Run, Run]) -> None:
    _, first, _ = story
    said = type_("run", "diff", first.id)
    assert said.code == 2 and "is the first of small-train (err-unknown-name)" in said.err


# ---- pipeline impact ------------------------------------------------------------


def test_impact_in_words(type_: Type, story: tuple[Project, Run, Run]) -> None:
    said = type_("pipeline", "impact", "small-train", "-p", "trials=3")
    assert said.code == 0 and said.err == ""
    assert "parameters.trials: 2 -> 3" in said.out
    assert "a hit if nothing changes in search.rate" in said.out
    assert f"compared with run {story[2].id[:8]}, " in said.out
    assert [line.split()[0] for line in said.out.splitlines()[-3:]] == ["at", "at", "saved"]


def test_impact_in_json_has_units_in_its_names(type_: Type) -> None:
    found = type_("pipeline", "impact", small_train.COMPILED, "-p", "trials=3", "-o", "json").json
    assert found["pipeline"] == "small-train"
    for total in ("at_least", "at_most", "saved"):
        assert set(found[total]) == {"wall_s", "cpu_s", "money"}
    by_name = {step["task"]: step for step in found["steps"]}
    assert set(by_name["fit"]) == {"task", "fate", "why", "depends_on", "wall_s", "cpu_s"}
    assert (by_name["fit"]["fate"], by_name["fit"]["depends_on"]) == ("depends", ["search.rate"])
    assert found["at_most"]["cpu_s"] >= found["at_least"]["cpu_s"] > 0


def test_impact_before_anything_was_run(empty: Type) -> None:
    said = empty("pipeline", "impact", "small-train")
    assert said.code == 0
    assert "it would fail now: there is no table shop.sales yet" in said.out
    assert "compared with no earlier run" in said.out


# ---- what is not there ----------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "what", "fix"),
    [
        (("run", "why", "nope"), 2, "no run 'nope' (err-unknown-name)", "platform-ctl run list"),
        (("run", "diff", "nope"), 2, "no run 'nope' (err-unknown-name)", "platform-ctl run list"),
        (("run", "diff", "latest", "nope"), 2, "no run 'nope'", "platform-ctl run list"),
        (
            ("pipeline", "impact", "small-trian"), 2,
            "no pipeline 'small-trian'; did you mean small-train? (err-unknown-name)",
            "platform-ctl pipeline impact small-train",
        ),
        (("pipeline", "impact", "no.yaml"), 2, "no file no.yaml", "platform-ctl pipeline list"),
        (
            ("pipeline", "impact", "small-train", "-p", "trails=3"), 2,
            "has no parameter 'trails'; did you mean trials? (err-bad-parameter)",
            "platform-ctl pipeline",
        ),
        (
            ("pipeline", "impact", "small-train", "-p", "trials=many"), 2,
            "not 'many' (err-bad-parameter)", "platform-ctl pipeline",
        ),
        (
            ("pipeline", "impact", "small-train", "-p", "trials"), 2,
            "is not NAME=VALUE", "platform-ctl pipeline",
        ),
        (
            ("model", "why", "shopp"), 3,
            "there is no 'shopp' (err-no-such-model)", "platform-ctl",
        ),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else "",
)  # fmt: skip
def test_unknown_names(type_: Type, words: tuple[str, ...], code: int, what: str, fix: str) -> None:
    said = type_(*words)
    assert (said.code, said.out) == (code, "")
    assert what in said.err and f"fix:   {fix}" in said.err and "see:   runbooks/" in said.err
    error = json.loads(type_(*words, "-o", "json").err)["error"]
    assert set(error) == {"id", "what", "where", "fix", "see"} and error["what"] in said.err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("run", "why"), 3),
        (("run", "why", "latest"), 3),
        (("run", "diff"), 3),
        (("run", "diff", "latest", "latest"), 3),
        (("model", "why", "shop"), 3),
        (("model", "why", "shop@production"), 3),
        (("model", "why", "shop/1"), 3),
    ],
)
def test_in_a_home_where_nothing_happened(empty: Type, words: tuple[str, ...], code: int) -> None:
    said = empty(*words)
    assert (said.code, said.out) == (code, "")
    assert said.err.startswith("error: ") and "\nfix:   platform-ctl " in said.err


@pytest.mark.parametrize(
    "words",
    [("run", "why", "a", "b"), ("run", "diff", "a", "b", "c"), ("model", "why"),
     ("pipeline", "impact"), ("pipeline", "impact", "small-train", "-o", "yaml")],
    ids=" ".join,
)  # fmt: skip
def test_wrong_usage(type_: Type, words: tuple[str, ...]) -> None:
    said = type_(*words)
    assert said.code == 2 and said.out == "" and "(err-usage)" in said.err
