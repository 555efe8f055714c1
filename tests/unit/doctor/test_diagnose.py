"""`platform-ctl doctor`, check by check: real files, ports and processes."""

from __future__ import annotations

import dataclasses
import os
import socket
from pathlib import Path

import pytest

from platform_ctl.doctor import doctor
from platform_ctl.doctor.doctor import Health, Schema
from platform_ctl.errors import ServiceUnavailable
from platform_ctl.runs.record import Run, RunState
from platform_ctl.serving.service import InferenceService, RevisionStatus, ServiceSpec, ServiceState
from platform_ctl.settings import HomeLayout, ServingSettings, Settings

NO_PID = 2**22 + 1
"""Above the largest pid a Linux kernel gives out."""


def run(pid: int | None, state: RunState = RunState.RUNNING, *, orphaned: bool = False) -> Run:
    return Run(
        id="5e0c",
        name="weekly",
        pipeline="train-deploy",
        state=state,
        created_at="",
        directory="",
        pid=pid,
        orphaned=orphaned,
    )


def service(state: ServiceState, pid: int | None, url: str = "") -> InferenceService:
    return InferenceService(
        name="commits", state=state, url=url, spec=ServiceSpec(production=None), pid=pid
    )


def test_an_old_python_fails() -> None:
    assert doctor.check_python((3, 10, 4)).health == Health.FAIL
    assert doctor.check_python((3, 11, 0)).health == Health.OK


def test_a_missing_base_package_fails_and_a_missing_extra_warns() -> None:
    required = ["click>=8.1", "Ray_Data>=1", 'kfp>=2; extra == "ml"', 'x; extra == "kubernetes"']
    checks = {c.name: c for c in doctor.compare_requirements(required, {"click": "8.1"})}
    assert checks["packages"].health == Health.FAIL
    assert checks["packages"].detail == "missing: ray-data"
    assert checks["packages (ml)"].health == Health.WARN
    assert checks["packages (ml)"].fix == "make -B setup"
    assert checks["packages (kubernetes)"].health == Health.OK


def test_versions_are_compared_without_their_local_label(tmp_path: Path) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("# pins\ntorch==2.13.0\nRay_X==1.0 ; python_version > '3'\n")
    pins = doctor.read_pins(constraints)
    assert pins == {"torch": "2.13.0", "ray-x": "1.0"}
    assert doctor.compare_pins(pins, {"torch": "2.13.0+cpu"}).health == Health.OK
    differs = doctor.compare_pins(pins, {"torch": "2.13.0", "ray-x": "1.1"})
    assert differs.health == Health.WARN
    assert "ray-x 1.1 (pinned 1.0)" in differs.detail


def test_this_environment_is_compared_with_the_real_pins() -> None:
    root = Path(__file__).resolve().parents[3]
    checks = list(doctor.check_packages(root / "constraints.txt"))
    assert "versions" in {c.name for c in checks}
    assert all(c.health == Health.OK or c.fix for c in checks)


def test_outside_the_repository_versions_are_not_compared(tmp_path: Path) -> None:
    *_, versions = doctor.check_packages(tmp_path / "constraints.txt")
    assert versions.health == Health.WARN


@pytest.mark.parametrize(
    ("free", "health"), [(10**8, Health.FAIL), (2 * 10**9, Health.WARN), (10**11, Health.OK)]
)
def test_disk(free: int, health: Health) -> None:
    assert doctor.check_disk(free).health == health


def test_a_home_is_not_made_by_looking_at_it(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"
    assert doctor.check_home(home).health == Health.OK
    assert not home.exists()


def test_a_home_that_others_can_read_is_named(tmp_path: Path) -> None:
    home = tmp_path / "with blank"
    home.mkdir()
    home.chmod(0o755)
    found = doctor.check_home(home)
    assert found.health == Health.WARN and "mode 0755" in found.detail
    assert found.fix == f"chmod 700 '{home}'"
    home.chmod(0o700)
    assert doctor.check_home(home).health == Health.OK


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_cannot_be_written_fails(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert doctor.check_home(tmp_path / "home").health == Health.FAIL


@pytest.mark.parametrize(
    ("have", "health"), [(None, Health.OK), (3, Health.OK), (9, Health.OK), (10, Health.FAIL)]
)
def test_schema(tmp_path: Path, have: int | None, health: Health) -> None:
    assert doctor.check_schema(HomeLayout(tmp_path), Schema(have, 9)).health == health


def test_a_secret_that_others_can_read_fails_until_its_fix_is_typed(tmp_path: Path) -> None:
    secret = tmp_path / "author-key"
    secret.write_text("k")
    secret.chmod(0o644)
    (found,) = doctor.check_secrets(tmp_path.iterdir())
    assert found.health == Health.FAIL
    command, mode, path = found.fix.split()
    assert command == "chmod"
    Path(path).chmod(int(mode, 8))
    (repaired,) = doctor.check_secrets(tmp_path.iterdir())
    assert repaired.health == Health.OK


def test_the_configured_port() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = Settings(serving=ServingSettings(port=port))
        assert doctor.check_port(settings, ()).health == Health.FAIL
        ours = service(ServiceState.RUNNING, os.getpid(), f"http://127.0.0.1:{port}")
        assert doctor.check_port(settings, [ours]).health == Health.OK
    assert doctor.check_port(settings, ()).health == Health.OK
    assert doctor.check_port(Settings(), ()).health == Health.OK


def test_a_newest_run_that_was_killed_or_failed_waits_to_be_resumed() -> None:
    killed, going = run(None, RunState.FAILED, orphaned=True), run(os.getpid())
    assert doctor.check_runs([killed, going]).fix == "platform-ctl run resume 5e0c"
    assert doctor.check_runs([going, killed]).health == Health.OK
    failed = dataclasses.replace(run(None, RunState.FAILED), error="train: no room\x1b[2J")
    named = doctor.check_runs([failed, going])
    assert (named.health, named.fix) == (Health.WARN, "platform-ctl run resume 5e0c")
    assert "failed: train: no room" in named.detail
    assert doctor.check_runs([run(None, RunState.CANCELED)]).health == Health.OK
    assert doctor.check_runs([]).health == Health.OK


def test_a_degraded_service_is_named() -> None:
    stopped = service(ServiceState.STOPPED, None)
    (degraded,) = doctor.check_services([service(ServiceState.DEGRADED, os.getpid()), stopped])
    assert degraded.fix == "platform-ctl service logs commits"
    (fine,) = doctor.check_services([stopped])
    assert fine.health == Health.OK


def test_a_service_whose_processes_were_killed_is_named() -> None:
    gone = RevisionStatus("v1", "production", None, False, last_failure="killed")
    killed = dataclasses.replace(service(ServiceState.STOPPED, None), revisions=(gone,))
    (found,) = doctor.check_services([killed])
    assert (found.health, found.fix) == (Health.WARN, "platform-ctl service start commits")
    assert "does not run: killed" in found.detail


class SilentServing:
    """Serving whose supervisor does not answer."""

    def list(self) -> list[InferenceService]:
        raise ServiceUnavailable("commits does not answer", fix="platform-ctl service stop commits")


def test_a_service_that_does_not_answer_fails_its_check_and_no_other(tmp_path: Path) -> None:
    checks = doctor.diagnose(Settings(home=str(tmp_path)), {}, Schema(1, 1), None, SilentServing())
    failed = [c for c in checks if c.detail == "commits does not answer"]
    assert [c.health for c in failed] == [Health.FAIL]
    assert {"python", "disk", "processes"} <= {c.name for c in checks}
