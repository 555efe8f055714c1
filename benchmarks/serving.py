"""Our serving beside the plain KServe ModelServer: ``python -m benchmarks.serving``.

The same MLflow model, the same requests, in one run, in alternating rounds (so
that a busy machine slows both): single-row V1 predictions over kept-alive
loopback connections. The plain server is KServe's own, with the few lines a
user writes for an MLflow model: as the documentation has it ("pyfunc"), and
with our way of calling the model ("lean"), which compares the servers alone.
Ours has no canary, then one at 10 percent.
Goals: p50 at most 1.2 times, throughput at least 0.9 times.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from platform_ctl.serving.service import ServiceSpec
from tests.support import serving
from tests.support.waiting import eventually

ROUNDS = 3
REQUESTS = 600
CALLERS = 8
BODY = json.dumps({"instances": [[1.0, 2.0]]}).encode()
REQUEST = (
    b"POST /v1/models/stub:predict HTTP/1.1\r\nhost: 127.0.0.1\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\nx-request-key: %%d\r\n\r\n"
    % len(BODY)
)

PLAIN = """
import sys
from pathlib import Path
import mlflow.pyfunc, numpy as np, pandas as pd
from platform_ctl.serving.server.model import load_predictor
import kserve.protocol.rest.server as rest
from kserve import Model, ModelServer

class MLflowModel(Model):
    def load(self):
        self.model = mlflow.pyfunc.load_model(sys.argv[1])
        self.columns = self.model.metadata.get_input_schema().input_names()
        self.ready = True

    def predict(self, payload, headers=None):
        rows = np.array(payload["instances"], dtype="float32")
        frame = pd.DataFrame(rows, columns=self.columns)
        return {"predictions": np.asarray(self.model.predict(frame)).tolist()}

class LeanModel(Model):
    def load(self):
        self.model = load_predictor(Path(sys.argv[1]))
        self.ready = True

    def predict(self, payload, headers=None):
        rows = np.array(payload["instances"], dtype="float64")
        return {"predictions": self.model.predict(rows).tolist()}

class Loopback(rest.uvicorn.Config):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **{**kwargs, "host": "127.0.0.1"})

rest.uvicorn.Config = Loopback
model = {"pyfunc": MLflowModel, "lean": LeanModel}[sys.argv[3]]("stub")
model.load()
ModelServer(http_port=int(sys.argv[2]), enable_grpc=False).start([model])
"""


@contextlib.contextmanager
def plain_server(model: Path, kind: str) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", PLAIN, str(model), str(port), kind],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: _answers(url), seconds=60)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def _answers(url: str) -> bool:
    try:
        return serving.post(url, "/v1/models/stub:predict", BODY)[0] == 200
    except OSError:
        return False


async def _caller(port: int, first: int, count: int, latencies: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number in range(first, first + count):
        started = time.perf_counter()
        writer.write(REQUEST % number + BODY)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        latencies.append((time.perf_counter() - started) * 1e3)
    writer.close()


async def _measure(url: str, callers: int) -> tuple[float, float]:
    """(p50 in ms, requests per second)."""
    port = int(url.rsplit(":", 1)[1])
    latencies: list[float] = []
    share = REQUESTS // callers
    started = time.perf_counter()
    await asyncio.gather(*(_caller(port, c * share, share, latencies) for c in range(callers)))
    return statistics.median(latencies), len(latencies) / (time.perf_counter() - started)


def measure(url: str) -> tuple[float, float]:
    """(p50 in ms of one caller, requests per second of eight)."""
    asyncio.run(_measure(url, CALLERS))
    return asyncio.run(_measure(url, 1))[0], asyncio.run(_measure(url, CALLERS))[1]


def compare(ours: str, plain: str) -> tuple[float, float, float, float, float, float]:
    """Medians over the rounds: p50 and rate of each, and of the paired ratios."""
    rounds = [(measure(ours), measure(plain)) for _ in range(ROUNDS)]
    return (
        statistics.median(o[0] for o, _ in rounds),
        statistics.median(p[0] for _, p in rounds),
        statistics.median(o[0] / p[0] for o, p in rounds),
        statistics.median(o[1] for o, _ in rounds),
        statistics.median(p[1] for _, p in rounds),
        statistics.median(o[1] / p[1] for o, p in rounds),
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        model = serving.save_model(home / "models" / "v1")
        other = serving.save_model(home / "models" / "v2")
        local = serving.local_serving(home)
        started = time.perf_counter()
        url = local.apply("stub", ServiceSpec(serving.revision(model))).url
        print(f"start of a service to its first answer: {time.perf_counter() - started:.2f} s")
        head = f"{'p50 ms':>8}{'plain':>8}{'ratio':>8}{'req/s':>8}{'plain':>8}{'ratio':>8}"
        print(f"{'plain, ours':<26}{head}")
        try:
            for kind in ("pyfunc", "lean"):
                with plain_server(model, kind) as plain:
                    for canary in (None, serving.revision(other)):
                        spec = ServiceSpec(serving.revision(model), canary, 10 if canary else 0)
                        local.apply("stub", spec)
                        print_row(
                            f"{kind}, {'canary at 10 %' if canary else 'no canary'}", url, plain
                        )
        finally:
            local.stop("stub")


def print_row(label: str, ours: str, plain: str) -> None:
    p50, plain_p50, slower, rate, plain_rate, faster = compare(ours, plain)
    print(
        f"{label:<26}{p50:>8.2f}{plain_p50:>8.2f}{slower:>8.2f}"
        f"{rate:>8.0f}{plain_rate:>8.0f}{faster:>8.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
