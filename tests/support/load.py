"""Steady load from a process of its own: ``python -m tests.support.load URL SECONDS RATE``.

Four callers on kept-alive connections, to loopback only, bounded in rate and
time, ended early by a line on stdin. Prints a JSON report: answers by status
and revision, and every failure there was. Nothing is retried.
"""

from __future__ import annotations

import http.client
import itertools
import json
import sys
import threading
import time
from collections import Counter

CALLERS = 4


class Load:
    def __init__(self, url: str, seconds: float, rate: int) -> None:
        assert url.startswith("http://127.0.0.1:") and seconds <= 300 and rate <= 500
        self.address = url.removeprefix("http://")
        self.deadline = time.monotonic() + seconds
        self.pause_s = CALLERS / rate
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self.slowest_ms = 0.0
        self.lock = threading.Lock()
        self.stop = threading.Event()

    def run(self) -> dict:
        threads = [threading.Thread(target=self.call, args=(i,)) for i in range(CALLERS)]
        for thread in threads:
            thread.start()
        print("started", flush=True)
        threading.Thread(target=self.wait_for_word, daemon=True).start()
        for thread in threads:
            thread.join()
        return {
            "answers": self.answers,
            "failures": self.failures,
            "slowest_ms": round(self.slowest_ms, 1),
        }

    def wait_for_word(self) -> None:
        sys.stdin.readline()
        self.stop.set()

    def call(self, caller: int) -> None:
        connection = http.client.HTTPConnection(self.address, timeout=15)
        for number in itertools.count():
            if self.stop.is_set() or time.monotonic() > self.deadline:
                break
            started = time.monotonic()
            try:
                self.one(connection, f"{caller}-{number}")
            except (OSError, http.client.HTTPException) as exc:
                with self.lock:
                    self.failures.append(f"{type(exc).__name__}: {exc}")
                connection.close()
            took = time.monotonic() - started
            self.slowest_ms = max(self.slowest_ms, took * 1e3)
            time.sleep(max(0.0, self.pause_s - took))
        connection.close()

    def one(self, connection: http.client.HTTPConnection, key: str) -> None:
        body = json.dumps({"instances": [[1, 2]]})
        headers = {"content-type": "application/json", "x-request-key": key}
        connection.request("POST", "/v1/models/stub:predict", body, headers)
        response = connection.getresponse()
        answer = response.read()
        with self.lock:
            self.answers[f"{response.status} {response.getheader('x-served-by')}"] += 1
            if response.status != 200:
                self.failures.append(answer.decode()[:200])


if __name__ == "__main__":
    print(json.dumps(Load(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])).run()), flush=True)
