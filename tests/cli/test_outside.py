"""Commands whose servers are down, slow or wrong: exit 4 in time, by address, without secrets."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

import pytest

from platform_ctl.lineage.outbox import Outbox
from tests.support import endpoints
from tests.support.commands import platform_ctl
from tests.support.endpoints import DOWN, endpoint

MLFLOW = "PLATFORM_CTL_MLFLOW_TRACKING_URI"
CATALOG = "PLATFORM_CTL_ICEBERG_CATALOG"
PASSWORD = "marked-password"


def catalog(url: str, **more: str) -> str:
    return json.dumps({"name": "rest", "type": "rest", "uri": url, **more})


def named(home: Path, url: str, *words: str, **env: str) -> None:
    began = time.monotonic()
    done = platform_ctl(home, *words, **env)
    assert done.returncode == 4, done.stdout + done.stderr
    assert url in done.stderr and "err-store-unavailable" in done.stderr
    assert PASSWORD not in done.stdout + done.stderr and "Traceback" not in done.stderr
    assert time.monotonic() - began < 25  # ten seconds, and what the machine takes to start


@pytest.mark.parametrize("words", [("model", "list"), ("model", "show", "weekly-commits")], ids=str)
@pytest.mark.parametrize("answer", [None, endpoints.silent, endpoints.says("200 OK", "<html>")])
def test_an_mlflow_that_does_not_answer(tmp_path, words, answer):
    if answer is None:
        named(tmp_path, DOWN, *words, **{MLFLOW: DOWN.replace("//", f"//me:{PASSWORD}@")})
        return
    with endpoint(answer) as url:
        named(tmp_path, url, *words, **{MLFLOW: url.replace("//", f"//me:{PASSWORD}@")})


@pytest.mark.parametrize("answer", [None, endpoints.silent, endpoints.says("200 OK", "<html>")])
def test_an_iceberg_catalog_that_does_not_answer(tmp_path, answer):
    if answer is None:
        named(tmp_path, DOWN, "data", "show", **{CATALOG: catalog(DOWN, token=PASSWORD)})
        return
    with endpoint(answer) as url:
        named(tmp_path, url, "data", "show", **{CATALOG: catalog(url, token=PASSWORD)})


def test_a_secret_of_a_catalog_may_be_a_reference(tmp_path):
    given = catalog(DOWN, token="env:CATALOG_TOKEN")
    done = platform_ctl(tmp_path, "data", "show", **{CATALOG: given})
    assert done.returncode == 2 and "env:CATALOG_TOKEN, which is not set" in done.stderr
    named(tmp_path, DOWN, "data", "show", **{CATALOG: given, "CATALOG_TOKEN": PASSWORD})


def test_config_show_masks_secrets(tmp_path):
    given = {
        MLFLOW: f"http://me:{PASSWORD}@mlflow.example:5000",
        CATALOG: catalog("http://c", **{"token": PASSWORD, "s3.secret-access-key": PASSWORD}),
        "PLATFORM_CTL_NOTIFY__NTFY_TOKEN": PASSWORD,
        "PLATFORM_CTL_NOTIFY__WEBHOOK_URL": f"https://hooks.example/{PASSWORD}",
        "PLATFORM_CTL_KUBERNETES__KFP_TOKEN": "env:KFP_TOKEN",
    }
    for words in ((), ("-o", "json")):
        done = platform_ctl(tmp_path, "config", "show", *words, **given)
        assert done.returncode == 0, done.stderr
        assert PASSWORD not in done.stdout
        assert "me:***@mlflow.example:5000" in done.stdout and "env:KFP_TOKEN" in done.stdout


def test_mlflows_own_variable_is_named_as_ignored(tmp_path):
    done = platform_ctl(tmp_path, "model", "list", MLFLOW_TRACKING_URI="http://mlflow.example")
    assert done.returncode == 0
    assert "MLFLOW_TRACKING_URI is ignored, models are in the home's own" in done.stderr
    quiet = platform_ctl(tmp_path, "model", "list", "-o", "json", MLFLOW_TRACKING_URI="http://x")
    assert quiet.stderr == ""


@pytest.mark.parametrize(
    "answer", [None, endpoints.silent, endpoints.drips, endpoints.says("404 Not Found", "<html>")]
)
def test_an_openlineage_endpoint_that_does_not_answer(tmp_path, answer):
    Outbox(tmp_path / "lineage").append([{"eventType": "START"}])
    with endpoint(answer) if answer else contextlib.nullcontext(DOWN) as url:
        began = time.monotonic()
        address = url.replace("//", f"//me:{PASSWORD}@")
        done = platform_ctl(tmp_path, "lineage", "deliver", OPENLINEAGE_URL=address)
    assert done.returncode == 4, done.stdout + done.stderr
    assert url in done.stderr and PASSWORD not in done.stderr
    assert time.monotonic() - began < 25
