"""Publishes the outcome of the job ``upload`` to ntfy, from the environment of the job ``notify``.

Standard library only, so that it speaks also when the set-up failed. An ntfy that is down
or not set is a line in the log, never a failed job. The token is in no argument and in no
line; the topic is in no line.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping

import forge

TIMEOUT_S = 10.0


def message(env: Mapping[str, str]) -> dict[str, object]:
    """ntfy's JSON, without the topic (https://docs.ntfy.sh/publish/#publish-as-json)."""
    result, failed = env.get("RESULT", ""), env.get("FAILED", "")
    good = result == "success"
    project = env.get("PROJECT") or "pipelines"
    lines = [f"{project}: {_counts(env)} | {env.get('VERSION') or '-'}"]
    if env.get("FAILED_NAMES"):
        lines.append(f"failed: {', '.join(env['FAILED_NAMES'].split(','))}")
    elif not good:
        lines.append("nothing was uploaded" if not failed else f"the job ended with {result}")
    fields: dict[str, object] = {
        "title": f"{project}: upload {'done' if good else result or 'failed'}",
        "message": "\n".join(lines),
        "priority": 3 if good else 4,
        "tags": ["white_check_mark" if good else "rotating_light"],
    }
    if url := forge.run_url(env):
        fields["click"] = url
    return fields


def _counts(env: Mapping[str, str]) -> str:
    if not env.get("COMPILED"):
        return "the job ended before the pipelines were compiled"
    words = ["compiled", "uploaded", "unchanged", "superseded", "failed"]
    counted = [(env.get(word.upper(), "0"), word) for word in words]
    return ", ".join(
        f"{count} {word}" for count, word in counted if word != "superseded" or count != "0"
    )


def publish(url: str, token: str, fields: Mapping[str, object]) -> str:
    """Post to the address above the topic; what went wrong, "" for nothing."""
    base, _, topic = url.rstrip("/").rpartition("/")
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    body = json.dumps({"topic": topic, **fields}, ensure_ascii=False).encode()
    try:
        request = urllib.request.Request(f"{base}/", data=body, headers=headers, method="POST")
        with _opener().open(request, timeout=TIMEOUT_S) as response:
            return "" if response.status < 300 else f"HTTP {response.status}"
    except urllib.error.HTTPError as exc:
        return f"HTTP {exc.code}"
    except (OSError, ValueError) as exc:
        return type(exc).__name__


def _opener() -> urllib.request.OpenerDirector:
    """No redirects: they would take the token to somebody else."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


def main(env: Mapping[str, str]) -> None:
    fields = message(env)
    print(fields["message"])
    if not env.get("NTFY_URL"):
        print("NTFY_URL is not set: nobody is told")
        return
    failed = publish(env["NTFY_URL"], env.get("NTFY_TOKEN", ""), fields)
    print(f"ntfy did not take the message: {failed}" if failed else "ntfy has the message")


if __name__ == "__main__":
    main(os.environ)
