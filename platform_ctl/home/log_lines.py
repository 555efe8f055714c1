"""Logs of processes: what is logged is one line, and nothing in it looks like another entry.

Paths of requests, messages of exceptions and names come from outside. Written as they are, an end
of a line in them would begin an entry that nobody made.
"""

from __future__ import annotations

import logging
from types import TracebackType

from platform_ctl.text import visible

FORMAT = "%(asctime)s %(levelname)s %(message)s"
_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class LineFormatter(logging.Formatter):
    """Writes control characters of a message out, and indents the lines of a traceback."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return visible(super().formatMessage(record))

    def formatException(self, ei: _ExcInfo) -> str:
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:
        return _indented(stack_info)


def log_lines(handler: logging.Handler | None = None, *, form: str = FORMAT) -> None:
    """Everything from INFO on goes to ``handler`` (stderr without one), and nowhere else."""
    handler = handler or logging.StreamHandler()
    handler.setFormatter(LineFormatter(form))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def _indented(lines: str) -> str:
    return "\n".join(f"  {visible(line)}" for line in lines.splitlines())
