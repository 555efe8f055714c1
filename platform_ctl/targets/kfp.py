"""The connection to KFP's API server that runs, schedules and uploads share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from platform_ctl.errors import ConfigError
from platform_ctl.settings import Settings

if TYPE_CHECKING:
    from platform_ctl.cluster.kfp import Kfp


def kfp(settings: Settings) -> Kfp:
    """A connection to KFP's API server of the settings. No call is made.

    Raises ConfigError for a token that is not a reference, or one that refers to nothing.
    """
    from platform_ctl.cluster.kfp import connect
    from platform_ctl.home.secrets import read_secret

    wanted = settings.kubernetes
    if wanted.kfp_token and not wanted.kfp_token.startswith(("env:", "file:")):
        raise ConfigError(
            "kubernetes.kfp_token is not a reference (env:NAME or file:PATH)",
            where="setting kubernetes.kfp_token",
            fix="export PLATFORM_CTL_KUBERNETES__KFP_TOKEN=env:KFP_TOKEN",
        )
    token = read_secret(wanted.kfp_token, os.environ).strip() if wanted.kfp_token else ""
    return connect(wanted.kfp_url, namespace=wanted.namespace, token=token)
