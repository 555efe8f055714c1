"""What no manifest of ours may have, whichever base it is patched from.

A rule says what is wrong with one rendered document or one kustomization; the
sources are the Pod Security Standard ``restricted`` and what was seen to fail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from platform_ctl.installation.rendering import (
    PLATFORM_IMAGE,
    WORKLOADS,
    all_containers,
    pod_template,
)
from platform_ctl.installation.webhooks import hooks_of, stops_pods

PINNED = re.compile(r"[?&]ref=v?\d|/download/v?\d")
"""A remote base names a tag, not a branch."""
NAMED_IMAGE = re.compile(r'"image"\s*:\s*"([^"]+:[^"]+)"')
"""An image in the JSON of a ConfigMap, which a controller reads and starts."""
CREDENTIAL = re.compile(r"(PASSWORD|SECRET|TOKEN|(ACCESS|SECRET)_?KEY)$")
SWITCHES = ("", "true", "false", "yes", "no")
"""Values of variables that are named like a credential and are none: MYSQL_ALLOW_EMPTY_PASSWORD."""
DELETION = "$patch"


@dataclass(frozen=True)
class ManifestProblem:
    """``rule`` is a fixed word; ``where`` is KIND/NAME or a file."""

    rule: str
    where: str
    detail: str


def check_documents(documents: Sequence[Mapping[str, Any]], *, ours: bool) -> list[ManifestProblem]:
    """Problems of rendered documents. ``ours``: written here, so the strict rules hold too."""
    problems: list[ManifestProblem] = []
    for document in documents:
        where = f"{document['kind']}/{document['metadata']['name']}"
        if document["kind"] in WORKLOADS:
            problems += [ManifestProblem(r, where, d) for r, d in _workload(document, ours)]
        else:
            problems += [ManifestProblem("latest", where, d) for d in _started_later(document)]
        filled = document.get("data") or document.get("stringData")
        if document["kind"] == "Secret" and ours and filled:
            problems.append(ManifestProblem("secret", where, "a manifest carries a secret's value"))
        if document["kind"] == "NetworkPolicy":
            problems += [ManifestProblem(r, where, d) for r, d in _policy(document)]
        if document["kind"].endswith("WebhookConfiguration"):
            problems += [ManifestProblem(r, where, d) for r, d in _webhooks(document, documents)]
    return problems


def check_shared(
    rendered: Mapping[str, Sequence[Mapping[str, Any]]],
) -> list[ManifestProblem]:
    """Objects that two components render differently. ``rendered``: component -> its documents.

    The installation owns the fields that it applies: each of the two would take away from the
    object what only the other one has, and no second run would find it unchanged.
    """
    first: dict[tuple[str, str, str], tuple[str, Mapping[str, Any]]] = {}
    problems = []
    for component, documents in rendered.items():
        for document in documents:
            metadata = document["metadata"]
            key = (document["kind"], metadata.get("namespace", ""), metadata["name"])
            other, before = first.setdefault(key, (component, document))
            if before != document:
                where = f"{document['kind']}/{metadata['name']}"
                what = f"{other} and {component} render it differently"
                problems.append(ManifestProblem("shared-object", where, what))
    return problems


def _started_later(document: Mapping[str, Any]) -> Iterator[str]:
    """Images without a version that a controller takes from this object; ``_KEYS`` are prose."""
    if document["kind"] == "ConfigMap":
        for key, text in (document.get("data") or {}).items():
            if not key.startswith("_"):
                for image in NAMED_IMAGE.findall(text):
                    yield from _image(image)
    one = document.get("spec", {}).get("container") or {}
    if isinstance(one, Mapping) and "image" in one:
        yield from _image(one["image"])


def _webhooks(
    document: Mapping[str, Any], documents: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    """Webhooks that refuse the first pods of what is installed with them."""
    for hook in hooks_of(dict(document), document["kind"]):
        for workload in (d for d in documents if d["kind"] in WORKLOADS):
            labels = pod_template(workload).get("metadata", {}).get("labels", {})
            if workload["metadata"].get("namespace") == hook.server[0] and stops_pods(
                hook.content, None, labels
            ):
                name = f"{workload['kind']}/{workload['metadata']['name']}"
                yield "circular-webhook", f"{hook.content['name']} can refuse pods of {name}"


def _workload(document: Mapping[str, Any], ours: bool) -> Iterator[tuple[str, str]]:
    if document["kind"] == "Deployment" and document["spec"].get("replicas") == 0:
        return
    pod = pod_template(document)["spec"]
    shared = pod.get("securityContext", {})
    for container in all_containers(document):
        name, context = container["name"], container.get("securityContext", {})
        yield from (("latest", d) for d in _image(container["image"]))
        resources = container.get("resources", {})
        for kind in ("requests", "limits") if ours else ("requests",):
            if not {"cpu", "memory"} <= set(resources.get(kind, {})):
                yield "resources", f"{name} has no {kind} of cpu and memory"
        if not (context.get("runAsNonRoot") or shared.get("runAsNonRoot")):
            yield "root", f"{name} may run as root"
        for variable in container.get("env") or []:
            value = str(variable.get("value", ""))
            known = value in SWITCHES or value.startswith(("file:", "env:"))
            if not known and CREDENTIAL.search(variable["name"]):
                yield "secret", f"{name} carries {variable['name']} as a value"
        if ours:
            yield from _strict(name, context, shared, container)


def _image(image: str) -> Iterator[str]:
    tag = image.split("@", maxsplit=1)[0].rsplit("/", 1)[-1].partition(":")[2]
    if image != PLATFORM_IMAGE and "@sha256:" not in image and tag in ("", "latest", "master"):
        yield f"{image} is not pinned"


def _strict(
    name: str, context: Mapping[str, Any], shared: Mapping[str, Any], container: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    user = context.get("runAsUser", shared.get("runAsUser"))
    if not isinstance(user, int) or user == 0:
        yield "root", f"{name} names no user by number, so the kubelet cannot check it"
    if not context.get("readOnlyRootFilesystem"):
        yield "writable-root", f"{name} may write into its image"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "privilege", f"{name} may gain privileges"
    profile = context.get("seccompProfile", shared.get("seccompProfile", {}))
    if profile.get("type") != "RuntimeDefault":
        yield "seccomp", f"{name} has no seccomp profile"


def _policy(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Rules that let in more than somebody meant."""
    everything = document["spec"].get("podSelector") == {}
    for rule in document["spec"].get("ingress", []):
        if everything and rule and "from" not in rule:
            yield "open-policy", "podSelector {} with a rule for everybody"
        if not rule:
            yield "open-policy", "an empty rule lets everybody in"
        sources = rule.get("from", [])
        for source in sources:
            if source.get("namespaceSelector") == {}:
                yield "open-policy", "namespaceSelector {} lets every namespace in"
            narrow = "podSelector" in source and rule.get("ports")
            if everything and source.get("namespaceSelector") and not narrow:
                yield "whole-namespace", "podSelector {} opens every pod to another namespace"
        if any(set(s) == {"namespaceSelector"} for s in sources) and any(
            set(s) == {"podSelector"} for s in sources
        ):
            yield "split-source", "namespace and pods in two elements are alternatives, not both"


def check_kustomization(path: Path) -> list[ManifestProblem]:
    """Remote bases without a tag, and patches that some kubectl cannot read."""
    content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    named = [*content.get("resources", []), *content.get("components", [])]
    problems = [
        ManifestProblem("unpinned-base", str(path), f"{base} follows a branch")
        for base in named
        if "://" in base and not PINNED.search(base)
    ]
    for patch in content.get("patches", []):
        text = patch.get("patch") or (path.parent / patch["path"]).read_text(encoding="utf-8")
        documents = [d for d in yaml.safe_load_all(text) if isinstance(d, dict)]
        if len(documents) > 1 and any(DELETION in d for d in documents):
            what = f"{patch.get('path', 'a patch')} deletes beside another document"
            # kubectl 1.32 (kustomize 5.5) ends with a nil pointer there; later ones do not.
            problems.append(ManifestProblem("two-deletions", str(path), what))
    return problems
