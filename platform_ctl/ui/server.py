"""The pages of a home on 127.0.0.1, for one person at this machine."""

from __future__ import annotations

import threading

import uvicorn

from platform_ctl.home.sockets import LOOPBACK, listen
from platform_ctl.ui.app import ConsoleContext, application
from platform_ctl.ui.identity import LocalToken
from platform_ctl.ui.views import ConsolePorts

_START_S = 10.0


class LocalPages:
    """A server on a loopback port; whoever has ``address`` may look and decide as ``user``.

    ``run`` serves until Ctrl-C; ``start`` and ``stop`` do so in a thread. Raises PortInUse.
    """

    def __init__(self, reading: ConsolePorts, user: str, port: int = 0) -> None:
        self._listener = listen(port, fix="platform-ctl ui --port 0")
        self.port: int = self._listener.getsockname()[1]
        self.identity = LocalToken(user)
        hosts = frozenset({f"{LOOPBACK}:{self.port}", f"localhost:{self.port}"})
        self.site = ConsoleContext(reading, self.identity, hosts)
        config = uvicorn.Config(
            application(self.site), log_config=None, access_log=False, lifespan="off"
        )
        self._server = uvicorn.Server(config)
        self._thread: threading.Thread | None = None

    @property
    def origin(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def address(self, path: str = "/") -> str:
        """The address to open, with the token."""
        return f"{self.origin}{path}?token={self.identity.token}"

    def run(self) -> None:
        self._server.run(sockets=[self._listener])

    def start(self) -> None:
        self._thread = threading.Thread(target=self.run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(_START_S)
        self._listener.close()
