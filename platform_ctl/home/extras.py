"""Which extra brings a module that is not installed."""

from __future__ import annotations

from platform_ctl.errors import MissingExtra

ML_MODULES = frozenset(
    """
    aiohttp duckdb feast kfp kserve kubeflow mlflow numpy openlineage optuna pandas pyarrow
    pyiceberg ray safetensors sklearn tenacity torch
    """.split()  # noqa: SIM905
)
"""Top-level modules that the extra ``ml`` brings."""
KUBERNETES_MODULES = frozenset(
    ["boto3", "kfp_server_api", "kopf", "kubernetes", "psycopg", "redis", "s3fs"]
)


def missing_extra(module: str, where: str) -> MissingExtra | None:
    """The error that names the extra of ``module``; None for a module of nobody we know."""
    top = module.partition(".")[0]
    extras = {"ml": ML_MODULES, "kubernetes": KUBERNETES_MODULES}
    extra = next((name for name, modules in extras.items() if top in modules), "")
    if not extra:
        return None
    return MissingExtra(
        f"this command needs {top}, which the extra {extra} brings",
        where=where,
        fix=f"pip install 'platform-ctl[{extra}]'",
    )
