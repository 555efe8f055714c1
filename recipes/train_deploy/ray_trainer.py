"""Ray Train's TorchTrainer without the two actors that this recipe has no use for, and its storage.

Each actor is a process that imports ray.train: about two CPU seconds. Measured
in docs/decisions/0030-ray-start-up.md: a ten-epoch fit takes half the time.
"""

from __future__ import annotations

from ray.train import CheckpointConfig, FailureConfig, RunConfig
from ray.train.torch import TorchTrainer
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback

UNUSED = (
    DatasetsCallback,  # manages Ray Data shards; the workers read one parquet file
    PlacementGroupCleanerCallback,  # outlives a dead controller; here Ray itself ends with the run
)


class LeanTorchTrainer(TorchTrainer):
    """A TorchTrainer that starts three actors (controller, coordinator, barrier) and its workers.

    Overrides one private method of the pinned Ray. Where a later Ray calls it no
    more, this is a plain TorchTrainer again, only slower; the benchmark shows it.
    """

    def _create_default_callbacks(self):
        callbacks = super()._create_default_callbacks()
        return [callback for callback in callbacks if not isinstance(callback, UNUSED)]


MAX_FAILURES = 3
"""How often lost workers are replaced within one call; the epochs before are kept."""


def run_config(checkpoints: str | None, storage: str) -> RunConfig:
    """Where Ray Train keeps a fit: in the folder of that URI, else in ``storage`` until it ends.

    The same name and folder again make Ray Train go on with the last checkpoint.
    """
    if checkpoints is None:
        return RunConfig(name="fit", storage_path=storage)
    import fsspec
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    system, path = fsspec.core.url_to_fs(checkpoints)
    return RunConfig(
        name="fit",
        storage_path=path,
        storage_filesystem=PyFileSystem(FSSpecHandler(system)),
        checkpoint_config=CheckpointConfig(num_to_keep=2),
        failure_config=FailureConfig(max_failures=MAX_FAILURES),
    )
