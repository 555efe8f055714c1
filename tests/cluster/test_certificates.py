"""A webhook with a certificate of the installation answers a real API server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from platform_ctl.cluster.api import SECRET, Cluster, Object
from platform_ctl.errors import ClusterRefused, ClusterUnavailable
from platform_ctl.installation.components import InstallComponent, WebhookCertificate
from platform_ctl.installation.install import Installer, InstallOutcome
from platform_ctl.installation.webhooks import KINDS
from tests.support.cluster import image, needs_image, own_namespace
from tests.support.waiting import eventually

VALIDATING = KINDS[0]
SECRET_NAME, SERVICE, REFUSAL = "hooks-cert", "hooks", "the webhook of the test says no"
SERVER = f'''
import http.server, json, ssl

class Refuse(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = {{"uid": asked["request"]["uid"], "allowed": False,
                  "status": {{"code": 403, "message": "{REFUSAL}"}}}}
        content = json.dumps(asked | {{"response": answer}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

server = http.server.ThreadingHTTPServer(("", 8443), Refuse)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/cert/tls.crt", "/cert/tls.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
'''
pytestmark = needs_image


@dataclass(frozen=True)
class Webhook:
    """A component that is nothing but a webhook, for ConfigMaps of its own namespace."""

    namespace: str

    @property
    def component(self) -> InstallComponent:
        return InstallComponent(
            name="hooks",
            does="",
            version="1",
            source="this repository",
            namespace=self.namespace,
            workloads=[f"hooks-{self.namespace}"],
            certificates=[WebhookCertificate(self.namespace, SECRET_NAME, SERVICE)],
        )

    def documents(self, component: InstallComponent) -> list[Object]:
        metadata = {"namespace": self.namespace}
        labels = {"app": "hooks"}
        container = {
            "name": "hooks",
            "image": image(),
            "imagePullPolicy": "IfNotPresent",
            "command": ["python", "-c", SERVER],
            "readinessProbe": {"tcpSocket": {"port": 8443}, "periodSeconds": 1},
            "volumeMounts": [{"name": "cert", "mountPath": "/cert"}],
        }
        pod = {
            "containers": [container],
            "volumes": [{"name": "cert", "secret": {"secretName": SECRET_NAME}}],
            "terminationGracePeriodSeconds": 1,
        }
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": component.workloads[0], **metadata},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        }
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": SERVICE, **metadata},
            "spec": {"selector": labels, "ports": [{"port": 443, "targetPort": 8443}]},
        }
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"]}
        hook = {
            "name": "configmaps.example.org",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "clientConfig": {"service": {"namespace": self.namespace, "name": SERVICE}},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}},
            "objectSelector": {"matchLabels": {"asked": "yes"}},
            "rules": [rule | {"resources": ["configmaps"]}],
        }
        configuration = {
            "apiVersion": VALIDATING.group_version,
            "kind": VALIDATING.kind,
            "metadata": {"name": self.namespace},
            "webhooks": [hook],
        }
        return [configuration, deployment, service]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with own_namespace("cert") as found:
        labels = {"metadata": {"labels": {"katib.kubeflow.org/metrics-collector-injection": None}}}
        space = found.kind("v1", "Namespace")
        assert space
        found.patch(space, found.namespace, labels, namespace="")
        try:
            yield found
        finally:
            found.delete(VALIDATING, found.namespace, namespace="")


def refusal(cluster: Cluster) -> str:
    """What the API server says when a ConfigMap is made that the webhook is asked about."""
    metadata = {"name": "asked", "labels": {"asked": "yes"}}
    try:
        cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}, dry_run=True)
    except (ClusterRefused, ClusterUnavailable) as exc:
        return exc.what
    return ""


def test_the_api_server_trusts_the_certificate_and_a_second_run_keeps_it(cluster: Cluster) -> None:
    webhook = Webhook(cluster.namespace)
    installer = Installer(cluster, webhook.documents)
    [change] = installer.install([webhook.component])
    assert f"Secret/{SECRET_NAME}" in change.created
    eventually(lambda: REFUSAL in refusal(cluster), seconds=60)
    before = cluster.get(SECRET, SECRET_NAME)
    [again] = installer.install([webhook.component])
    assert (again.outcome, again.changed) == (InstallOutcome.UNCHANGED, [])
    [planned] = installer.plan([webhook.component])
    assert planned.outcome == InstallOutcome.UNCHANGED
    after = cluster.get(SECRET, SECRET_NAME)
    assert before and after and before["data"] == after["data"]


def test_a_certificate_that_is_lost_is_made_anew_with_its_authority(cluster: Cluster) -> None:
    webhook = Webhook(cluster.namespace)
    installer = Installer(cluster, webhook.documents)
    installer.install([webhook.component])
    cluster.delete(SECRET, SECRET_NAME)
    [change] = installer.install([webhook.component])
    assert change.created == [f"Secret/{SECRET_NAME}"]
    assert change.changed == [f"{VALIDATING.kind}/{cluster.namespace}"]
