"""Every switch that the local Ray is started with, and why.

Measured in docs/decisions/0030-ray-start-up.md; ``benchmarks/ray_startup.py``
repeats the figures. The environment must be set before ``ray`` is imported.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ENVIRONMENT: Mapping[str, str] = {
    # Nothing about a run leaves this machine.
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray listens on all interfaces and cannot be told otherwise: a secret of each run's own.
    "RAY_AUTH_MODE": "token",
    # Every report() waits for the controller's poll; the default is two seconds.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",
    # An actor that watches for spot instances being reclaimed. There are none here.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    # Prometheus series of a controller that lives ten seconds.
    "RAY_TRAIN_METRICS_ENABLED": "0",
    # Idle workers started before anybody asked: the actors of a fit cannot use them.
    "RAY_prestart_worker_first_driver": "0",
    # The note that accelerator variables will change; there is no accelerator.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
TOKEN_PATH = "RAY_AUTH_TOKEN_PATH"
OBJECT_STORE_BYTES = 128 * 1024 * 1024
"""Rows travel as a file; the store carries parameters and metrics only."""


def apply(token_file: Path) -> None:
    """Set the switches in this process; an explicit setting of the user's wins."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ[TOKEN_PATH] = str(token_file)


def reread() -> None:
    """Make a Ray that was imported before ``apply`` see the switches and this token.

    Ray reads both once, at import and at its first connection. This is what
    ``ray.init`` itself does when it turns authentication on.
    """
    from ray import _raylet  # compiled, and without stubs

    raylet: Any = _raylet
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()


def held_cpus() -> int:
    """CPUs that the run's Ray counts with: two at least, so that two workers start anywhere."""
    return max(2, os.cpu_count() or 1)


def head_options(temp_dir: Path) -> dict[str, Any]:
    """``ray.init`` arguments of the process that starts Ray."""
    return {
        **driver_options(),
        "address": "local",  # a RAY_ADDRESS of the user's is another Ray
        "num_cpus": held_cpus(),
        "object_store_memory": OBJECT_STORE_BYTES,
        "include_dashboard": False,
        "_temp_dir": str(temp_dir),
        "_node_ip_address": "127.0.0.1",
    }


def driver_options() -> dict[str, Any]:
    """``ray.init`` arguments of every process: Ray's own logs stay in its files."""
    return {"log_to_driver": False, "logging_level": logging.ERROR}
