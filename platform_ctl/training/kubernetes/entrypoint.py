"""The programs in the pods of a fit: ``python -m platform_ctl.training.kubernetes.entrypoint``.

``--job=URI`` is the fit's folder in the object store. ``--fetch`` puts the inputs
into the pod and ends (the init container of every pod); without it the function
is called: once, on Ray's head, or in each process of a TrainJob or PyTorchJob,
whose first one writes the result. Ends with 0 whenever ``result.json`` was written.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import traceback
from datetime import UTC, datetime
from pathlib import Path

from platform_ctl.cluster.store import RemoteStore
from platform_ctl.errors import PlatformError, TrainingFailed
from platform_ctl.training import call
from platform_ctl.training.kubernetes.job_files import INPUTS, JobFiles, JobResult, StoreReport
from platform_ctl.training.port import TrainingJob


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=f"python -m {__spec__.name if __spec__ else __name__}")
    parser.add_argument("--job", required=True)
    parser.add_argument("--fetch", action="store_true")
    arguments = parser.parse_args(argv)
    files = JobFiles(arguments.job)
    job = files.job()
    if arguments.fetch:
        fetch(job, Path(INPUTS))
        return 0
    result = fit(files, job)
    if int(os.environ.get("RANK", "0")) == 0:
        files.write_result(result)
    return 0


def fetch(job: TrainingJob, inputs: Path) -> None:
    """Put the inputs into the folder ``inputs``, under their arguments' names."""
    for name, uri in job.inputs.items():
        RemoteStore(uri).download(uri, inputs / name)


def fit(files: JobFiles, job: TrainingJob, inputs: Path = Path(INPUTS)) -> JobResult:
    """Call the function; what it leaves goes to the store before its metrics do."""
    with tempfile.TemporaryDirectory(prefix="model-") as folder:
        out_dir = Path(folder) / "out"
        try:
            metrics = call.call(
                job,
                {name: inputs / name for name in job.inputs},
                out_dir,
                report=StoreReport(files.uri, job, datetime.now(UTC)),
                resources_per_worker={
                    "CPU": math.ceil(job.resources.cpus),
                    "GPU": job.resources.gpus,
                },
                checkpoints=files.checkpoints,
            )
        except PlatformError as exc:
            traceback.print_exc()
            return JobResult(error=exc.as_dict())
        except Exception as exc:  # noqa: BLE001 - whatever a function raises is its result
            traceback.print_exc()
            raised = f"{job.function} raised {type(exc).__name__}: {exc}"
            failed = TrainingFailed(raised, where=job.name, fix="platform-ctl run logs latest")
            return JobResult(error=failed.as_dict())
        if int(os.environ.get("RANK", "0")) == 0:
            RemoteStore(files.uri).upload(out_dir, files.out)
    return JobResult(metrics=metrics)


if __name__ == "__main__":
    sys.exit(main())
