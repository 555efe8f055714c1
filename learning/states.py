"""Sentences that several faults need about the state of the home."""

from __future__ import annotations

from typing import Any

from learning.lab import RepairState
from learning.sandbox import Sandbox

REGISTER = "register"


def verdict_of(run: dict[str, Any], step: str) -> str:
    """The verdict that a step of a run wrote; "" for none."""
    found = [v["verdict"] for v in run["verdicts"] if v["task"].split(".")[-1] == step]
    return next(iter(found), "")


def run_is_kept(sandbox: Sandbox, run_id: str) -> bool:
    """Whether the record of the broken run is still there to learn from."""
    return any(r["id"] == run_id for r in sandbox.runs())


def staged_by_newest_run(sandbox: Sandbox, broken_run: str) -> RepairState:
    """The newest run registered a model, Staging is that very model, and the evidence is kept."""
    if not run_is_kept(sandbox, broken_run):
        return RepairState(False, f"the record of run {broken_run[:8]} is gone")
    run = sandbox.newest_run()
    if run["state"] != "SUCCEEDED":
        return RepairState(False, f"the newest run is {run['state']}")
    if verdict_of(run, REGISTER) != "successful":
        return RepairState(False, "the newest run registered no model")
    model = next(t for t in run["tasks"] if t["name"] == "train")["outputs"]["artifacts"]["model"]
    staged = sandbox.version("staging")
    if not staged["version"]:
        return RepairState(False, "no version is in Staging")
    digest = _weights_digest(model[0]["uri"])
    if staged["tags"].get("weights_digest") != digest:
        return RepairState(False, "the version in Staging is not the newest run's model")
    return RepairState(True, "the newest run's model is in Staging")


def _weights_digest(folder: str) -> str:
    """As the recipe's predictor computes it: a digest over the digests of both files."""
    import hashlib
    from pathlib import Path

    total = hashlib.sha256()
    for name in ("model.json", "model.safetensors"):
        content = hashlib.sha256((Path(folder) / name).read_bytes()).hexdigest()
        total.update(f"{content}  {name}\n".encode())
    return f"sha256:{total.hexdigest()}"
