"""Certificates of admission webhooks, made at installation: no cert-manager is needed.

The API server calls a webhook at ``SERVICE.NAMESPACE.svc`` and trusts the
authority of ``caBundle`` alone (admissionregistration.k8s.io/v1). Each certificate
has an authority of its own, whose key is forgotten once it has signed. Nothing
renews it in between: it is valid for years, ``target check`` warns before the end,
and the next ``target install`` makes a new one.
"""

from __future__ import annotations

import base64
import binascii
import copy
import datetime
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from platform_ctl.cluster.api import Object
from platform_ctl.installation.components import WebhookCertificate

if TYPE_CHECKING:
    from cryptography import x509

VALID_DAYS = 1825
RENEW_DAYS = 30
"""With fewer days left an installation makes a new one, and a check warns."""
AUTHORITY, CERTIFICATE, KEY = "ca.crt", "tls.crt", "tls.key"
"""Keys of the Secret (kubernetes.io/tls, with the authority beside them)."""


def made(wanted: WebhookCertificate, now: datetime.datetime) -> dict[str, str]:
    """A new authority and a certificate that it signed, as base64 of PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority_name = _named(f"{wanted.service} webhook authority")
    names = [x509.DNSName(host) for host in hosts(wanted)]
    limits = (now - datetime.timedelta(minutes=5), now + datetime.timedelta(days=VALID_DAYS))

    def signed(builder: x509.CertificateBuilder) -> bytes:
        dated = builder.not_valid_before(limits[0]).not_valid_after(limits[1])
        numbered = dated.serial_number(x509.random_serial_number()).issuer_name(authority_name)
        certificate = numbered.sign(authority_key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM)

    authority = (
        x509.CertificateBuilder()
        .subject_name(authority_name)
        .public_key(authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    )
    leaf = (
        x509.CertificateBuilder()
        .subject_name(_named(hosts(wanted)[0][:64]))
        .public_key(key.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    data = {AUTHORITY: signed(authority), CERTIFICATE: signed(leaf), KEY: private}
    return {name: base64.b64encode(content).decode() for name, content in data.items()}


def hosts(wanted: WebhookCertificate) -> list[str]:
    """Names at which the API server and programs inside the cluster call the Service."""
    host = f"{wanted.service}.{wanted.namespace}.svc"
    return [host, f"{host}.cluster.local"]


def days_left(data: Mapping[str, str], wanted: WebhookCertificate, now: datetime.datetime) -> float:
    """Days for which the Secret's certificate serves; negative when it does not at all."""
    from cryptography import x509

    if not {AUTHORITY, CERTIFICATE, KEY} <= set(data):
        return -1.0
    try:
        certificate = x509.load_pem_x509_certificate(base64.b64decode(data[CERTIFICATE]))
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, binascii.Error, x509.ExtensionNotFound):
        return -1.0
    if hosts(wanted)[0] not in names.get_values_for_type(x509.DNSName):
        return -1.0
    return (certificate.not_valid_after_utc - now) / datetime.timedelta(days=1)


def with_authority(
    documents: Sequence[Object], wanted: WebhookCertificate, authority: str
) -> list[Object]:
    """The documents, with ``authority`` as the caBundle of the webhooks of the Service."""
    changed = copy.deepcopy(list(documents))
    for document in changed:
        for hook in document.get("webhooks") or []:
            service = hook["clientConfig"].get("service") or {}
            if (service.get("namespace"), service.get("name")) == (
                wanted.namespace,
                wanted.service,
            ):
                hook["clientConfig"]["caBundle"] = authority
    return changed


def _named(common_name: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
