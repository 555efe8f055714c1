"""The demo on kind, which no test here can run: what it would run, and in which order."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from platform_ctl.installation.lint import check_documents
from tests.support.pages import check_call

ROOT = Path(__file__).resolve().parents[2]
RUN = "import sys; from platform_ctl.cli.app import main; sys.exit(main())"
DEMO = ROOT / "infra" / "kind" / "demo.sh"


def steps() -> list[str]:
    done = subprocess.run([DEMO, "--dry-run"], capture_output=True, text=True, check=True)
    return [line.removeprefix("+ ") for line in done.stdout.splitlines()]


def test_a_dry_run_lists_every_step_in_order() -> None:
    words = [shlex.split(step)[:4] for step in steps()]
    wanted = [
        "kind create",
        "docker build",
        "kind load",
        "platform-ctl target",
        "kubectl -n kubeflow exec",
    ]
    found = [next(i for i, w in enumerate(words) if " ".join(w).startswith(s)) for s in wanted]
    assert found == sorted(found)


def test_its_commands_of_ours_parse_and_its_files_exist() -> None:
    for step in steps():
        if "platform-ctl " in step and not step.startswith("sh "):
            check_call(step[step.index("platform-ctl ") :])
        for name in re.findall(r"infra/\S+", step):
            assert (ROOT / name).is_file(), name


def test_what_needs_the_servers_inside_the_cluster_is_typed_inside_it() -> None:
    """KFP's default address is that of its Service, which a laptop does not resolve."""
    outside = [s for s in steps() if re.match(r"platform-ctl (?!target )", s)]
    assert outside == []


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


def test_the_image_follows_the_usual_rules() -> None:
    """Those of hadolint that hold here: DL3006, 3008 (bases pin), 3009, 3015, 3020, 4006."""
    text = (ROOT / "infra" / "image" / "Containerfile").read_text().replace("\\\n", "")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert not [line for line in lines if line.startswith("ADD ")]
    for line in (line for line in lines if line.startswith("RUN ")):
        assert "| " not in line
        if "apt-get install" in line:
            assert "--no-install-recommends" in line
            assert "rm -rf /var/lib/apt/lists/*" in line
    used = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert set(used) <= {"${PYTHON}", "${UV}"}
    last = [line for line in lines if line.startswith(("USER", "CMD"))]
    assert [line.split()[0] for line in last] == ["USER", "CMD"]


def test_what_the_image_copies_is_a_project_that_runs(tmp_path: Path) -> None:
    text = (ROOT / "infra" / "image" / "Containerfile").read_text()
    ignored = (ROOT / "infra" / "image" / "Containerfile.dockerignore").read_text().split()
    for words in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
        for name in words.split():
            assert f"!{name}" in ignored, f"{name} is kept from the build"
            source, target = ROOT / name, tmp_path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
    done = subprocess.run(
        [sys.executable, "-c", RUN, "pipeline", "list"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "train-deploy" in done.stdout


def test_the_manifests_of_the_demo_pass_the_lint() -> None:
    text = (ROOT / "infra" / "kind" / "gateway-port.yaml").read_text()
    assert check_documents(list(yaml.safe_load_all(text)), ours=True) == []
    cluster = yaml.safe_load((ROOT / "infra" / "kind" / "cluster.yaml").read_text())
    assert all("@sha256:" in node["image"] for node in cluster["nodes"])
