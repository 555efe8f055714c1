"""Listening sockets of this machine: loopback only."""

from __future__ import annotations

import socket

from platform_ctl.errors import PortInUse

LOOPBACK = "127.0.0.1"


def listen(port: int, *, fix: str) -> socket.socket:
    """A listening socket on ``port`` of 127.0.0.1; 0 picks a free one. Raises PortInUse."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except (OSError, OverflowError) as exc:
        listener.close()
        raise PortInUse(
            f"port {port} cannot be used: {getattr(exc, 'strerror', None) or exc}",
            where=f"{LOOPBACK}:{port}",
            fix=fix,
        ) from exc
    listener.listen(64)
    return listener
