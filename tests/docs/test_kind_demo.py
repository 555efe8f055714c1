"""The demo on kind, which no test here can run: what it would run, and in which order."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import yaml

from platform_ctl.installation.lint import check_documents
from tests.support.pages import check_call

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "infra" / "kind" / "demo.sh"


def steps() -> list[str]:
    done = subprocess.run([DEMO, "--dry-run"], capture_output=True, text=True, check=True)
    return [line.removeprefix("+ ") for line in done.stdout.splitlines()]


def test_a_dry_run_lists_every_step_in_order() -> None:
    words = [shlex.split(step)[:3] for step in steps()]
    wanted = [
        "kind create",
        "docker build",
        "kind load",
        "platform-ctl target",
        "platform-ctl --target",
    ]
    found = [next(i for i, w in enumerate(words) if " ".join(w).startswith(s)) for s in wanted]
    assert found == sorted(found)


def test_its_commands_of_ours_parse_and_its_files_exist() -> None:
    for step in steps():
        if step.startswith("platform-ctl"):
            check_call(step)
        for name in re.findall(r"infra/\S+", step):
            assert (ROOT / name).is_file(), name


def test_an_unknown_word_is_refused() -> None:
    done = subprocess.run([DEMO, "--now"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "usage" in done.stderr


def test_the_image_is_pinned_and_runs_as_a_numbered_user() -> None:
    text = (ROOT / "infra" / "image" / "Containerfile").read_text()
    bases = re.findall(r"^ARG (?:PYTHON|UV)=(\S+)$", text, re.MULTILINE)
    assert len(bases) == 2
    assert all(re.search(r":\d+\.\d+\.\d+", base) for base in bases)
    assert re.search(r"^USER [1-9]\d*:", text, re.MULTILINE)
    for source in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
        for name in source.split():
            assert (ROOT / name).exists(), name


def test_the_manifests_of_the_demo_pass_the_lint() -> None:
    text = (ROOT / "infra" / "kind" / "gateway-port.yaml").read_text()
    assert check_documents(list(yaml.safe_load_all(text)), ours=True) == []
    cluster = yaml.safe_load((ROOT / "infra" / "kind" / "cluster.yaml").read_text())
    assert all("@sha256:" in node["image"] for node in cluster["nodes"])
