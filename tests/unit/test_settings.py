"""The cascade: which layer wins, what is refused, and what stays untouched."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import msgspec
import pytest

from platform_ctl import settings
from platform_ctl.errors import ConfigError, HomeNotUsable, UnknownSetting


def load(cwd: Path, env: dict[str, str] | None = None, **flags: object) -> settings.Loaded:
    return settings.load(cwd=cwd, env=env or {}, flags=flags)


def write_toml(folder: Path, text: str) -> None:
    (folder / settings.TOML_NAME).write_text(text, encoding="utf-8")


def test_defaults_need_no_file_and_no_environment(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    assert loaded.settings.target == "local"
    assert loaded.settings.home == str(tmp_path / ".platform")
    assert set(loaded.origin.values()) == {"default"}
    assert not (tmp_path / ".platform").exists()


def test_each_layer_wins_over_the_one_below(tmp_path: Path) -> None:
    write_toml(tmp_path, "max_parallel_tasks = 1\n[serving]\nport = 1000\nready_timeout_s = 5.0\n")
    env = {"PLATFORM_CTL_MAX_PARALLEL_TASKS": "2", "PLATFORM_CTL_SERVING__PORT": "2000"}
    loaded = settings.load(cwd=tmp_path, env=env, flags={"serving.port": 3000, "target": None})
    assert loaded.settings.serving.port == 3000
    assert loaded.settings.max_parallel_tasks == 2
    assert loaded.settings.serving.ready_timeout_s == 5.0
    assert {k: loaded.origin[k] for k in ("serving.port", "max_parallel_tasks", "target")} == {
        "serving.port": "flag",
        "max_parallel_tasks": "environment",
        "target": "default",
    }
    assert loaded.origin["serving.ready_timeout_s"] == settings.TOML_NAME


def test_the_project_is_found_from_a_folder_below_it(tmp_path: Path) -> None:
    write_toml(tmp_path, 'home = "state"\n')
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    loaded = load(below)
    assert loaded.settings.project_root == str(tmp_path)
    assert loaded.settings.home == str(tmp_path / "state")


def test_an_absolute_home_stays_as_it_is(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"PLATFORM_HOME": "/somewhere/else"})
    assert loaded.settings.layout.database == Path("/somewhere/else/platform.db")


@pytest.mark.parametrize(
    ("toml", "env"),
    [("[serving]\nprot = 1\n", {}), ("", {"PLATFORM_CTL_SERVING__PROT": "1"})],
)
def test_an_unknown_key_is_refused_with_the_nearest_one(
    tmp_path: Path, toml: str, env: dict[str, str]
) -> None:
    write_toml(tmp_path, toml)
    with pytest.raises(UnknownSetting, match=r"did you mean serving\.port\?"):
        load(tmp_path, env)


@pytest.mark.parametrize(
    "env",
    [
        {"PLATFORM_CTL_SERVING__PORT": "many"},
        {"PLATFORM_CTL_TARGET": "moon"},
        {"PLATFORM_CTL_ICEBERG_CATALOG": "sqlite"},
        {"PLATFORM_CTL_ICEBERG_CATALOG": '{"uri": 1}'},
    ],
)
def test_a_value_of_the_wrong_type_is_refused(tmp_path: Path, env: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, env)
    assert caught.value.fix


def test_a_file_that_is_not_toml_is_refused(tmp_path: Path) -> None:
    write_toml(tmp_path, "serving port 1\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load(tmp_path)


def test_lists_and_tables_can_come_from_the_environment(tmp_path: Path) -> None:
    env = {
        "PLATFORM_CTL_APPROVAL__APPROVERS": "ana, ben",
        "PLATFORM_CTL_APPROVAL__SECOND_PERSON": "true",
        "PLATFORM_CTL_ICEBERG_CATALOG": '{"type": "rest", "uri": "http://localhost:8181"}',
    }
    loaded = load(tmp_path, env).settings
    assert loaded.approval.approvers == ["ana", "ben"]
    assert loaded.approval.second_person is True
    assert loaded.iceberg_catalog == {"type": "rest", "uri": "http://localhost:8181"}


def test_a_table_in_the_file_may_hold_any_catalog_property(tmp_path: Path) -> None:
    write_toml(tmp_path, '[iceberg_catalog]\n"s3.endpoint" = "http://localhost:9000"\n')
    assert load(tmp_path).settings.iceberg_catalog == {"s3.endpoint": "http://localhost:9000"}


def test_an_empty_variable_is_not_set(tmp_path: Path) -> None:
    write_toml(tmp_path, "[serving]\nport = 1000\n")
    assert load(tmp_path, {"PLATFORM_CTL_SERVING__PORT": ""}).settings.serving.port == 1000


def test_every_key_is_known_once_and_has_a_variable_of_its_own() -> None:
    keys = settings.known_keys()
    assert len(keys) == len(set(keys))
    assert len({settings.env_name(k) for k in keys}) == len(keys)


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    with pytest.raises(AttributeError):
        load(tmp_path).settings.target = "kubernetes"


def test_every_field_says_what_it_means() -> None:
    undocumented = []
    for name, section in inspect.getmembers(settings, inspect.isclass):
        if not issubclass(section, msgspec.Struct) or section.__module__ != settings.__name__:
            continue
        body = ast.parse(inspect.getsource(section)).body[0].body
        for node, following in zip(body, [*body[1:], None], strict=True):
            plain = isinstance(node, ast.AnnAssign) and not isinstance(node.value, ast.Call)
            if plain and not isinstance(following, ast.Expr):
                undocumented.append(f"{name}.{ast.unparse(node.target)}")
    assert undocumented == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("FEAST__REGISTRY", "postgresql+psycopg://me:secret@sql:5432/feast"),
        ("FEAST__ONLINE_STORE", "redis://:secret@redis:6379/0"),
        ("ICEBERG_CATALOG", '{"uri": "postgresql+psycopg://me:secret@sql/iceberg"}'),
    ],
)
def test_a_url_with_a_password_is_refused_and_not_repeated(
    tmp_path: Path, key: str, value: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        settings.load(cwd=tmp_path, env={f"PLATFORM_CTL_{key}": value})
    assert "secret" not in f"{caught.value.what}{caught.value.fix}"


def test_a_url_with_a_user_and_a_port_is_no_password(tmp_path: Path) -> None:
    url = "postgresql+psycopg://me@sql:5432/feast"
    loaded = settings.load(cwd=tmp_path, env={"PLATFORM_CTL_FEAST__REGISTRY": url})
    assert loaded.settings.feast.registry == url


@pytest.mark.parametrize("name", ["feature%2Flogin", "C#", "what?", "new\nline", "a\tb"])
def test_a_home_whose_path_means_something_else_in_a_url_is_refused(tmp_path, name):
    with pytest.raises(HomeNotUsable, match="a database URL cannot"):
        load(cwd=tmp_path, env={"PLATFORM_HOME": str(tmp_path / name)})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["with blank", "ümlaut", "a&b", "it's"])
def test_other_paths_are_homes(tmp_path, name):
    assert load(cwd=tmp_path, env={"PLATFORM_HOME": str(tmp_path / name)}).settings.home


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("PLATFORM_CTL_TARGET", "mars", "setting target cannot be 'mars': it is one of local, "),
        ("PLATFORM_CTL_MAX_PARALLEL_TASKS", "x", "setting max_parallel_tasks cannot be 'x'"),
    ],
)
def test_a_wrong_value_is_blamed_on_the_variable_that_holds_it(
    tmp_path: Path, variable: str, value: str, words: str
) -> None:
    (tmp_path / "platform-ctl.toml").write_text("")
    with pytest.raises(ConfigError) as caught:
        load(cwd=tmp_path, env={variable: value})
    assert caught.value.what.startswith(words)
    assert (caught.value.where, caught.value.fix) == (
        f"environment variable {variable}",
        f"unset {variable}",
    )


def test_an_empty_home_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the home is empty text"):
        load(tmp_path, home="")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("MAX_PARALLEL_TASKS", "expected a whole number, got text"),
        ("MONEY_PER_CPU_HOUR", "expected a number, got text"),
    ],
)
def test_a_wrong_type_is_told_in_words(tmp_path, name, said):
    with pytest.raises(ConfigError, match=said):
        settings.load(cwd=tmp_path, env={f"PLATFORM_CTL_{name}": "x"})
