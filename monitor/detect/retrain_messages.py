"""The words of the messages about a retraining; `retrain.requested` goes to its trainer alone.

Names are data and may hold anything; the body is valid JSON for every one of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from monitor.detect.messages import instant

REQUESTED: Final = "retrain.requested"


@dataclass(frozen=True, slots=True)
class Wish:
    """A request for a retraining as its messages tell of it; times in epoch ms."""

    id: int
    key: str
    model: str
    version: str
    summary: str
    evidence: Mapping[str, Any]
    requested_ms: int
    deadline_ms: int
    url: str
    is_dry_run: bool


def key_of(*parts: str) -> str:
    """Return by what a request is known again: the same for the same parts, in their order.

    Examples
    --------
    >>> key_of("a", "bc") == key_of("ab", "c"), len(key_of("a"))
    (False, 32)
    """
    named = b"".join(b"%d:%s" % (len(part), part) for part in (p.encode() for p in parts))
    return blake2b(named, digest_size=16).hexdigest()


def webhook_id_of(key: str) -> str:
    """Return the id of the message that asks for it; one database says the same as another."""
    return f"retrain_{key}"


def body_of(wish: Wish) -> str:
    """Return the body of the message that asks for a retraining.

    It has what a training needs to find its data and its way back: the model, why, and where to
    report.
    """
    evidence = dict(wish.evidence)
    incidents, alerts = evidence.pop("incidents", []), evidence.pop("alert_ids", [])
    web = wish.url.removesuffix(f"/retrains/{wish.id}")
    data = {
        "request_id": wish.id,
        "key": wish.key,
        "model": wish.model,
        "version": wish.version,
        "reason": wish.summary,
        "evidence": evidence,
        "alert_ids": alerts,
        "incidents": incidents,
        "url": wish.url,
        "report_url": f"{web}/api/v1/retrains/{wish.id}",
        "deadline": instant(wish.deadline_ms),
        "dry_run": wish.is_dry_run,
    }
    said = {"type": REQUESTED, "timestamp": instant(wish.requested_ms), "data": data}
    return json.dumps(said, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
