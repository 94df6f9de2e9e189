"""The receivers in examples/ as processes of their own, behind a real dispatcher."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from driftline.webhooks import new_secret, sign
from monitor.alerts import Dispatcher, Poster
from monitor.alerts.guard import networks
from monitor.cli.processes import free_port
from monitor.clock import SystemClock
from monitor.storage import endpoints, outbox, reads
from monitor.storage.engine import reading, transaction
from monitor.storage.outbox import Message

EXAMPLES = Path(__file__).parents[2] / "examples"
SECRET = new_secret()
LOCAL = networks("127.0.0.1/32")
BODY = {
    "type": "drift.detected",
    "timestamp": "2013-02-09T00:00:00Z",
    "data": {
        "alert_id": "alert_1",
        "sequence": 1,
        "severity": "critical",
        "summary": "Die Wetterdaten fehlen: temp.",
        "incidents": [{"id": 4, "feature": "temp", "kind": "missing", "value": 1, "limit": 0.02}],
    },
}


@contextmanager
def running(kind: str, log: Path) -> Iterator[str]:
    """The address of an example that runs as its docstring says."""
    port = free_port()
    command = {
        "fastapi": ["uvicorn", "receiver_fastapi:app", "--port", str(port)],
        "flask": ["flask", "--app", "receiver_flask", "run", "--port", str(port)],
    }[kind]
    # While a secret is rotated the receiver knows both.
    secrets = f"{new_secret()} {SECRET}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=EXAMPLES,
            env={**os.environ, "WEBHOOK_SECRET": secrets, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}/drift"
        deadline_s = time.monotonic() + 60
        while Poster(LOCAL)(url, {}, b"").status is None:
            assert process.poll() is None and time.monotonic() < deadline_s, log.read_text()
            time.sleep(0.05)
        yield url
    finally:
        process.kill()
        process.wait(10)


def headers(content: bytes, secret: str = SECRET, *, age_s: int = 0) -> dict[str, str]:
    sent_s = int(time.time()) - age_s
    return {
        "content-type": "application/json",
        "webhook-id": "forged",
        "webhook-timestamp": str(sent_s),
        "webhook-signature": sign(secret, "forged", sent_s, content),
    }


@pytest.mark.parametrize("kind", ["fastapi", "flask"])
def test_an_example_acts_on_an_alert_once_and_trusts_nobody_else(
    kind: str, engine: Engine, tmp_path: Path
) -> None:
    log, clock = tmp_path / "log", SystemClock()
    content = json.dumps(BODY, ensure_ascii=False)
    with running(kind, log) as url:
        with transaction(engine) as conn:
            endpoints.add(conn, kind, url, SECRET, now_ms=clock.now_ms())
            message = Message("msg_1", "alert_1", 1, "drift.detected", content)
            assert outbox.enqueue(conn, message, clock.now_ms()) == 1
        dispatcher = Dispatcher(engine, Poster(LOCAL), clock=clock)
        assert dispatcher.step() == 1
        assert dispatcher.finish(20)
        with reading(engine) as conn:
            [one] = reads.deliveries(conn)
            [tried] = reads.attempts_of(conn, [one.id])[one.id]
        assert (one.state, tried.status) == ("delivered", 204), log.read_text()
        post, body = Poster(LOCAL), content.encode()
        again = headers(body)
        assert [post(url, again, body).status for _ in range(2)] == [204, 204]
        assert post(url, headers(body, new_secret()), body).status == 400
        assert post(url, headers(body, age_s=301), body).status == 400
        assert post(url, headers(body), body + b" ").status == 400
        assert post(url, {}, body).status == 400
    said = [line for line in log.read_text().splitlines() if line.startswith("drift.detected #1")]
    # The dispatcher's message and the one that was sent twice by hand.
    assert len(said) == 2
    assert all("Die Wetterdaten fehlen: temp." in line for line in said)
