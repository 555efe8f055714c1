"""What a KFP run cost: what its steps' own logs say they have spent."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from platform_ctl.runs.budget import LedgerEntry, money
from platform_ctl.runs.kubernetes.api import READERS, RunsApi
from platform_ctl.runs.kubernetes.cached import ProducerOutputs
from platform_ctl.runs.kubernetes.nodes import WorkflowNode
from platform_ctl.runs.kubernetes.records import read
from platform_ctl.runs.record import TaskState
from platform_ctl.runs.spent import read as read_spent


@dataclass(frozen=True)
class KfpLedger:
    """Reads only: nobody writes the costs of a KFP run but its own steps. Of a step whose log is
    gone, or whose image is not ours, the wall time of its pod counts and no CPU."""

    api: RunsApi
    money_per_cpu_hour: float

    def entries(self, run_id: str) -> list[LedgerEntry]:
        """In the order of the pipeline; none of a run that is not there."""
        document = self.api.get(run_id)
        if document is None:
            return []
        run, nodes = read(self.api.with_spec(document))
        producers = ProducerOutputs(self.api)
        with ThreadPoolExecutor(READERS) as pool:
            per_node = pool.map(lambda node: list(self._of(run.id, node, producers)), nodes)
        return [entry for some in per_node for entry in some]

    def _of(
        self, run_id: str, node: WorkflowNode, producers: ProducerOutputs
    ) -> Iterator[LedgerEntry]:
        path = node.task.path
        if node.task.state is TaskState.CACHED:
            driver = producers.driver(run_id, node)
            producer = producers.producer(driver, node) if driver else None
            if producer:
                yield from self._of_log(run_id, path, producer.run_id, producer.node, saved=True)
        elif node.executor:
            yield from self._of_log(run_id, path, run_id, node, saved=False)

    def _of_log(
        self, run_id: str, path: str, of_run_id: str, node: WorkflowNode, *, saved: bool
    ) -> Iterator[LedgerEntry]:
        spent = read_spent(self.api.log(of_run_id, node.task.log, node.task.state) or b"")
        if not any(s.kind == "step" for s in spent):
            wall_s = node.task.usage.wall_s
            yield LedgerEntry(run_id, path, "step", wall_s, 0.0, 0.0, saved_by_cache=saved)
        for one in spent:
            yield LedgerEntry(
                run_id,
                path,
                one.kind,
                one.wall_s,
                one.cpu_s,
                money(one.cpu_s, self.money_per_cpu_hour),
                one.trials,
                saved_by_cache=saved,
                note=one.note,
            )
