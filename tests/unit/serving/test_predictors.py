"""Predictors on a cluster: which image they run, and at which address callers reach them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from platform_ctl.errors import ConfigError
from platform_ctl.serving.kubernetes import manifests
from platform_ctl.serving.kubernetes.manifests import PredictorSettings
from platform_ctl.serving.kubernetes.service import KubernetesServing
from platform_ctl.serving.service import Revision, ServiceSpec
from platform_ctl.settings import KubernetesSettings
from tests.support.served_objects import ServedObjects

SETTINGS = KubernetesSettings()
SPEC = ServiceSpec(Revision("v1", "", "1", "", "s3://models/1"))
ROUTE = "/apis/gateway.networking.k8s.io/v1/namespaces/kubeflow/httproutes/shop"
GATEWAY = "/apis/gateway.networking.k8s.io/v1/namespaces/gateway/gateways/platform"


def route() -> dict[str, Any]:
    spec = msgspec.json.encode(SPEC).decode()
    return {"metadata": {"name": "shop", "annotations": {manifests.SPEC_ANNOTATION: spec}}}


def gateway(*addresses: str) -> dict[str, Any]:
    listeners = [{"protocol": "HTTPS", "port": 443}, {"protocol": "HTTP", "port": 8000}]
    found = [{"type": "IPAddress", "value": address} for address in addresses]
    return {"spec": {"listeners": listeners}, "status": {"addresses": found}}


def serving(answers: dict[str, Any], *, image: str = "", url: str = "") -> KubernetesServing:
    pods = {"/api/v1/namespaces/kubeflow/pods": {"items": []}}
    how = PredictorSettings("kubeflow", image, SETTINGS, kserve=True, data_access="a:b")
    return KubernetesServing(ServedObjects({**pods, **answers}), how, url=url)


@pytest.mark.parametrize(
    ("url", "there", "expected"),
    [
        ("http://set:1", {GATEWAY: gateway("10.0.0.1")}, "http://set:1"),
        ("", {GATEWAY: gateway("10.0.0.1")}, "http://10.0.0.1:8000"),
        ("", {GATEWAY: gateway()}, ""),
        ("", {}, ""),
    ],
    ids=["set", "of the status", "no address", "no gateway"],
)
def test_the_address_is_the_set_one_or_the_gateways(url: str, there: Any, expected: str) -> None:
    assert serving({ROUTE: route(), **there}, url=url).get("shop").url == expected


def test_without_an_image_nothing_is_started() -> None:
    with pytest.raises(ConfigError, match=r"settings name none"):
        serving({}).apply("shop", SPEC)
