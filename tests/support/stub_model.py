"""Loader of the tests' MLflow models: a weighted sum, with faults on request."""

import atexit
import json
import os
import shutil
import tempfile
import time
from pathlib import Path


class Stub:
    def __init__(self, config: dict) -> None:
        self.config = config
        self.hoard = []
        self.calls = 0
        if config.get("sets_environment"):
            set_environment()

    def predict(self, frame):
        c = self.config
        self.calls += 1
        if self.calls > c.get("healthy_calls", 0):
            self.fail(c)
        compute(c.get("cpu_ms", 0.0))
        if c.get("raise_every") and self.calls % c["raise_every"] == 0:
            raise RuntimeError("the model is broken now and then")
        total = frame["a"].to_numpy() + 2 * frame["b"].to_numpy()
        return total * c.get("factor", 1.0) + c.get("bias", 0.0)

    def fail(self, c: dict) -> None:
        if c.get("sleep_s"):
            time.sleep(c["sleep_s"])
        if c.get("crash"):
            os._exit(9)
        if c.get("eat_bytes"):
            self.hoard.append(bytearray(os.urandom(1024) * (c["eat_bytes"] // 1024)))
        if c.get("raise"):
            raise RuntimeError("the model is broken")


def compute(cpu_ms: float) -> None:
    """Use the CPU, so that what else runs on the machine makes it slower."""
    end = time.thread_time() + cpu_ms / 1e3
    while time.thread_time() < end:
        pass


def set_environment() -> None:
    """What Feast does at its import: a folder for Prometheus that goes when the process ends."""
    folder = tempfile.mkdtemp()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    os.environ["PROMETHEUS_MULTIPROCESS_DIR"] = folder
    os.environ["RUN_OF_THE_LIBRARY"] = folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


def _load_pyfunc(path: str) -> Stub:
    config = json.loads(Path(path).read_text())
    if config.get("pollute"):
        _pollute()
    return Stub(config)


def _pollute() -> None:
    """What feast/metrics.py does at import: a folder in the environment, removed at exit."""
    folder = tempfile.mkdtemp(prefix="polluted-")
    for name in ("PROMETHEUS_MULTIPROC_DIR", "PROMETHEUS_MULTIPROCESS_DIR"):
        os.environ[name] = folder
    os.environ["SOME_LIBRARY_WAS_HERE"] = "yes"
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
