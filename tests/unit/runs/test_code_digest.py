"""Which edits change the code digest of a component, in a small project of its own."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from platform_ctl.home.state import connect
from platform_ctl.runs.cache import distributions
from platform_ctl.runs.cache.code_digest import CodeDigester
from tests.support.small_train import install_shopmath

COMPONENT = """
import kfp
from kfp.dsl import *

def train(rows: str):
    from recipes.weekly import train
    train.fit(rows)
"""

PROJECT = {
    "recipes/__init__.py": "",
    "recipes/weekly/__init__.py": '"""A recipe."""\n',
    "recipes/weekly/train.py": '''
"""Training."""
from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from recipes.weekly import helpers
from recipes.weekly.helpers import scale as rescale
from recipes.weekly.recipe import RECIPE

if TYPE_CHECKING:
    from recipes.weekly import typing_only

LIMIT = 3


def fit(rows: str, more: typing_only.Rows = None) -> int:
    """Fit the model."""
    table = "queries/rows.sql"
    # a comment
    return helpers.total(rescale(rows), LIMIT, table)


def unrelated():
    from recipes.weekly import lazy

    return lazy.go()
''',
    "recipes/weekly/helpers.py": '''
def total(*parts):
    """Sum."""
    return Counter().count(parts)


def scale(rows):
    return rows


def unused():
    return 1


class Counter:
    def count(self, parts):
        from recipes.weekly import deep

        return deep.length(parts)
''',
    "recipes/weekly/deep.py": "def length(x):\n    return len(x)\n",
    "recipes/weekly/lazy.py": "def go():\n    return 1\n",
    "recipes/weekly/trial.py": "def run():\n    return 2\n",
    "recipes/weekly/recipe.py": (
        "from recipes.weekly.kinds import Recipe\n"
        'RECIPE = Recipe(trial="recipes.weekly.trial:run", experiment_file="experiment.yaml")\n'
    ),
    "recipes/weekly/kinds.py": "class Recipe:\n    def __init__(self, **kw):\n        pass\n",
    "recipes/weekly/typing_only.py": "class Rows:\n    pass\n",
    "recipes/weekly/experiment.yaml": "trials: 20\n",
    "recipes/weekly/queries/rows.sql": "select 1\n",
    "recipes/weekly/queries/other.sql": "select 2\n",
}


@pytest.fixture
def db(tmp_path):
    connection = connect(tmp_path / "home" / "platform.db")
    yield connection
    connection.close()


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "checkout"
    for name, text in PROJECT.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def digest(root, db, source=COMPONENT):
    return CodeDigester(root, db).digest(source)


def edit(root, name, old, new):
    path = root / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_what_is_reached(project, db):
    found = digest(project, db)
    assert set(found.modules) == {
        "recipes",
        "recipes.weekly",
        "recipes.weekly.train",
        "recipes.weekly.helpers",
        "recipes.weekly.deep",
        "recipes.weekly.recipe",
        "recipes.weekly.kinds",
    }
    assert set(found.data) == {"recipes/weekly/queries/rows.sql"}
    assert set(found.packages) == {"python", "kfp", "msgspec"}


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("recipes/weekly/train.py", "# a comment", "# another comment"),
        ("recipes/weekly/train.py", '"""Fit the model."""', '"""Fit it."""'),
        ("recipes/weekly/train.py", '"""Training."""', ""),
        ("recipes/weekly/train.py", "LIMIT = 3\n", "LIMIT = 3\n\n\n\n"),
        ("recipes/weekly/train.py", "LIMIT = 3", "LIMIT = (3)"),
        ("recipes/weekly/train.py", "import lazy", "import deep as lazy"),
        ("recipes/weekly/helpers.py", "return 1", "return 2"),
        ("recipes/weekly/lazy.py", "return 1", "return 2"),
        ("recipes/weekly/trial.py", "return 2", "return 3"),
        ("recipes/weekly/typing_only.py", "pass", "x = 1"),
        ("recipes/weekly/experiment.yaml", "20", "21"),
        ("recipes/weekly/queries/other.sql", "2", "3"),
        ("recipes/weekly/__init__.py", '"""A recipe."""', "x = 1"),
        ("recipes/weekly/recipe.py", "trial=", "trials="),
    ],
)
def test_edits_that_do_not_count(project, db, name, old, new):
    before = digest(project, db)
    edit(project, name, old, new)
    assert digest(project, db) == before


@pytest.mark.parametrize(
    ("name", "old", "new", "changed"),
    [
        ("recipes/weekly/train.py", "LIMIT = 3", "LIMIT = 4", "recipes.weekly.train"),
        ("recipes/weekly/helpers.py", "return rows", "return [rows]", "recipes.weekly.helpers"),
        ("recipes/weekly/helpers.py", "def total(", "@staticmethod\ndef total(", None),
        ("recipes/weekly/deep.py", "len(x)", "len(x) + 1", "recipes.weekly.deep"),
        ("recipes/weekly/__init__.py", '"""A recipe."""', "x = 1\nx += 1", "recipes.weekly"),
        ("recipes/weekly/__init__.py", '"""A recipe."""', "print()", "recipes.weekly"),
        ("recipes/weekly/queries/rows.sql", "1", "2", "recipes/weekly/queries/rows.sql"),
    ],
)
def test_edits_that_count(project, db, name, old, new, changed):
    before = digest(project, db)
    edit(project, name, old, new)
    after = digest(project, db)
    old_parts, new_parts = {**before.modules, **before.data}, {**after.modules, **after.data}
    differing = {k for k in old_parts | new_parts if old_parts.get(k) != new_parts.get(k)}
    assert differing == {changed or "recipes.weekly.helpers"}


def test_what_a_name_is_bound_to_counts(project, db):
    before = digest(project, db)
    edit(project, "recipes/weekly/train.py", "scale as rescale", "total as rescale")
    after = digest(project, db)
    assert before.modules["recipes.weekly.train"] != after.modules["recipes.weekly.train"]


def test_a_keyword_string_is_followed_where_its_attribute_is_used(project, db):
    edit(project, "recipes/weekly/train.py", "return helpers", "RECIPE.trial; return helpers")
    found = digest(project, db)
    assert "recipes.weekly.trial" in found.modules
    assert "recipes/weekly/experiment.yaml" not in found.data


def test_a_module_used_as_a_value_counts_whole(project, db):
    edit(project, "recipes/weekly/train.py", "return helpers", "print(helpers); return helpers")
    before = digest(project, db)
    edit(project, "recipes/weekly/helpers.py", "return 1", "return 2")
    assert digest(project, db) != before


def test_a_glob_covers_files_that_come_later(project, db):
    edit(project, "recipes/weekly/train.py", "queries/rows.sql", "*.sql")
    before = digest(project, db)
    assert len(before.data) == 2
    (project / "recipes/weekly/queries/new.sql").write_text("select 3")
    assert set(digest(project, db).data) - set(before.data) == {"recipes/weekly/queries/new.sql"}


def test_a_module_that_appears_counts(project, db):
    source = "def f():\n    from recipes.weekly import later\n    later.go()\n"
    before = digest(project, db, source)
    (project / "recipes/weekly/later.py").write_text("def go():\n    pass\n")
    assert set(digest(project, db, source).modules) - set(before.modules) == {
        "recipes.weekly.later"
    }


def test_relative_imports_stars_and_re_exports(project, db):
    (project / "recipes/weekly/front.py").write_text(
        "from .deep import *\nfrom . import lazy as other\nfrom .helpers import scale as renamed\n"
    )
    source = (
        "def f():\n    from recipes.weekly import front\n"
        "    front.renamed(1)\n    front.other.go()\n    front.length('x')\n"
    )
    found = digest(project, db, source)
    assert {"recipes.weekly.lazy", "recipes.weekly.deep", "recipes.weekly.helpers"} <= set(
        found.modules
    )


def test_the_path_of_the_checkout_does_not_count(project, db, tmp_path):
    before = digest(project, db)
    moved = tmp_path / "elsewhere" / "else"
    shutil.copytree(project, moved)
    assert digest(moved, connect(tmp_path / "other-home" / "platform.db")) == before


def test_a_file_that_does_not_parse_counts_by_its_bytes(project, db):
    (project / "recipes/weekly/deep.py").write_text("def length(:\n")
    before = digest(project, db)
    (project / "recipes/weekly/deep.py").write_text("def length(::\n")
    assert digest(project, db) != before


def test_same_size_edit_within_one_clock_tick_is_seen(project, db):
    before = digest(project, db)
    path = project / "recipes/weekly/deep.py"
    stamp = path.stat()
    path.write_text(path.read_text().replace("len(x)", "max(x)"))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert digest(project, db) != before


def test_nothing_is_read_when_nothing_changed(project, db, monkeypatch):
    old = 1_000_000_000
    for path in (*project.rglob("*"), project):
        os.utime(path, (old, old))
    import time

    time.sleep(0.03)  # ctime must be older than the memo by a tick
    digester = CodeDigester(project, db)
    before = digester.digest(COMPONENT)

    def fail(self):
        raise AssertionError(f"{self} was read")

    monkeypatch.setattr(Path, "read_bytes", fail)
    assert CodeDigester(project, db).digest(COMPONENT) == before


def test_a_component_without_code_of_ours_reaches_nothing(project, db):
    found = digest(project, db, "def f():\n    import json\n    print(json)\n")
    assert (found.modules, found.data) == ({}, {})
    assert digest(project, db, "").packages == {}


def test_versions_are_those_of_distributions():
    found = distributions.versions(["yaml", "json", "msgspec", "no_such_thing"])
    assert set(found) == {"PyYAML", "msgspec", "no_such_thing", "python"}
    assert found["no_such_thing"] == "absent"
    assert found["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"


def test_another_environment_of_the_same_home_has_its_own_versions(
    project, db, tmp_path, monkeypatch
):
    """Two virtual environments share a home: what one found is not the other's answer."""
    source = "import shopmath\n"
    old, new = tmp_path / "old" / "site-packages", tmp_path / "new" / "site-packages"
    for site, version in ((old, "1.0"), (new, "2.0")):
        site.parent.mkdir()
        install_shopmath(site, version)
    import time

    time.sleep(0.03)  # what is remembered counts once the folders are older than a tick
    with monkeypatch.context() as first:
        first.syspath_prepend(str(old))
        assert digest(project, db, source).packages["shopmath"] == "1.0"
    monkeypatch.syspath_prepend(str(new))
    assert digest(project, db, source).packages["shopmath"] == "2.0"


def test_an_input_that_names_code_or_a_file_is_followed(project, db):
    shared = "def fit(function):\n    print(function)\n"
    inputs = ["recipes.weekly.helpers:total", "recipes/weekly/experiment.yaml", 7, "weekly"]
    found = CodeDigester(project, db).digest(shared, inputs)
    assert "recipes.weekly.helpers" in found.modules and "recipes.weekly.train" not in found.modules
    assert set(found.data) == {"recipes/weekly/experiment.yaml"}
    edit(project, "recipes/weekly/helpers.py", "return 1", "return 2")
    edit(project, "recipes/weekly/experiment.yaml", "20", "21")
    again = CodeDigester(project, db).digest(shared, inputs)
    assert again.modules == found.modules and again.data != found.data
    assert CodeDigester(project, db).digest(shared, ["weekly", "a.yaml"]).data == {}
