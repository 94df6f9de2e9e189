"""The demo's receiver says each genuine message once, and refuses what it cannot trust."""

from __future__ import annotations

import doctest
import json
import time

from driftline.webhooks import new_secret, sign
from monitor.alerts.guard import networks
from monitor.alerts.http import Poster
from monitor.cli.demo import receiver
from monitor.cli.demo.receiver import Receiver

BODY = json.dumps(
    {
        "type": "drift.detected",
        "timestamp": "2013-02-09T00:00:00Z",
        "data": {"severity": "critical", "summary": "The feed\nis [bold]dead."},
    }
).encode()


def headers(secret: str, webhook_id: str = "msg_1") -> dict[str, str]:
    now_s = int(time.time())
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(now_s),
        "webhook-signature": sign(secret, webhook_id, now_s, BODY),
    }


def test_each_message_is_said_once_in_one_line_and_a_forged_one_is_refused() -> None:
    said: list[str] = []
    post = Poster(networks("127.0.0.1/32"))
    with Receiver(said.append) as listening:
        for webhook_id in ("msg_1", "msg_1", "msg_2"):
            assert post(listening.url, headers(listening.secret, webhook_id), BODY).status == 204
        assert post(listening.url, headers(new_secret()), BODY).status == 400
        assert post(listening.url, {}, BODY).status == 400
    genuine = "webhook drift.detected, critical: The feed is [bold]dead."
    assert said[:2] == [genuine, genuine]
    assert said[2].startswith("webhook refused: no_match")
    assert said[3].startswith("webhook refused: missing_header")
    assert len(said) == 4


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(receiver).failed == 0
