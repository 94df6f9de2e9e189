"""What becomes of a request for a retraining when its message was sent.

In the transaction that records the attempt: a request is accepted where its message arrived, and
failed where nobody sends it any more.
"""

from __future__ import annotations

import contextlib
import json
from typing import Final

from sqlalchemy.engine import Connection

from driftline.errors import Conflict
from monitor.alerts.schedule import Answer
from monitor.detect.retrain_messages import REQUESTED
from monitor.storage import retrains
from monitor.storage.deliveries import Claim
from monitor.storage.endpoints import WEBHOOK
from monitor.storage.engine import take_turns
from monitor.storage.retrains import NoSuchRetrain

# What is kept of a receiver's words.
_WORDS: Final = 500


def take_turn(conn: Connection, held: Claim) -> None:
    """Take a turn with whoever writes messages, before anything is held: the end of one is told."""
    if held.message.type == REQUESTED:
        take_turns(conn, "tell")


def note(conn: Connection, held: Claim, state: str, answer: Answer, now_ms: int) -> None:
    """Note what an attempt means for the request that its message asks for, if for one."""
    message, endpoint = held.message, held.endpoint
    if message.type != REQUESTED:
        return
    if state == "delivered":
        # What a webhook's receiver answers is its own affair.
        words = "" if endpoint.kind == WEBHOOK else answer.body[:_WORDS]
        retrains.accept(conn, message.webhook_id, answer.run, now_ms=now_ms, words=words)
    elif state == "dead":
        number = json.loads(message.body)["data"]["request_id"]
        words = f"{endpoint.name} did not take the request: {answer.why}"
        # It may be over: by a report, by its deadline, or by a version that took over.
        with contextlib.suppress(Conflict, NoSuchRetrain):
            retrains.report(
                conn, number, "failed", actor=endpoint.name, words=words[:_WORDS], now_ms=now_ms
            )
