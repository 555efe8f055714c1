#!/usr/bin/env python3
"""Write versions.lock.yaml, what each component renders to, and the PrometheusRule of the alerts.

``--check`` writes nothing and says what would change; ``--local`` leaves out remote bases;
``--digests`` writes digests.yaml from what the nodes of the cluster of the settings pulled.

A base that cannot be fetched here is named and keeps its line; the sums of the
requests are held against what the documentation promises.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import yaml

from platform_ctl import targets
from platform_ctl.cluster.api import Object
from platform_ctl.errors import ConfigError, StoreUnavailable
from platform_ctl.installation.components import (
    DIGESTS,
    LOCK,
    InstallComponent,
    Rendered,
    read_components,
    read_digests,
    read_lock,
)
from platform_ctl.installation.digests import on_nodes
from platform_ctl.installation.lint import check_documents, check_kustomization, check_shared
from platform_ctl.installation.rendering import render, summary
from platform_ctl.settings import load

ROOT = Path(__file__).resolve().parents[2]
OURS = "this repository"
ALERTS = Path("infra") / "monitoring" / "alerts.yml"
RULES = Path("infra") / "tier6" / "monitoring" / "rules.yaml"
WHOLE = (4000, 12 * 1024)
CORE = (2000, 6 * 1024)
"""CPU in thousandths and memory in MiB that all, and the core components, may request."""


def main(arguments: list[str]) -> int:
    """Exit code 1 when ``--check`` finds a difference, a problem or too large a sum."""
    if "--digests" in arguments:
        return _digests()
    check, local = "--check" in arguments, "--local" in arguments
    components = read_components(ROOT)
    known = read_lock(ROOT) if (ROOT / LOCK).exists() else {}
    read_digests(ROOT)
    now = {}
    failed = not _rules(check)
    rendered = {c.name: _rendered(c) for c in components if not local or c.source == OURS}
    problems = [*_problems(components, rendered)]
    for component in components:
        documents = rendered.get(component.name) or []
        found = summary(documents) if documents else None
        now[component.name] = found or known.get(component.name)
        if check and found and found != known.get(component.name):
            failed = True
            say(f"{component.name}: renders to another result than {LOCK} says; make tier6-render")
    for line in problems:
        say(line)
    failed |= bool(problems)
    lock = {name: rendered for name, rendered in now.items() if rendered}
    failed |= not _sums(components, lock)
    if not check:
        text = yaml.safe_dump(msgspec.to_builtins(lock), sort_keys=False, width=100)
        (ROOT / LOCK).write_text("# Written by `make tier6-render`.\n" + text, encoding="utf-8")
    return 1 if failed else 0


def _digests() -> int:
    settings = load(cwd=ROOT, env=os.environ).settings
    known = {image for rendered in read_lock(ROOT).values() for image in rendered.images}
    found = read_digests(ROOT) | on_nodes(targets.cluster(settings), known)
    comment = (ROOT / DIGESTS).read_text(encoding="utf-8")
    head = "".join(f"{line}\n" for line in comment.splitlines() if line.startswith("#"))
    (ROOT / DIGESTS).write_text(head + yaml.safe_dump(found, width=200), encoding="utf-8")
    say(f"{len(found)} of {len(known)} images have a digest")
    return 0


def _rules(check: bool) -> bool:
    """The alerts of a laptop's Prometheus as the object that its operator reads."""
    groups = yaml.safe_load((ROOT / ALERTS).read_text(encoding="utf-8"))
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "platform", "namespace": "monitoring"},
        "spec": groups,
    }
    head = f"# Written by `make tier6-render` from {ALERTS}.\n"
    text = head + yaml.safe_dump(rule, sort_keys=False, width=100)
    if not check:
        (ROOT / RULES).write_text(text, encoding="utf-8")
    elif not (ROOT / RULES).exists() or (ROOT / RULES).read_text(encoding="utf-8") != text:
        say(f"{RULES} is not what {ALERTS} says; make tier6-render")
        return False
    return True


def _rendered(component: InstallComponent) -> list[Object]:
    """The component's documents; none, and a line that says so, where its base is out of reach."""
    try:
        return render(ROOT, component)
    except (ConfigError, StoreUnavailable) as exc:
        say(f"{component.name}: not rendered here: {exc.what}")
        return []


def _problems(
    components: list[InstallComponent], rendered: dict[str, list[Object]]
) -> Iterator[str]:
    """What the lint finds, a line each."""
    for component in components:
        folder = ROOT / "infra" / "tier6" / component.name
        found = [p for k in folder.rglob("kustomization.yaml") for p in check_kustomization(k)]
        found += check_documents(rendered.get(component.name, []), ours=component.source == OURS)
        for problem in found:
            yield f"{component.name}: {problem.rule}: {problem.where}: {problem.detail}"
    for problem in check_shared(rendered):
        yield f"{problem.rule}: {problem.where}: {problem.detail}"


def _sums(components: list[InstallComponent], lock: dict[str, Rendered]) -> bool:
    """Print requests of each component and hold the sums."""
    core = {c.name for c in components if c.core}
    say(f"{'component':<12} {'CPU m':>6} {'MiB':>6}")
    for name, rendered in lock.items():
        say(f"{name:<12} {rendered.cpu_m:>6} {rendered.memory_mib:>6}")
    fits = True
    for label, chosen, (cpu, memory) in (
        ("core", [r for n, r in lock.items() if n in core], CORE),
        ("all", list(lock.values()), WHOLE),
    ):
        have = (sum(r.cpu_m for r in chosen), sum(r.memory_mib for r in chosen))
        fits &= have[0] <= cpu and have[1] <= memory
        say(f"{label:<12} {have[0]:>6} {have[1]:>6}  (at most {cpu} and {memory})")
    return fits


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
