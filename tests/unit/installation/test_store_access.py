"""Stores that answer and let us not in are asked, and say why themselves."""

from __future__ import annotations

import socket

import msgspec
import pytest

from platform_ctl.cli.machine_errors import named
from platform_ctl.installation.store_access import Refusal, refusals, sentence
from platform_ctl.settings import FeastSettings, Settings, StorageSettings
from tests.support.endpoints import endpoint, says

NO_BUCKET = '<?xml version="1.0"?><Error><Code>NoSuchBucket</Code><Message>none</Message></Error>'
NO_PASSWORD = b"SFATAL\0C28P01\0Mwrong password\0\0"
KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}


def wrong_password(connection: socket.socket) -> None:
    """An ErrorResponse of PostgreSQL's protocol, whatever it is asked."""
    length = (len(NO_PASSWORD) + 4).to_bytes(4, "big")
    connection.sendall(b"E" + length + NO_PASSWORD)


def redis_refuses(connection: socket.socket) -> None:
    connection.sendall(b"-WRONGPASS no such user\r\n" * 4)


def with_(**changes: object) -> Settings:
    return msgspec.structs.replace(Settings(), **changes)


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


def test_a_home_of_its_own_asks_nobody() -> None:
    assert refusals(Settings(), {}, {}) == []


def test_postgresql() -> None:
    with endpoint(wrong_password) as url:
        registry = url.replace("http://", "postgresql+psycopg://platform@") + "/feast"
        (found,) = refusals(with_(feast=FeastSettings(registry=registry)), {}, {})
    assert (found.kind, found.setting) == ("PostgreSQL", "feast.registry")


def test_redis() -> None:
    with endpoint(redis_refuses) as url:
        store = url.replace("http://", "redis://") + "/0"
        settings = with_(feast=FeastSettings(online_store=store))
        (found,) = refusals(settings, {}, {"REDIS_PASSWORD": "x"})
    assert (found.kind, found.setting) == ("Redis", "feast.online_store")


def test_an_object_store_without_the_bucket() -> None:
    with endpoint(says("404 Not Found", NO_BUCKET, "application/xml")) as url:
        catalog = {"type": "sql", "warehouse": "s3://b/w", "s3.endpoint": url}
        settings = with_(
            iceberg_catalog=catalog, storage=StorageSettings(artifacts_uri="s3://b/artifacts")
        )
        found = refusals(settings, catalog, {"AWS_ENDPOINT_URL": url})
    assert [r.setting for r in found] == ["storage.artifacts_uri", "iceberg_catalog"]
    assert {r.kind for r in found} == {"the object store"}


def test_a_rest_catalog() -> None:
    body = '{"error": {"message": "who are you", "type": "ForbiddenException", "code": 403}}'
    with endpoint(says("403 Forbidden", body)) as url:
        catalog = {"name": "p", "type": "rest", "uri": url, "warehouse": "s3://w"}
        (found,) = refusals(with_(iceberg_catalog=catalog), catalog, {})
    assert found.kind == "the Iceberg catalog" and "who are you" in found.answer


def test_one_answer_is_said_once() -> None:
    twice = [Refusal("PostgreSQL", name, "no\nway.") for name in ("a", "b")]
    assert sentence([*twice, Refusal("Redis", "c", "no")]) == (
        "PostgreSQL (a, b) answers 'no way'; its credentials are PGPASSWORD or ~/.pgpass; "
        "Redis (c) answers 'no'; its credentials are REDIS_PASSWORD"
    )


def test_an_error_that_nobody_foresaw_is_the_store_that_refuses(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path / "home"))
    with endpoint(redis_refuses) as url:
        store = url.replace("http://", "redis://") + "/0"
        monkeypatch.setenv("PLATFORM_CTL_FEAST__ONLINE_STORE", store)
        found = named(RuntimeError("whatever the library says"), "platform-ctl x")
    assert found.id == "err-store-refused" and "feast.online_store" in found.what
    assert found.where == "platform-ctl x" and found.fix == "platform-ctl config show --origin"


def test_an_address_that_none_can_be_hides_no_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLATFORM_HOME", str(tmp_path / "home"))
    with endpoint(redis_refuses) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        store = url.replace("http://", "redis://") + "/0?socket_timeout=soon"
        monkeypatch.setenv("PLATFORM_CTL_FEAST__ONLINE_STORE", store)
        found = named(RuntimeError("whatever the library says"), "platform-ctl x")
    assert found.id == "err-internal" and "whatever the library says" in found.what
