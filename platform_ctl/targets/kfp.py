"""The connection to KFP's API server that runs, schedules and uploads share."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from platform_ctl.errors import ConfigError
from platform_ctl.settings import Settings

if TYPE_CHECKING:
    from platform_ctl.cluster.kfp import Kfp
    from platform_ctl.runs.kubernetes.api import RunsApi


def kfp(settings: Settings) -> Kfp:
    """A connection to KFP's API server of the settings. No call is made.

    Raises ConfigError for a token that is not a reference, or one that refers to nothing.
    """
    from platform_ctl.home.secrets import read_secret

    wanted = settings.kubernetes
    if wanted.kfp_token and not wanted.kfp_token.startswith(("env:", "file:")):
        raise ConfigError(
            "kubernetes.kfp_token is not a reference (env:NAME or file:PATH)",
            where="setting kubernetes.kfp_token",
            fix="export PLATFORM_CTL_KUBERNETES__KFP_TOKEN=env:KFP_TOKEN",
        )
    token = read_secret(wanted.kfp_token, os.environ).strip() if wanted.kfp_token else ""
    return _connection(wanted.kfp_url, wanted.namespace, token)


def runs_api(settings: Settings) -> RunsApi:
    """The run endpoints of that server. Raises what ``kfp`` raises."""
    return _runs_api(kfp(settings))


@functools.lru_cache(maxsize=2)
def _connection(url: str, namespace: str, token: str) -> Kfp:
    """One a process: runs and their costs are read over the same sockets."""
    from platform_ctl.cluster.kfp import connect

    return connect(url, namespace=namespace, token=token)


@functools.lru_cache(maxsize=2)
def _runs_api(connection: Kfp) -> RunsApi:
    """One a process: a log that cannot change any more is fetched once."""
    from platform_ctl.runs.kubernetes.api import RunsApi

    return RunsApi(connection)
