"""Endpoints that answer as a test says, and a clock it holds: what a dispatcher is tried on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from sqlalchemy.engine import Engine

from driftline.webhooks import new_secret
from monitor.alerts.dispatch import Dispatcher
from monitor.alerts.schedule import Answer
from monitor.alerts.ways import Ways
from monitor.clock import HeldClock
from monitor.storage import endpoints, outbox, reads
from monitor.storage.engine import reading, transaction
from monitor.storage.outbox import Message

NOW_MS = 1_750_000_000_000
OK, FAILED = Answer(status=204), Answer(status=500, body="oops")
SECRET = new_secret()


@dataclass
class World:
    """Endpoints that answer by their URL's host, and what each was sent."""

    engine: Engine
    clock: HeldClock = field(default_factory=lambda: HeldClock(NOW_MS))
    answers: dict[str, Answer | Callable[[], Answer]] = field(default_factory=dict)
    sent: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    @cached_property
    def _ways(self) -> Ways:
        """Made once: reading the system's certificates takes longer than a message."""
        return Ways(self.post)

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        name = url.removeprefix("https://")
        self.sent.append((name, dict(headers), body))
        found = self.answers.get(name, OK)
        return found if isinstance(found, Answer) else found()

    def dispatcher(self, **more: object) -> Dispatcher:
        settings = {"clock": self.clock, "draw": lambda: 0.0, **more}
        return Dispatcher(self.engine, self._ways, **settings)  # type: ignore[arg-type]

    def add(self, *names: str) -> None:
        with transaction(self.engine) as conn:
            for name in names:
                endpoints.add(conn, name, f"https://{name}", SECRET, now_ms=self.clock.now_ms())

    def tell(self, sequence: int = 1, alert_id: str | None = "a") -> None:
        body = {"type": "drift.detected", "timestamp": "2025-06-15T00:00:00Z", "data": {}}
        with transaction(self.engine) as conn:
            told = Message(
                f"{alert_id}-{sequence}", alert_id, sequence, "drift.detected", json.dumps(body)
            )
            outbox.enqueue(conn, told, self.clock.now_ms())

    def run(self, dispatcher: Dispatcher | None = None) -> list[tuple[str, str]]:
        """Send what is due now; return (endpoint, webhook-id) of what was sent."""
        before = len(self.sent)
        dispatcher = dispatcher or self.dispatcher()
        while dispatcher.step():
            assert dispatcher.finish(10)
        # What is no webhook has no id of ours.
        sent = self.sent[before:]
        return sorted((name, headers.get("webhook-id", "")) for name, headers, _ in sent)

    def state(self, name: str = "one") -> list[tuple[str, str, int]]:
        with reading(self.engine) as conn:
            found = reads.deliveries(conn, endpoint=name)
        return [(one.webhook_id, one.state, one.attempts) for one in reversed(found)]
