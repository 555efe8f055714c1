"""The fake of KFP's API server, seen through the client that the platform uses."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from platform_ctl.cluster import kfp
from platform_ctl.errors import KfpUnavailable
from tests.fakes.kfp_server import (
    EXISTS,
    INTERNAL,
    PREFIX,
    Fault,
    Refused,
    Request,
    Router,
    listed,
    serve,
)


class Experiments:
    """The smallest part: what a room adds is added like this."""

    def __init__(self) -> None:
        self.kept: list[dict[str, Any]] = []

    def routes(self, router: Router) -> None:
        router.add("GET", f"{PREFIX}/experiments", self.list)
        router.add("POST", f"{PREFIX}/experiments", self.create)

    def list(self, request: Request) -> dict[str, Any]:
        return listed("experiments", self.kept, request)

    def create(self, request: Request) -> dict[str, Any]:
        name = request.json["display_name"]
        if any(e["display_name"] == name for e in self.kept):
            raise Refused(EXISTS, f"experiment {name} exists")
        self.kept.append(
            {"display_name": name, "created_at": f"2026-11-27T00:00:{len(self.kept):02}Z"}
        )
        return self.kept[-1]


def test_a_name_that_only_pods_know_comes_with_the_command_that_forwards_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(*args: object, **kwargs: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(KfpUnavailable) as refused:
        kfp.connect("", namespace="kubeflow").health()
    assert refused.value.fix.startswith("kubectl -n kubeflow port-forward service/ml-pipeline")
    with pytest.raises(KfpUnavailable) as other:
        kfp.connect("http://kfp.example.org", namespace="kubeflow").health()
    assert "port-forward" not in other.value.fix


def test_health_says_the_version() -> None:
    with serve(version="2.17.0") as fake:
        assert kfp.Kfp(fake.url).health() == kfp.KfpHealth("2.17.0", multi_user=False)


def test_a_wrong_token_is_not_let_in() -> None:
    with serve(token="right") as fake:
        with pytest.raises(KfpUnavailable, match="does not know who calls"):
            kfp.Kfp(fake.url, token="wrong").health()
        assert kfp.Kfp(fake.url, token="right").health().version


def test_pages_filters_and_order_through_the_generated_client() -> None:
    part = Experiments()
    with serve(part) as fake:
        client = kfp.Kfp(fake.url)
        for number in range(25):
            body = {"display_name": f"e{number:02}"}
            client.call(client.experiments.experiment_service_create_experiment, body)
        first = client.call(client.experiments.experiment_service_list_experiments, page_size=20)
        rest = client.call(
            client.experiments.experiment_service_list_experiments,
            page_size=20,
            page_token=first.next_page_token,
        )
        wanted = (
            '{"predicates":[{"operation":"IS_SUBSTRING","key":"display_name","string_value":"e1"}]}'
        )
        some = client.call(
            client.experiments.experiment_service_list_experiments,
            filter=wanted,
            sort_by="created_at desc",
        )
    assert [len(first.experiments), len(rest.experiments), first.total_size] == [20, 5, 25]
    assert some.experiments[0].display_name == "e19" and some.total_size == 10


def test_a_fault_after_the_commit_leaves_the_effect() -> None:
    part = Experiments()
    fault = Fault("POST", "/experiments", code=INTERNAL, after_commit=True, times=1)
    with serve(part, faults=[fault]) as fake:
        client = kfp.Kfp(fake.url)
        create = client.experiments.experiment_service_create_experiment
        with pytest.raises(kfp.Refusal) as refused:
            client.call(create, {"display_name": "a"})
        assert refused.value.status == 500 and len(part.kept) == 1
        with pytest.raises(kfp.Refusal) as refused:
            client.call(create, {"display_name": "a"})
        assert refused.value.status == 409


def test_slow_and_dropped_answers_are_a_server_that_does_not_answer() -> None:
    with serve(faults=[Fault(delay_s=1.0, times=1), Fault(drop=True, times=1)]) as fake:
        client = kfp.Kfp(fake.url, timeout_s=0.3)
        for _ in range(2):
            with pytest.raises(KfpUnavailable):
                client.health()
