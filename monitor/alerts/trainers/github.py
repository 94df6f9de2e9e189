"""GitHub: a request is a `repository_dispatch` event, for which a workflow waits.

GitHub answers 204 and names no run, and it forgets what it was sent: an attempt whose answer was
lost starts a second run, which a workflow's `concurrency` by the request's key makes harmless. The
workflow reports back by itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from email.utils import formatdate
from typing import Any, Final

from monitor.alerts.schedule import Answer
from monitor.alerts.trainers.asked import asked_of
from monitor.alerts.trainers.talk import Talk, Told
from monitor.storage.endpoints import Endpoint
from monitor.storage.outbox import Message

URL: Final = "https://api.github.com"
EVENT: Final = "driftline-retrain"
# What GitHub takes of a `client_payload`: 10 names at its top, and 64 KB.
NAMES: Final = 10
PAYLOAD_BYTES: Final = 60_000
# What a workflow reads without going deeper; `request` is all of it.
_FLAT: Final = (
    "request_id", "key", "model", "version", "reason", "url", "report_url", "deadline",
)  # fmt: skip


def starts(settings: Mapping[str, object]) -> str:
    """Return what an endpoint of this kind starts."""
    return f"{settings['event']} of {settings['repository']}"


def start(endpoint: Endpoint, message: Message, talk: Talk) -> Answer:
    """Send the event."""
    settings = endpoint.settings
    body = {
        "event_type": settings["event"],
        "client_payload": payload_of(asked_of(message).data),
    }
    told = talk.post(f"/repos/{settings['repository']}/dispatches", body, _headers(endpoint))
    if told.status != 204:
        return _refused(told, endpoint)
    return Answer(204, body=f"{starts(settings)} is sent: its workflow reports back")


def check(endpoint: Endpoint, talk: Talk) -> Answer:
    """Try whether the repository takes an event; whether a workflow waits, nobody says."""
    settings = endpoint.settings
    told = talk.get(f"/repos/{settings['repository']}", _headers(endpoint))
    if not told.is_good or not isinstance(told.data.get("full_name"), str):
        return _refused(told, endpoint)
    if told.data.get("archived") is True:
        return told.refused(f"{settings['repository']} is archived: no workflow of it runs")
    rights = told.data.get("permissions")
    if isinstance(rights, dict) and rights.get("push") is False:
        return told.refused(
            f"the token may read {settings['repository']} and not write it: an event needs "
            "the right `contents: write`"
        )
    return Answer(told.status, body=f"{settings['repository']} is there, and takes the event")


def payload_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a workflow is given: the words of a request, and all of it under `request`.

    Examples
    --------
    >>> sorted(payload_of({"request_id": 7, "model": "flights", "evidence": {}}))
    ['model', 'request', 'request_id']
    """
    flat = {name: data[name] for name in _FLAT if name in data}
    whole = {**flat, "request": dict(data)}
    if len(json.dumps(whole, ensure_ascii=False).encode()) > PAYLOAD_BYTES:
        # What it is about is told by its page as well.
        whole["request"] = {k: v for k, v in data.items() if k in flat or k == "dry_run"}
    return whole


def _headers(endpoint: Endpoint) -> dict[str, str]:
    secret = endpoint.secrets[0].value if endpoint.secrets else ""
    return {
        "authorization": f"Bearer {secret}",
        "accept": "application/vnd.github+json",
        "x-github-api-version": "2022-11-28",
    }


def _refused(told: Told, endpoint: Endpoint) -> Answer:
    repository = endpoint.settings["repository"]
    if told.status is not None and 200 <= told.status < 300:
        return told.refused("it answered as no GitHub does: is this the address of its API?")
    if told.status in (301, 302, 307, 308):
        return told.refused(f"GitHub has {repository} under another name now: name that one")
    if told.status == 401:
        return told.refused(f"GitHub refuses the token: {told.words or told.said}")
    if told.status in (403, 429) and _is_too_often(told):
        answer = told.refused(f"GitHub was asked too often: {told.words}")
        return replace(answer, retry_after=answer.retry_after or _again(told))
    if told.status == 403:
        return told.refused(
            f"GitHub refuses the token for {repository}: an event needs the right "
            f"`contents: write` ({told.words})"
        )
    if told.status == 404:
        return told.refused(f"GitHub shows the token no repository {repository}")
    return told.refused(f"GitHub {told.said}")


def _is_too_often(told: Told) -> bool:
    is_used_up = told.headers.get("x-ratelimit-remaining") == "0"
    return told.status == 429 or is_used_up or "retry-after" in told.headers


def _again(told: Told) -> str | None:
    """When an hour's requests begin anew, as `Retry-After` would say it."""
    reset = told.headers.get("x-ratelimit-reset", "")
    is_time = reset.isascii() and reset.isdigit() and len(reset) <= 10
    return formatdate(int(reset), usegmt=True) if is_time else None
