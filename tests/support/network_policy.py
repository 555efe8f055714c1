"""NetworkPolicies evaluated: may one pod reach a port of another (networking.k8s.io/v1)?

Only what ours use: label selectors, namespaces and pods; addresses are outside of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Policy = Mapping[str, Any]


@dataclass(frozen=True)
class Pod:
    namespace: str
    labels: Mapping[str, str] = field(default_factory=dict)


def reaches(source: Pod, target: Pod, port: int, policies: Sequence[Policy]) -> bool:
    """Both halves: the source's egress and the target's ingress."""
    return _allowed(source, target, port, policies, "Egress") and _allowed(
        target, source, port, policies, "Ingress"
    )


def _allowed(own: Pod, other: Pod, port: int, policies: Sequence[Policy], kind: str) -> bool:
    about = [p for p in policies if _applies(p, own, kind)]
    word, peers = ("ingress", "from") if kind == "Ingress" else ("egress", "to")
    rules = [rule for policy in about for rule in policy["spec"].get(word, [])]
    return not about or any(_permits(rule, peers, own, other, port) for rule in rules)


def _applies(policy: Policy, pod: Pod, kind: str) -> bool:
    spec = policy["spec"]
    return (
        policy["metadata"]["namespace"] == pod.namespace
        and kind in spec.get("policyTypes", ["Ingress"])
        and selects(spec["podSelector"], pod.labels)
    )


def _permits(rule: Mapping[str, Any], peers: str, own: Pod, other: Pod, port: int) -> bool:
    ports = [p["port"] for p in rule.get("ports", [])]
    if ports and port not in ports:
        return False
    return peers not in rule or any(_is_peer(peer, own, other) for peer in rule[peers])


def _is_peer(peer: Mapping[str, Any], own: Pod, other: Pod) -> bool:
    if "ipBlock" in peer:
        return False
    if "namespaceSelector" in peer:
        namespace = {"kubernetes.io/metadata.name": other.namespace}
        if not selects(peer["namespaceSelector"], namespace):
            return False
    elif other.namespace != own.namespace:
        return False
    return selects(peer.get("podSelector", {}), other.labels)


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    if any(labels.get(k) != v for k, v in selector.get("matchLabels", {}).items()):
        return False
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "Exists"
        if expression["key"] not in labels:
            return False
    return True
