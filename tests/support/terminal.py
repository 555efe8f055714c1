"""A shell on a terminal of its own, typed into as a person does."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import time
from collections.abc import Iterator, Mapping, Sequence

_WAIT_S = 120
_HOME_KEY = "\x01"


class Terminal:
    """The other end of the terminal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._seen = ""

    def type(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def wait_for(self, pattern: str) -> re.Match[str]:
        """What the program wrote, as soon as it matches; it is not found a second time."""
        give_up = time.monotonic() + _WAIT_S
        while True:
            if found := re.search(pattern, self._seen):
                self._seen = self._seen[found.end() :]
                return found
            left = give_up - time.monotonic()
            if left <= 0 or not select.select([self._descriptor], [], [], left)[0]:
                raise AssertionError(f"no {pattern!r} in {self._seen!r}")
            self._seen += os.read(self._descriptor, 65536).decode("utf-8", "replace")


class Shell:
    """An interactive bash or zsh."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def run(self, line: str) -> None:
        self._terminal.type(f"{line}; echo do''ne\n")
        self._terminal.wait_for("done\r?\n")

    def completed(self, line: str, then: str = "") -> list[str]:
        """The words that the command line holds after ``line``, Tab, and ``then``."""
        self._terminal.type(f"{line}\t{then}{_HOME_KEY}printf '<%s>' \n")
        command = line.partition(" ")[0]  # the shell shows what is typed: that is no answer
        found = self._terminal.wait_for(rf"<{command}>(?:<[^<>]*>)*(?=\r?\n?\$ )")
        return found.group()[1:-1].split("><")


@contextlib.contextmanager
def terminal(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Terminal]:
    """``command`` on a terminal; killed at the end."""
    pid, descriptor = pty.fork()
    if pid == 0:
        os.execvpe(command[0], list(command), dict(environment))
    try:
        yield Terminal(descriptor)
    finally:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(descriptor)


SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "bind 'set enable-bracketed-paste off'"),
    "zsh": (
        ["zsh", "-f", "-i"],
        "unsetopt prompt_sp; unset zle_bracketed_paste; autoload -U compinit; compinit -u -D",
    ),
}


@contextlib.contextmanager
def shell(name: str, environment: Mapping[str, str], setup: str) -> Iterator[Shell]:
    """A shell without anybody's start-up files that has evaluated ``setup``."""
    command, own = SHELLS[name]
    wide = {"TERM": "dumb", "COLUMNS": "400", "PS1": "$ ", "INPUTRC": os.devnull, "HISTFILE": ""}
    with terminal(command, {**os.environ, **environment, **wide}) as opened:
        made = Shell(opened)
        made.run("stty -echo cols 400")
        made.run(own)
        made.run(setup)
        yield made
