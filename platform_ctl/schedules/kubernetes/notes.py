"""Small notes kept as KFP experiments, whose names are unique in a namespace.

Creating one is KFP's only test-and-set: of two that create the same name one is
refused with 409. A note's content is its description, JSON.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from platform_ctl.cluster.kfp import Kfp, Refusal
from platform_ctl.errors import HomeBusy, KfpUnavailable
from platform_ctl.schedules.port import Pause

LOCK = "platform-ctl/schedule-lock"
PAUSE = "platform-ctl/schedule-pause/"
LEASE_S = 600
"""A lock that its holder did not give back is anybody's after this."""
CALL_S = 30
"""No call is begun with less of the lease left."""


@dataclass(frozen=True)
class Notes:
    """Reads and writes notes."""

    kfp: Kfp

    def create(self, name: str, content: Mapping[str, Any]) -> bool:
        """Make a note; False when one of that name exists."""
        import kfp_server_api as api

        body = api.V2beta1Experiment(display_name=name, description=json.dumps(content))
        try:
            self.kfp.call(self.kfp.experiments.experiment_service_create_experiment, body)
        except Refusal as exc:
            if exc.status == 409:
                return False
            raise _unavailable(self.kfp, exc) from exc
        return True

    def remove(self, name: str, experiments: Sequence[Any]) -> None:
        """Delete the note of a name, when there is one."""
        for experiment in experiments:
            if experiment.display_name == name:
                self.delete(experiment.experiment_id)

    def delete(self, experiment_id: str) -> None:
        """Delete one note by id. An unknown id is no error."""
        service = self.kfp.experiments
        try:
            self.kfp.call(service.experiment_service_delete_experiment, experiment_id)
        except Refusal as exc:
            if exc.status != 404:
                raise _unavailable(self.kfp, exc) from exc

    def pauses(self, experiments: Sequence[Any]) -> dict[str, Pause]:
        """Pauses by ``team/name``; a note of another shape is none."""
        pauses = {}
        for experiment in experiments:
            if not experiment.display_name.startswith(PAUSE):
                continue
            content = read(experiment.description)
            if {"who", "why", "at", "until"} <= content.keys():
                key = experiment.display_name.removeprefix(PAUSE)
                pauses[key] = Pause(
                    str(content["who"]), str(content["why"]), content["at"], content["until"]
                )
        return pauses

    def put_pause(self, key: str, pause: Pause, experiments: Sequence[Any]) -> None:
        """Replaces an earlier one."""
        self.remove(PAUSE + key, experiments)
        self.create(PAUSE + key, vars(pause))


def read(description: str | None) -> dict[str, Any]:
    """The content of a note; empty for another shape."""
    try:
        content = json.loads(description or "")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


class KfpLock:
    """One apply at a time on one KFP, by a lease that is a note.

    Times are the server's, from its answers: the clocks of two machines do not matter.
    """

    def __init__(self, notes: Notes, experiments: Callable[[], Sequence[Any]], holder: str) -> None:
        self._notes, self._experiments, self._holder = notes, experiments, holder
        self._token = str(uuid.uuid4())
        self._until = 0

    def acquire(self) -> None:
        """Raises HomeBusy when another one holds it."""
        note = self._find()
        if note is not None and self._expired(note):
            self._notes.delete(note.experiment_id)
        self._create()

    def check(self) -> None:
        """Renews a lease of which less than half is left. Raises HomeBusy when it is lost."""
        left_s = self._until - self._now()
        if left_s < CALL_S:
            raise self._lost()
        if left_s < LEASE_S / 2:
            self.release()
            self._create()

    def release(self) -> None:
        """Give it back; one that cannot be given back ends by itself."""
        try:
            note = self._find()
            if note is not None and read(note.description).get("token") == self._token:
                self._notes.delete(note.experiment_id)
        except KfpUnavailable:
            return

    def _create(self) -> None:
        until = self._now() + LEASE_S
        content = {"holder": self._holder, "token": self._token, "until": until}
        try:
            created = self._notes.create(LOCK, content)
        except KfpUnavailable:
            note = self._find()  # it may have been made all the same
            if note is None or read(note.description).get("token") != self._token:
                raise
            created = True
        if not created:
            raise self._lost()
        self._until = until

    def _find(self) -> Any | None:
        return next((e for e in self._experiments() if e.display_name == LOCK), None)

    def _expired(self, experiment: Any) -> bool:
        until = read(experiment.description).get("until")
        return not isinstance(until, int) or until < self._now()

    def _now(self) -> int:
        return self._notes.kfp.clock_s() or int(time.time())

    def _lost(self) -> HomeBusy:
        note = self._find()
        holder = read(note.description).get("holder", "somebody") if note else "somebody"
        return HomeBusy(
            f"another apply is at work: {holder}",
            where=self._notes.kfp.address,
            fix="platform-ctl --target kubernetes schedule plan",
        )


def _unavailable(kfp: Kfp, exc: Refusal) -> KfpUnavailable:
    return KfpUnavailable(
        f"KFP's API server did not do it: {exc}",
        where=kfp.address,
        fix="platform-ctl --target kubernetes schedule plan",
    )
