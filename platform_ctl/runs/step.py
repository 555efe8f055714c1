"""Which run and which of its tasks a step works for.

Both come in as inputs of the step, filled by KFP's placeholders
(``dsl.PIPELINE_JOB_ID_PLACEHOLDER``, ``dsl.PIPELINE_TASK_NAME_PLACEHOLDER``),
so that the same IR knows its run on every target. Only steps that are never
cached have them: an input is part of the cache key, here and in KFP's driver,
and a key with the run's id in it would never be found again.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StepContext:
    """``run_id`` is empty for a step that is called outside a run: a test, a notebook."""

    run_id: str = ""
    task: str = ""
    """The task's name in its DAG."""
