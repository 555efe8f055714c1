"""What a run shows while it runs: a live table on a terminal, plain lines in a pipe."""

from __future__ import annotations

import contextlib
import sys
import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

from platform_ctl.cli.printing import print_line
from platform_ctl.cli.step_progress import StepProgress, ThrottledProgress
from platform_ctl.runs.record import EventKind, Run, RunEvent, Task, TaskState, elapsed_s
from platform_ctl.runs.task_name import shown
from platform_ctl.text import duration, visible, visible_lines

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from platform_ctl.runs.port import RunReader

_MAX_LINES = 40
_MAX_REASON = 90
_SHOWN_OUTPUTS = ("summary", "verdict", "next_command")


class ProgressDisplay:
    """Call it with every event. Everything goes to stderr: stdout is for the result."""

    def __init__(self, planned: Sequence[str] = (), runs: RunReader | None = None) -> None:
        """``planned``: the tasks to show as pending; ``runs``: where logs of steps are read."""
        self._tasks: dict[str, tuple[str, float]] = {p: ("PENDING", 0.0) for p in planned}
        self._how_far: dict[str, str] = {}
        self._steps = StepProgress(runs, self._say) if runs is not None else None
        self._spare = ThrottledProgress(
            lambda path, text: self._line(f"          {shown(path)}  {text}")
        )
        self._begun: dict[str, str] = {}
        self._runs = runs
        self._run_id = ""
        self._run_begun = datetime.now(UTC).isoformat()
        self._live: Any = None

    def __enter__(self) -> ProgressDisplay:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(
                console=Console(stderr=True), get_renderable=self.screen, refresh_per_second=8
            )
            self._live.start()
        if self._steps is not None:
            self._steps.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._steps is not None:
            self._steps.__exit__(kind, error, trace)
        if self._live is not None:
            self._live.stop()

    def _say(self, path: str, text: str) -> None:
        self._how_far[path] = visible(text)
        if self._live is None:
            self._spare(path, text)

    def __call__(self, event: RunEvent) -> None:
        if self._steps is not None:
            self._steps(event)
        if event.run_id and not self._run_id:
            self._run_id = event.run_id
            begun = self._runs.get(event.run_id).started_at if self._runs else None
            self._run_begun = begun or self._run_begun
        if event.kind is EventKind.NOTE:
            self._line(event.text)
        elif event.task is not None:
            self._on_task(event.task)
        elif self._live is None:
            self._line(f"run {event.run_id} {event.state}")

    def _on_task(self, task: Task) -> None:
        if task.state is TaskState.RUNNING:
            self._begun[task.path] = task.started_at or datetime.now(UTC).isoformat()
        if task.state is TaskState.SKIPPED:
            inside = [path for path in self._tasks if path.startswith(f"{task.path}.")]
            for path in inside:
                del self._tasks[path]
        self._tasks[task.path] = (task.state, task.usage.wall_s)
        if self._live is None:
            self._line(_line(task))

    def _line(self, text: str) -> None:
        text = visible(text)
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False)
        else:
            # Whoever reads along may stop reading: that decides nothing about the run.
            with contextlib.suppress(BrokenPipeError):
                print_line(text, err=True)

    def screen(self) -> Group:
        """The steps, and below them the run: how long it has taken, and how much of it is done."""
        from rich.console import Group
        from rich.text import Text

        states = [state for state, _ in self._tasks.values()]
        done = sum(state not in ("PENDING", TaskState.RUNNING) for state in states)
        took = duration(_since(self._run_begun))
        run = f"run {self._run_id[:8]}, " if self._run_id else ""
        return Group(
            self._table(), Text(f"{run}{done} of {len(states)} steps, {took}", style="dim")
        )

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        from platform_ctl.cli.table import state_style

        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        hidden = max(0, len(self._tasks) - _MAX_LINES)
        rows = list(self._tasks.items())
        if hidden:
            over = [row for row in rows if row[1][0] not in ("RUNNING", "FAILED")]
            dropped = {path for path, _ in over[:hidden]}
            rows = [row for row in rows if row[0] not in dropped]
            table.add_row(f"… {len(dropped)} more", "", "", "")
        for path, (state, wall_s) in rows:
            seconds = wall_s
            if state == TaskState.RUNNING:
                seconds = _since(self._begun[path]) if path in self._begun else 0.0
            took = duration(seconds) if seconds else ""
            how_far = self._how_far.get(path, "") if state == TaskState.RUNNING else ""
            table.add_row(Text(shown(path)), Text(state, style=state_style(state)), took, how_far)
        return table


def _since(begun: str) -> float:
    """Seconds; a clock that was set back gives none."""
    return max(0.0, elapsed_s(begun, datetime.now(UTC).isoformat()) or 0.0)


def _line(task: Task) -> str:
    text = f"{task.state:<9} {shown(task.path)}"
    if task.usage.wall_s and task.state.final:
        text += f"  {duration(task.usage.wall_s)}"
    if task.state is TaskState.RUNNING and task.attempts > 1:
        text += f"  attempt {task.attempts}"
    if task.error:
        text += f"  ({task.error})"
    elif task.state is TaskState.RUNNING and task.cache and task.attempts == 1:
        text += f"  [{textwrap.shorten(task.cache, _MAX_REASON, placeholder=' …')}]"
    return text


def result_lines(run: Run) -> list[str]:
    """The block at the end of a run: what its tasks say, and what to do next."""
    executed = sum(t.state is TaskState.SUCCEEDED for t in run.tasks)
    cached = sum(t.state is TaskState.CACHED for t in run.tasks)
    lines = [f"run {run.id[:8]} {run.state}: {executed} executed, {cached} cached"]
    width = max((len(shown(t.path)) for t in run.tasks), default=0)
    following = []
    for task in run.tasks:
        outputs = task.outputs.parameters
        if not task.state.good or not any(outputs.get(name) for name in _SHOWN_OUTPUTS):
            continue
        parts = []
        if outputs.get("verdict"):
            reasons = next((v.reasons for v in run.verdicts if v.task == task.path), ())
            parts.append(": ".join([str(outputs["verdict"]), *reasons[:1]]))
            parts += reasons[1:]
        if outputs.get("summary"):
            parts.append(str(outputs["summary"]))
        if parts:
            first, *rest = visible_lines("\n".join(parts)).splitlines()
            lines.append(f"  {shown(task.path):<{width}}  {first}")
            lines += [f"  {'':<{width}}  {line}" for line in rest]
        if outputs.get("next_command"):
            following.append(f"next: {visible(str(outputs['next_command']))}")
    return lines + following
