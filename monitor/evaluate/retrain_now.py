"""A retraining that somebody asks for, and what the policy says of it at this moment."""

from __future__ import annotations

import json
import secrets
from typing import Any

from sqlalchemy.engine import Connection

from monitor.detect.retrain_messages import Wish, body_of, key_of
from monitor.evaluate.retraining import Considered, consider, evidence_of
from monitor.storage import evaluation
from monitor.storage.registry import BoundVersion
from monitor.storage.retraining_policies import Standing
from monitor.storage.retrains import HOUR_MS, Wanted
from monitor.windows.calendar import window_of


def says(conn: Connection, bound: BoundVersion, standing: Standing, now_ms: int) -> Considered:
    """Return what a policy says of a version at the last midnight that was judged."""
    judged_ms = evaluation.cursor(conn, bound.version_id).watermark_ms
    at_ms = window_of(judged_ms or now_ms, "day", bound.timezone).start_ms
    return consider(conn, bound, standing, at_ms, now_ms)


def wanted(
    conn: Connection,
    bound: BoundVersion,
    standing: Standing,
    found: Considered,
    *,
    reason: str,
    actor: str,
) -> Wanted:
    """Return what is asked for by hand: with all that is known, whatever the policy says."""
    return Wanted(
        version=bound.version,
        version_id=bound.version_id,
        key=key_of(bound.model, bound.version, bound.nonce, "asked", secrets.token_hex(16)),
        summary=reason,
        event_ms=found.facts.at_ms,
        evidence=evidence_of(conn, standing.policy, found, bound.timezone),
        origin="asked",
        actor=actor,
    )


def message_of(standing: Standing, asked: Wanted, *, now_ms: int, web_url: str) -> dict[str, Any]:
    """Return the message that would be sent, without the numbers that it would be given."""
    wish = Wish(
        id=0,
        key=asked.key,
        model=standing.model,
        version=asked.version,
        summary=asked.summary,
        evidence=asked.evidence,
        requested_ms=now_ms,
        deadline_ms=now_ms + standing.policy.answer_within_hours * HOUR_MS,
        url=f"{web_url.rstrip('/')}/retrains/0",
        is_dry_run=True,
    )
    body: dict[str, Any] = json.loads(body_of(wish))
    body["data"] |= {"request_id": None, "key": None, "url": None, "report_url": None}
    return body
