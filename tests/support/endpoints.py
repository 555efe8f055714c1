"""Servers on loopback that are down, slow, wrong or right, by what they do with a connection."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Answer = Callable[[socket.socket], None]
DOWN = "http://127.0.0.1:1"


@contextmanager
def endpoint(answer: Answer) -> Iterator[str]:
    """An address where each connection gets ``answer``, in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def converse(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                connection.recv(65536)
                answer(connection)

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=converse, args=(connection,), daemon=True).start()

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            # Ends the accept that waits. Without it the thread could accept for the next endpoint,
            # which may get the same file descriptor.
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            serving.join(5)


def says(status: str, body: str = "{}", kind: str = "application/json") -> Answer:
    """An answer of HTTP, and the end of the connection."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return lambda connection: connection.sendall(f"{head}Connection: close\r\n\r\n{body}".encode())


def silent(connection: socket.socket) -> None:
    """Never an answer."""
    time.sleep(60)


def drips(connection: socket.socket) -> None:
    """An answer that is always about to come."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    for _ in range(300):
        time.sleep(0.2)
        connection.sendall(b"X-A: b\r\n")


def nonsense(connection: socket.socket) -> None:
    connection.sendall(b"\x00\x01 nonsense\r\n\r\n")
