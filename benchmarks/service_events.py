"""What callers notice of a real service: ``python -m benchmarks.service_events --home DIR``.

The home has a service of the recipe ``train_deploy`` (Feast looks its features up) and a
request for approval. While four callers ask 40 times a second by the name of an entity, and
repeat nothing, the supervisor is killed with kill -9 so many times, the service is restarted,
the waiting version is approved and promoted, the supervisor is killed again, and the
promotion is taken back. A request failed when it was refused or cut off, when its status is
not 200, or when its answer is not that of ``model predict`` for the version that answered.

After each event: ``service list`` says running, another supervisor serves, and no process of
the service has PROMETHEUS_MULTIPROC_DIR. Stop what you are doing with the home meanwhile.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from platform_ctl.home.environment import NEVER
from tests.support.load import Load

ROOT = Path(__file__).parents[1]
CLI = (sys.executable, "-c", "from platform_ctl.cli.app import main; main()")
NAME = "weekly-commits"
WAIT_S = 300.0
SETTLE_S = 5.0
"""Callers go on asking for so long after each event."""


class EntityLoad(Load):
    """Asks for one entity after the other, and knows the right answers."""

    def __init__(self, url: str, rate: int, forecasts: dict[str, dict[str, float]]) -> None:
        super().__init__(url, 300.0, rate)
        self.deadline = float("inf")
        self.forecasts = forecasts
        self.entities = sorted(next(iter(forecasts.values())))

    def wait_for_word(self) -> None:
        """Nobody says anything on stdin here: the events end it."""

    def one(self, connection: http.client.HTTPConnection, key: str) -> None:
        entity = self.entities[hash(key) % len(self.entities)]
        headers = {"content-type": "application/json", "x-request-key": key}
        body = json.dumps({"instances": [{"repo": entity}]})
        connection.request("POST", f"/v1/models/{NAME}:predict", body, headers)
        response = connection.getresponse()
        answer = response.read()
        revision = response.getheader("x-served-by") or ""
        with self.lock:
            self.answers[f"{response.status} {revision}"] += 1
            if response.status != 200:
                self.failures.append(f"{response.status}: {answer.decode()[:200]}")
                return
            wanted = self.forecasts[revision.partition("-")[0].removeprefix("v")][entity]
            got = json.loads(answer)["predictions"][0]
            if abs(got - wanted) > 1e-3 * (1 + abs(wanted)):
                self.failures.append(f"wrong: {entity} {got} instead of {wanted} by {revision}")


class Service:
    """The service of a home, by its commands."""

    def __init__(self, home: Path) -> None:
        self.env = {**os.environ, "PLATFORM_HOME": str(home)}

    def run(self, *words: str) -> str:
        """Standard output. Raises CalledProcessError."""
        done = subprocess.run(
            (*CLI, *words), cwd=ROOT, env=self.env, stdout=subprocess.PIPE, text=True, check=True
        )
        return done.stdout

    def status(self) -> dict[str, Any]:
        return next(s for s in json.loads(self.run("service", "list", "-o", "json")))

    def forecasts(self, version: str) -> dict[str, float]:
        said = json.loads(self.run("model", "predict", f"{NAME}/{version}", "-o", "json"))
        return {p["repo"]: p["prediction"] for p in said["predictions"]}

    def serves(self) -> str:
        status = self.status()
        return str(status["spec"]["production"]["model_version"])

    def wait_for_another(self, pid: int) -> dict[str, Any]:
        """The status once another supervisor serves and each revision is ready."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            status = self.status()
            ready = all(r["ready"] for r in status["revisions"])
            if status["state"] == "running" and status["pid"] != pid and ready:
                return status
            time.sleep(0.5)
        raise SystemExit(f"no other supervisor within {WAIT_S:.0f} s: {status}")


def inherited(status: dict[str, Any]) -> list[str]:
    """Variables that no process of the service may have."""
    pids = [status["pid"], *(r["pid"] for r in status["revisions"])]
    return [f"{n} in {p}" for p in pids for n in NEVER if n in psutil.Process(p).environ()]


def killed(service: Service) -> None:
    pid = service.status()["pid"]
    os.kill(pid, signal.SIGKILL)
    service.wait_for_another(pid)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--rate", type=int, default=40)
    asked = parser.parse_args()
    service = Service(asked.home)
    status = service.status()
    waiting = json.loads(service.run("approval", "list", "-o", "json"))[0]["version"]
    versions = (service.serves(), waiting)
    load = EntityLoad(status["url"], asked.rate, {v: service.forecasts(v) for v in versions})
    events: list[tuple[str, Callable[[], object]]] = [
        ("kill -9 of the supervisor", lambda: killed(service)) for _ in range(asked.kills)
    ]
    promote = ("approval", "approve", "latest", "--reason", "service_events", "--wait")
    events += [
        ("service restart", lambda: service.run("service", "restart", NAME)),
        (f"promote version {waiting}", lambda: service.run(*promote)),
        ("kill -9 of the supervisor", lambda: killed(service)),
        ("release rollback", lambda: service.run("release", "rollback", NAME)),
    ]
    caller = threading.Thread(target=load.run)
    caller.start()
    wrong = 0
    try:
        for event, act in events:
            wrong += not happened(service, load, event, act)
    finally:
        load.stop.set()
        caller.join()
    total = sum(load.answers.values())
    print(*load.failures[:10], sep="\n")
    print(
        f"{len(load.failures)} of {total} requests failed over {len(events)} events;"
        f" {wrong} events ended otherwise than they should"
    )
    return int(bool(load.failures) or bool(wrong))


def happened(service: Service, load: EntityLoad, event: str, act: Callable[[], object]) -> bool:
    """Makes an event happen and prints what callers noticed; whether it ended as it should."""
    failures, answers = len(load.failures), sum(load.answers.values())
    load.slowest_ms, begun = 0.0, time.monotonic()
    act()
    took_s = time.monotonic() - begun
    time.sleep(SETTLE_S)
    status = service.status()
    found = inherited(status)
    good = status["state"] == "running" and not found
    print(
        f"{event}: {took_s:.1f} s, {len(load.failures) - failures} of"
        f" {sum(load.answers.values()) - answers} requests failed, slowest"
        f" {load.slowest_ms:.0f} ms; {status['state']}, version {service.serves()} in production"
        f" {'; '.join(found)}; load {os.getloadavg()[0]:.0f}",
        flush=True,
    )
    return good


if __name__ == "__main__":
    sys.exit(main())
