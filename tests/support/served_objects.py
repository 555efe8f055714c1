"""Objects that an API server would serve, for code that reads a cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from platform_ctl.cluster.api import Cluster, _NotFound
from platform_ctl.errors import ClusterUnavailable


class ServedObjects(Cluster):
    """A cluster that answers GET requests from a table of path -> JSON, and refuses to write.

    ``down``: paths (by their beginning) behind which nothing answers. ``refused``:
    (account, verb, resource) that access reviews deny; they allow all else.
    """

    refused: frozenset[tuple[str, str, str]] = frozenset()

    def __init__(self, answers: Mapping[str, Any], *, down: tuple[str, ...] = ()) -> None:
        super().__init__(client=None, namespace="kubeflow", server="https://fake:6443")
        self.answers = dict(answers)
        self.down = down

    def _bytes(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        if path.endswith("/subjectaccessreviews") and body:
            asked = body["spec"]["resourceAttributes"]
            who = body["spec"]["user"].rpartition(":")[2]
            denied = (who, asked["verb"], asked["resource"]) in self.refused
            return json.dumps({"status": {"allowed": not denied}}).encode()
        assert method == "GET", f"a check must not write: {method} {path}"
        if path.startswith(self.down):
            raise ClusterUnavailable(f"nothing answers at {path}", where=self.server, fix="wait")
        if path not in self.answers:
            raise _NotFound(path)
        answer = self.answers[path]
        key, _, wanted = (query or {}).get("fieldSelector", "").partition("=")
        if key == "metadata.name" and "items" in answer:
            named = [o for o in answer["items"] if o["metadata"]["name"] == wanted]
            answer = answer | {"items": named}
        return json.dumps(answer).encode()
