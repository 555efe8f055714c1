"""Puts components into a cluster: server-side apply of what they render to, in order.

Every step can be repeated: an installation that was killed continues when the
same command runs again, and one that is complete changes nothing. What somebody
else installed is left alone: an object is ours when the API server's record of
its fields names us as a manager.
"""

from __future__ import annotations

import base64
import datetime
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from platform_ctl.cluster import pods
from platform_ctl.cluster.api import (
    EVENT,
    POD,
    SECRET,
    Cluster,
    Object,
)
from platform_ctl.errors import ComponentNotReady, PreconditionMissing
from platform_ctl.installation.certificates import (
    AUTHORITY,
    RENEW_DAYS,
    days_left,
    made,
    with_authority,
)
from platform_ctl.installation.check import DEFINITION, deployment_of, is_ours, is_served
from platform_ctl.installation.components import (
    GeneratedSecret,
    InstallComponent,
    WebhookCertificate,
)

FIRST = ("Namespace", "CustomResourceDefinition")
LAST = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
"""A webhook that is there before its server refuses what is applied after it."""
READY_TIMEOUT_S = 300.0
DEFINED_TIMEOUT_S = 60.0
POLL_S = 1.0
KEEPS_DATA = "platform-ctl.io/keeps-data"
"""Annotation of a ConfigMap whose values belong to the cluster: only missing keys are added."""

Progress = Callable[[str], None]


class InstallOutcome(StrEnum):
    INSTALLED = "installed"
    UNCHANGED = "unchanged"
    ADOPTED = "adopted"
    """It was there, made by somebody else, and is left as it is."""


@dataclass
class ComponentChange:
    """What the installation of one component did, or would do."""

    component: str
    outcome: InstallOutcome = InstallOutcome.UNCHANGED
    created: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: int = 0


@dataclass(frozen=True)
class Installer:
    """``render`` gives a component's documents with the settings filled in."""

    cluster: Cluster
    render: Callable[[InstallComponent], list[Object]]
    progress: Progress = lambda line: None
    ready_timeout_s: float = READY_TIMEOUT_S
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC)

    def plan(self, components: Sequence[InstallComponent]) -> list[ComponentChange]:
        """What ``install`` would make or change. Writes nothing."""
        return [self._plan(component) for component in components]

    def install(self, components: Sequence[InstallComponent]) -> list[ComponentChange]:
        """Install what is missing, in order, and wait until each is available.

        Raises PreconditionMissing for what has to be there before, and
        ComponentNotReady naming the pod that does not start.
        """
        rendered = {c.name: self.render(c) for c in components if not self.adopted(c)}
        changes = []
        for component in components:
            if component.name not in rendered:
                self.progress(f"{component.name}: adopted, somebody else installed it")
                changes.append(ComponentChange(component.name, InstallOutcome.ADOPTED))
                continue
            changes.append(self._install(component, rendered[component.name]))
        return changes

    def adopted(self, component: InstallComponent) -> bool:
        """Whether all of it is there and none of it is ours."""
        objects = [self.cluster.get(DEFINITION, name, "") for name in component.definitions]
        objects += [deployment_of(self.cluster, component, name) for name in component.workloads]
        if not objects or not all(o and not is_ours(o) for o in objects):
            return False
        if not component.own_kinds:
            return True
        own = [d for d in self.render(component) if d["kind"] in component.own_kinds]
        return all(self._there(document) for document in own)

    def _there(self, document: Object) -> bool:
        kind = self.cluster.kind_of(document)
        metadata = document["metadata"]
        return self.cluster.get(kind, metadata["name"], metadata["namespace"]) is not None

    # ---- one component -----------------------------------------------------

    def _plan(self, component: InstallComponent) -> ComponentChange:
        change = ComponentChange(component.name)
        if self.adopted(component):
            change.outcome = InstallOutcome.ADOPTED
            return change
        documents = self.render(component)
        for certificate in component.certificates:
            if data := self._certificate(certificate):
                documents = with_authority(documents, certificate, data[AUTHORITY])
        for document in ordered(documents):
            self._compare(document, change, dry_run=True)
        return _settled(change)

    def _install(self, component: InstallComponent, documents: Sequence[Object]) -> ComponentChange:
        self._check_needs(component)
        change = ComponentChange(component.name)
        self.progress(f"{component.name}: applying {len(documents)} objects")
        first = [d for d in documents if d["kind"] in FIRST]
        for document in ordered(first):
            self._compare(document, change)
        self._await_definitions(component, first)
        for secret in component.secrets:
            self._make_secret(secret, change)
        for certificate in component.certificates:
            authority = self._make_certificate(certificate, change)
            documents = with_authority(documents, certificate, authority)
        for document in ordered([d for d in documents if d["kind"] not in FIRST]):
            self._compare(document, change)
        self._await_workloads(component)
        _settled(change)
        counts = f"{len(change.created)} made, {len(change.changed)} changed"
        self.progress(f"{component.name}: ready ({counts}, {change.unchanged} unchanged)")
        return change

    def _check_needs(self, component: InstallComponent) -> None:
        for name in component.needs:
            if not is_served(self.cluster.get(DEFINITION, name, "")):
                raise PreconditionMissing(
                    f"{component.name} needs {name}, which the cluster does not serve",
                    where=self.cluster.server,
                    fix="platform-ctl target check",
                )

    def _compare(self, document: Object, change: ComponentChange, *, dry_run: bool = False) -> None:
        """Apply one document and note whether that made, changed or left the object."""
        name = f"{document['kind']}/{document['metadata']['name']}"
        kind = self.cluster.kind(document["apiVersion"], document["kind"])
        namespace = document["metadata"].get("namespace") or self.cluster.namespace
        name_of = document["metadata"]["name"]
        before = self.cluster.get(kind, name_of, namespace) if kind else None
        if before is None and dry_run:
            change.created.append(name)
            return
        if before is not None and document["kind"] == DEFINITION.kind and not is_ours(before):
            change.unchanged += 1  # of another version perhaps, with objects of others in it
            return
        if before is not None and KEEPS_DATA in document["metadata"].get("annotations", {}):
            document = {**document, "data": {**document["data"], **before.get("data", {})}}
        after = self.cluster.apply(document, dry_run=dry_run)
        if before is None:
            change.created.append(name)
        elif _content(before) != _content(after):
            change.changed.append(name)
        else:
            change.unchanged += 1

    # ---- secrets -----------------------------------------------------------

    def _make_secret(self, wanted: GeneratedSecret, change: ComponentChange) -> None:
        """Make the Secret with its keys, or add those it lacks. Values never leave the cluster."""
        secret = self.cluster.get(SECRET, wanted.name, wanted.namespace)
        missing = [key for key in wanted.keys if key not in (secret or {}).get("data", {})]
        if not missing:
            change.unchanged += 1
            return
        by_hand = [key for key in missing if wanted.keys[key] == "given"]
        if by_hand:
            raise PreconditionMissing(
                f"the Secret {wanted.name} of {wanted.namespace} lacks {', '.join(by_hand)}",
                where=self.cluster.server,
                fix=f"kubectl -n {wanted.namespace} create secret generic {wanted.name} "
                f"--from-literal={by_hand[0]}=VALUE",
            )
        data = {key: self._value(wanted.keys[key], wanted) for key in missing}
        manifest = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": wanted.name, "namespace": wanted.namespace},
            "data": data,
        }
        if secret:
            self.cluster.patch(SECRET, wanted.name, {"data": data}, namespace=wanted.namespace)
            change.changed.append(f"Secret/{wanted.name}")
        elif self.cluster.create(manifest) is not None:
            change.created.append(f"Secret/{wanted.name}")

    def _value(self, rule: str, wanted: GeneratedSecret) -> str:
        """The value of a key, in base64 as the API has it."""
        if rule == "generate":
            return _encoded(secrets.token_hex(16))
        if rule.startswith("="):
            return _encoded(rule[1:])
        namespace, name, key = rule.split("/")
        source = self.cluster.get(SECRET, name, namespace) or {}
        if key not in source.get("data", {}):
            raise PreconditionMissing(
                f"the Secret {wanted.name} of {wanted.namespace} is a copy of {rule}, "
                "which does not exist",
                where=self.cluster.server,
                fix=f"platform-ctl target install {namespace}, or make the Secret {wanted.name}",
            )
        return str(source["data"][key])

    def _certificate(self, wanted: WebhookCertificate) -> dict[str, str]:
        """What the Secret of a webhook's certificate holds while it serves; else nothing."""
        secret = self.cluster.get(SECRET, wanted.secret, wanted.namespace) or {}
        data: dict[str, str] = secret.get("data") or {}
        return data if days_left(data, wanted, self.now()) > RENEW_DAYS else {}

    def _make_certificate(self, wanted: WebhookCertificate, change: ComponentChange) -> str:
        """The authority of the webhook's certificate, which is made where none serves."""
        if data := self._certificate(wanted):
            change.unchanged += 1
            return data[AUTHORITY]
        data = made(wanted, self.now())
        metadata = {"name": wanted.secret, "namespace": wanted.namespace}
        secret = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls"}
        self.cluster.apply(secret | {"metadata": metadata, "data": data})
        change.created.append(f"Secret/{wanted.secret}")
        return data[AUTHORITY]

    # ---- waiting -----------------------------------------------------------

    def _await_definitions(self, component: InstallComponent, documents: Sequence[Object]) -> None:
        names = [d["metadata"]["name"] for d in documents if d["kind"] == FIRST[1]]
        deadline = self.clock() + DEFINED_TIMEOUT_S
        while unserved := [n for n in names if not is_served(self.cluster.get(DEFINITION, n, ""))]:
            if self.clock() > deadline:
                raise ComponentNotReady(
                    f"{component.name}: {', '.join(unserved)} is not served",
                    where=self.cluster.server,
                    fix=f"kubectl describe crd {unserved[0]}",
                )
            self.sleep(POLL_S)
        self.cluster.forget_kinds()

    def _await_workloads(self, component: InstallComponent) -> None:
        deadline = self.clock() + self.ready_timeout_s
        printed = ("", "")
        while late := [n for n in component.workloads if not self._available(component, n)]:
            deployment = deployment_of(self.cluster, component, late[0])
            stuck = self._stuck(deployment) if deployment else ""
            if (late[0], stuck) != printed:
                printed = (late[0], stuck)
                self.progress(f"{component.name}: waiting for {', '.join(late)}{stuck}")
            if self.clock() > deadline:
                raise self._not_ready(component, late[0])
            self.sleep(POLL_S)

    def _available(self, component: InstallComponent, name: str) -> bool:
        deployment = deployment_of(self.cluster, component, name)
        if deployment is None:
            return False
        status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
        seen = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
        updated = status.get("updatedReplicas", 0) >= wanted
        return bool(seen and updated and status.get("availableReplicas", 0) >= wanted)

    def _not_ready(self, component: InstallComponent, name: str) -> ComponentNotReady:
        deployment = deployment_of(self.cluster, component, name)
        namespace = deployment["metadata"]["namespace"] if deployment else component.namespace
        why = self._why(deployment) if deployment else ""
        return ComponentNotReady(
            f"{component.name}: {name} is not available after {self.ready_timeout_s:.0f} s{why}",
            where=f"namespace {namespace}",
            fix=f"kubectl -n {namespace} describe deployment/{name.rpartition('/')[2]}",
        )

    def _why(self, deployment: Object) -> str:
        """Why no pod is made, why one does not run, or what was last said of one."""
        if stuck := self._stuck(deployment):
            return stuck
        namespace = deployment["metadata"]["namespace"]
        for pod in self._pods(deployment):
            name = pod["metadata"]["name"]
            fields = f"type=Warning,involvedObject.name={name}"
            if events := self.cluster.list(EVENT, fields=fields, namespace=namespace):
                newest = max(events, key=lambda e: str(e.get("lastTimestamp") or ""))
                return f": {newest['reason']} of pod {name} {newest['message']}"
        return ""

    def _stuck(self, deployment: Object) -> str:
        """Why no pod is made, or why one does not run; empty while they start."""
        for condition in deployment.get("status", {}).get("conditions", []):
            if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
                return f": {condition.get('message', '')}"
        for pod in self._pods(deployment):
            if stuck := pods.blocked(pod):
                return f": {stuck.reason} in pod {stuck.pod} {stuck.message}".rstrip()
        return ""

    def _pods(self, deployment: Object) -> list[Object]:
        """The pods of a Deployment, the newest first: older ones may be of another revision."""
        labels = deployment["spec"]["selector"].get("matchLabels", {})
        selector = ",".join(f"{k}={v}" for k, v in labels.items())
        namespace = deployment["metadata"]["namespace"]
        listed = self.cluster.list(POD, labels=selector, namespace=namespace) if selector else []
        return sorted(
            listed, key=lambda p: str(p["metadata"].get("creationTimestamp")), reverse=True
        )


def ordered(documents: Sequence[Object]) -> list[Object]:
    """Namespaces and definitions first, webhooks last, else as they were rendered."""

    def rank(document: Object) -> int:
        if document["kind"] in FIRST:
            return FIRST.index(document["kind"])
        return 3 if document["kind"] in LAST else 2

    return sorted(documents, key=rank)


def _settled(change: ComponentChange) -> ComponentChange:
    change.outcome = (
        InstallOutcome.INSTALLED if change.created or change.changed else InstallOutcome.UNCHANGED
    )
    return change


def _content(document: Object) -> dict[str, Any]:
    """The object without what the API server counts and notes, and without its status."""
    noted = ("managedFields", "resourceVersion", "generation", "creationTimestamp", "uid")
    metadata = {k: v for k, v in document["metadata"].items() if k not in noted}
    return {k: v for k, v in document.items() if k != "status"} | {"metadata": metadata}


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
