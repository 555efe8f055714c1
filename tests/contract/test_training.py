"""One suite for every training: a fake, the Ray of this machine, a Ray cluster that runs already,
and RayJobs where a cluster is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from platform_ctl.errors import BadParameter, ConfigError, RayUnavailable, TrainingFailed
from platform_ctl.progress import Progress, parse
from platform_ctl.training.local.ray_switches import held_cpus
from platform_ctl.training.local.training import LocalTraining
from platform_ctl.training.port import Metrics, Training, TrainingJob, WorkerResources
from platform_ctl.training.ray_cluster import remote
from platform_ctl.training.ray_cluster.training import RayClusterTraining
from tests.fakes.training import FakeTraining
from tests.support.cluster import needs_image
from tests.support.fits import SlowReports
from tests.support.in_cluster import Driver, in_cluster
from tests.support.ray_heads import ray_head

TOKEN = "a-token-of-this-suite-of-32-signs"


class PodTraining:
    """Each call of the port in a step's pod of its own."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def run(
        self, job: TrainingJob, *, on_progress: Callable[[Progress], None] = lambda progress: None
    ) -> Metrics:
        answer = self._driver.call(
            "train",
            job=msgspec.to_builtins(job),
            files={name: Path(path).read_text() for name, path in job.inputs.items()},
        )
        for progress in filter(None, map(parse, answer.log)):
            on_progress(progress)
        for name, content in answer.files.items():
            Path(job.out).mkdir(exist_ok=True)
            (Path(job.out) / name).write_text(content)
        return answer.value

    def end_run(self, run_id: str) -> None:
        """The pods of this suite are gone with its namespace."""


@pytest.fixture(
    scope="module",
    params=[
        "fake",
        "local",
        pytest.param("ray_cluster", marks=pytest.mark.slow),
        pytest.param("kubernetes", marks=needs_image),
    ],
)
def training(request: pytest.FixtureRequest) -> Iterator[Training]:
    if request.param == "kubernetes":
        with in_cluster("training") as driver:
            yield PodTraining(driver)
    elif request.param == "ray_cluster":
        with ray_head(TOKEN) as address:
            yield RayClusterTraining(address, TOKEN)
    else:
        yield FakeTraining() if request.param == "fake" else LocalTraining()


def job(tmp_path: Path, function: str, **fields: object) -> TrainingJob:
    rows = tmp_path / "rows.txt"
    rows.write_text("2.0")
    small = WorkerResources(cpus=0.2, memory_mib=1500)
    given = {
        "resources": small,
        "name": f"run/{function}",
        "inputs": {"rows": str(rows)},
        "out": str(tmp_path / "out"),
    }
    return TrainingJob(function=f"tests.support.fits:{function}", **{**given, **fields})


def test_the_function_gets_paths_and_leaves_a_model(training: Training, tmp_path: Path) -> None:
    metrics = training.run(job(tmp_path, "copy", arguments={"factor": 1.5}, workers=2))
    assert metrics == {"loss": 3.0, "num_workers": 2}
    assert (tmp_path / "out" / "model.txt").read_text() == "3.0"


def test_epochs_are_heard_while_it_runs(training: Training, tmp_path: Path) -> None:
    heard: list[Progress] = []
    training.run(job(tmp_path, "here", epochs=3), on_progress=heard.append)
    assert (heard[-1].done, heard[-1].total, heard[-1].unit) == (3, 3, "epochs")
    assert heard[-1].figures == {"loss": pytest.approx(1 / 3)}


def test_a_fit_ends_after_its_last_epoch_was_heard(
    training: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not isinstance(training, RayClusterTraining):
        pytest.skip("the actor of an existing Ray cluster")
    monkeypatch.setattr(remote, "Reports", SlowReports)
    heard: list[Progress] = []
    training.run(job(tmp_path, "here", epochs=3), on_progress=heard.append)
    assert [progress.done for progress in heard] == [1, 2, 3]


def test_what_the_function_raises_is_a_failed_training(training: Training, tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match="the rows make no sense"):
        training.run(job(tmp_path, "broken"))


@pytest.mark.parametrize(
    "wanted", [{"workers": 4096}, {"resources": WorkerResources(gpus=9)}], ids=["workers", "gpus"]
)
def test_what_does_not_fit_is_refused_at_once(
    training: Training, tmp_path: Path, wanted: dict
) -> None:
    if "resources" in wanted and isinstance(training, PodTraining):
        pytest.skip("the account of a step's pod may not read nodes; the scheduler says it")
    with pytest.raises(BadParameter):
        training.run(job(tmp_path, "share", **wanted))


def test_more_workers_than_cores_share_them(tmp_path: Path) -> None:
    wanted = held_cpus() + 1
    metrics = LocalTraining().run(job(tmp_path, "share", workers=wanted))
    assert metrics == {"answered": wanted}


def test_a_reference_to_nothing_is_refused(training: Training, tmp_path: Path) -> None:
    with pytest.raises(BadParameter, match="names no function"):
        training.run(job(tmp_path, "nobody"))


def test_a_fit_on_an_existing_cluster_goes_on_with_the_epochs_it_kept(
    training: Training, tmp_path: Path
) -> None:
    if not isinstance(training, RayClusterTraining):
        pytest.skip("a setting of existing Ray clusters")
    kept = tmp_path / "kept"
    keeping = dataclasses.replace(training, checkpoints=kept.as_uri())
    with pytest.raises(TrainingFailed, match="killed in epoch 2"):
        keeping.run(job(tmp_path, "interrupted"))
    assert list(kept.rglob("epoch-1"))
    again = job(tmp_path, "interrupted", out=str(tmp_path / "later"))
    assert keeping.run(again) == {"went_on_with": 1}
    assert list(kept.rglob("epoch-1")) == [], "what it kept is deleted after it succeeded"


def test_ending_a_run_twice_is_fine(training: Training) -> None:
    training.end_run("nothing-of-this-name")
    training.end_run("nothing-of-this-name")


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9"])
def test_a_cluster_that_does_not_answer_is_said_with_its_setting(
    tmp_path: Path, address: str
) -> None:
    with pytest.raises(RayUnavailable, match="does not answer") as caught:
        RayClusterTraining(address).run(job(tmp_path, "copy", arguments={"factor": 1.5}))
    assert "training.ray_address" in caught.value.where


@pytest.mark.parametrize("address", ["gpu-head", "http://head:8265", "head:many"])
def test_what_is_no_address_of_a_cluster_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match="is not the address of a Ray cluster"):
        RayClusterTraining(address).run(job(tmp_path, "copy", arguments={"factor": 1.5}))
