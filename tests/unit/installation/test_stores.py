"""Which servers the settings name, and which of them do not answer."""

from __future__ import annotations

import socket

import msgspec

from platform_ctl.installation.stores import Store, configured_stores, unreachable
from platform_ctl.settings import FeastSettings, Settings


def test_a_home_of_its_own_names_no_server() -> None:
    assert configured_stores(Settings(), {}) == []


def test_every_server_is_found_with_the_port_of_its_scheme() -> None:
    settings = msgspec.structs.replace(
        Settings(),
        iceberg_catalog={
            "uri": "postgresql+psycopg://platform@sql/iceberg",
            "s3.endpoint": "http://s3:9000",
        },
        mlflow_tracking_uri="https://mlflow.lan",
        feast=FeastSettings(registry="postgresql+psycopg://sql:6000/f", online_store="redis://r/0"),
    )
    found = configured_stores(settings, {"AWS_ENDPOINT_URL": "http://s3:9000"})
    assert [(s.setting, s.address) for s in found] == [
        ("iceberg_catalog", "sql:5432"),
        ("iceberg_catalog", "s3:9000"),
        ("AWS_ENDPOINT_URL", "s3:9000"),
        ("mlflow_tracking_uri", "mlflow.lan:443"),
        ("feast.registry", "sql:6000"),
        ("feast.online_store", "r:6379"),
    ]


def test_only_what_does_not_answer_is_unreachable() -> None:
    with socket.socket() as listener, socket.socket() as silent:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        silent.bind(("127.0.0.1", 0))
        up = Store("up", "a", "127.0.0.1", listener.getsockname()[1])
        down = Store("down", "b", "127.0.0.1", silent.getsockname()[1])
        assert unreachable([up, down]) == [down]
