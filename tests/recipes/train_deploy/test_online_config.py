"""Feast's configuration of an online store from a URL: no password in it."""

from __future__ import annotations

import pytest

from platform_ctl.errors import ConfigError
from recipes.train_deploy.features.online_config import online_store_config


def test_redis_with_and_without_a_password() -> None:
    without = online_store_config("redis://cache:6380/2", {})
    assert without == {"type": "redis", "connection_string": "cache:6380,db=2"}
    known = online_store_config("rediss://cache", {"REDIS_PASSWORD": "hidden"})
    assert known["connection_string"] == "cache:6379,db=0,ssl=true,password=${REDIS_PASSWORD}"


def test_postgresql_names_the_variable_of_the_password() -> None:
    config = online_store_config("postgresql://me@sql:6000/online", {"PGPASSWORD": "hidden"})
    assert config["password"] == "${PGPASSWORD}"
    assert (config["host"], config["port"], config["user"]) == ("sql", 6000, "me")
    assert online_store_config("postgresql://me@sql/online", {})["password"] == ""


def test_another_store_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="mongodb"):
        online_store_config("mongodb://x/y", {})
