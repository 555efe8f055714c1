"""The sign-in of people: Dex and oauth2-proxy agree, and a browser reaches both."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from platform_ctl.installation.components import FOLDER

ROOT = Path(__file__).resolve().parents[3]


def documents(folder: str) -> list[dict[str, Any]]:
    paths = sorted((ROOT / FOLDER / folder).glob("*.yaml"))
    return [d for p in paths for d in yaml.safe_load_all(p.read_text(encoding="utf-8"))]


def options() -> dict[str, str]:
    """The arguments of oauth2-proxy."""
    [proxy] = [
        d
        for d in documents("oidc")
        if d["kind"] == "Deployment" and d["metadata"]["name"] == "oauth2-proxy"
    ]
    [container] = proxy["spec"]["template"]["spec"]["containers"]
    pairs = [argument.removeprefix("--").partition("=") for argument in container["args"]]
    return {name: value for name, _, value in pairs}


def test_the_issuer_is_one_address_that_browsers_reach_through_the_gateway() -> None:
    found = documents("oidc")
    [config] = [d for d in found if d["kind"] == "ConfigMap" and d["metadata"]["name"] == "dex"]
    dex = yaml.safe_load(config["data"]["config.yaml"])
    routed = {h for d in found if d["kind"] == "HTTPRoute" for h in d["spec"]["hostnames"]}
    [gateway] = [d for d in documents("gateway-api") if d.get("kind") == "Gateway"]
    ports = {listener["port"] for listener in gateway["spec"]["listeners"]}
    assert options()["oidc-issuer-url"] == dex["issuer"]
    [client] = [c for c in dex["staticClients"] if c["id"] == options()["client-id"]]
    assert options()["redirect-url"] in client["redirectURIs"]
    for name in ("oidc-issuer-url", "login-url", "redirect-url"):
        address = urlsplit(options()[name])
        assert address.hostname in routed, name
        assert address.port in ports, name


def test_what_the_proxy_asks_itself_is_asked_at_the_service() -> None:
    """A pod need not resolve the name that browsers use."""
    assert options()["skip-oidc-discovery"] == "true"
    for name in ("redeem-url", "oidc-jwks-url"):
        assert urlsplit(options()[name]).hostname == "dex.oidc"
    [mlflow] = [d for d in documents("mlflow") if d["kind"] == "Deployment"]
    [server] = mlflow["spec"]["template"]["spec"]["containers"]
    [hosts] = [a for a in server["args"] if a.startswith("--allowed-hosts=")]
    assert urlsplit(options()["upstream"]).netloc in hosts.partition("=")[2].split(",")
    assert options()["pass-host-header"] == "false"
