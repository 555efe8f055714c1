"""Servers of shared state that are down, slow or something else."""

from __future__ import annotations

import time

import pytest

from platform_ctl.cluster.answering import ICEBERG, MLFLOW, Question, require_answer
from platform_ctl.errors import StoreUnavailable
from tests.support import endpoints
from tests.support.endpoints import DOWN, endpoint, says

HTML = "<html>Welcome</html>"


@pytest.mark.parametrize("question", [MLFLOW, ICEBERG], ids=lambda q: q.setting)
@pytest.mark.parametrize(
    "answer",
    [
        endpoints.silent,
        endpoints.drips,
        endpoints.nonsense,
        lambda connection: connection.close(),
        says("200 OK", HTML, "text/html"),
        says("404 Not Found", HTML, "text/html"),
        says("503 Service Unavailable"),
        says("200 OK", "[]"),
    ],
    ids=["silent", "drips", "nonsense", "hangs up", "page", "404", "503", "list"],
)
def test_what_is_no_answer_is_named_in_time(question: Question, answer) -> None:
    with endpoint(answer) as url:
        began = time.monotonic()
        with pytest.raises(StoreUnavailable) as caught:
            require_answer(url.replace("http://", "http://me:secret@"), question, deadline_s=1.0)
        assert time.monotonic() - began < 5
    assert url in caught.value.what
    assert "secret" not in str(caught.value.as_dict())
    assert question.setting in caught.value.where


@pytest.mark.parametrize(
    "answer",
    [
        says("200 OK", '{"experiments": []}'),
        says("401 Unauthorized", HTML),
        says("403 Forbidden", HTML),
        says("400 Bad Request", '{"error": {"message": "no warehouse"}}'),
    ],
    ids=["200", "401", "403", "400"],
)
def test_what_its_library_can_deal_with_is_left_to_it(answer) -> None:
    with endpoint(answer) as url:
        require_answer(url, MLFLOW)


def test_nobody_listens() -> None:
    with pytest.raises(StoreUnavailable, match="Connection refused"):
        require_answer(DOWN, MLFLOW, deadline_s=1.0)


@pytest.mark.parametrize("url", ["", "sqlite:////tmp/mlflow.db", "databricks", "file:///tmp"])
def test_what_is_no_server_is_not_asked(url: str) -> None:
    require_answer(url, MLFLOW)


def test_a_server_is_asked_once() -> None:
    with endpoint(says("200 OK")) as url:
        require_answer(url, MLFLOW)
    require_answer(url, MLFLOW)
