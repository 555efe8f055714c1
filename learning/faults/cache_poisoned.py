"""The weights of a cached model were overwritten in place, same size and same time stamp, so
that the quick check of a hit saw nothing. ``register`` did: the bytes were not those that had
been evaluated. ``cache verify`` hashes everything and takes the entry out of use.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from learning import states
from learning.lab import RepairState
from learning.sandbox import CHALLENGER, Sandbox

NAME = "register-refused"
SYMPTOM = (
    "The new model cannot be registered: the last steps refuse it. The same run was fine in "
    "the test home, nobody changed code or data, and running it again ends the same way."
)
CAUSE = "cache-poisoned"
RUNBOOK = "runbooks/alerts/pipeline-cache-poisoned.md"
HINTS = (
    "What exactly was refused? platform-ctl run logs latest",
    "Which steps were executed today, and which results are old? platform-ctl cache explain latest",
    "Are the old results still what was stored? platform-ctl cache verify",
)


def inject(sandbox: Sandbox) -> dict[str, Any]:
    # A copied home has files of other inodes, which a hit would hash: have them stamped first.
    sandbox.call("cache", "verify")
    bad = []
    for weights in _cached_weights(sandbox):
        stamp = weights.stat()
        content = weights.read_bytes()[:-64] + bytes(64)
        weights.write_bytes(content)
        os.utime(weights, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
        bad.append(hashlib.sha256(content).hexdigest())
    return {"run": sandbox.run_pipeline(*CHALLENGER, may_fail=True), "bad": bad}


def _cached_weights(sandbox: Sandbox) -> list[Path]:
    return sorted((sandbox.home / "cache" / "objects").rglob("model.safetensors"))


def is_repaired(sandbox: Sandbox, facts: Mapping[str, Any]) -> RepairState:
    # Not by `cache verify`, which takes bad entries out of use: a check must repair nothing.
    there = {hashlib.sha256(w.read_bytes()).hexdigest() for w in _cached_weights(sandbox)}
    if there & set(facts["bad"]):
        return RepairState(False, "the cache holds files whose bytes were changed")
    state = states.staged_by_newest_run(sandbox, facts["run"])
    if not state.repaired:
        return state
    if not sandbox.runs()[0]["use_cache"]:
        return RepairState(False, "the newest run was started with --no-cache; the next one is not")
    return state
