"""A model with a policy, a trainer and two versions: what requests for retraining are tried on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from driftline.webhooks import new_secret
from monitor.detect.retraining import Policy
from monitor.storage import endpoints, retraining_policies, retrains
from monitor.storage import schema as t
from monitor.storage.engine import reading, transaction
from monitor.storage.retrain_rows import Retrain
from monitor.storage.retrains import Wanted

NOW_MS = 1_750_000_000_000
HOUR_MS = 3_600_000
WEB_URL = "https://drift.example"


@dataclass
class World:
    """What a test does to it, each in a transaction of its own."""

    engine: Engine
    policy: Policy = field(default_factory=Policy)
    now_ms: int = NOW_MS

    def __post_init__(self) -> None:
        with transaction(self.engine) as conn:
            conn.execute(sa.insert(t.model).values(id=1, name="m", timezone="UTC", created_ms=1))
            for number in (1, 2):
                conn.execute(
                    sa.insert(t.model_version).values(
                        id=number, model_id=1, name=str(number), created_ms=1
                    )
                )
            made, _ = endpoints.add(
                conn, "trainer", "https://train.example/in", new_secret(), now_ms=1
            )
            retraining_policies.put(conn, 1, self.policy, made.id, now_ms=1)

    def incident(self, number: int, **more: Any) -> int:
        values = {
            "number": number, "version_id": 1, "segment": "all", "feature": f"f{number}",
            "kind": "distribution", "severity": "critical", "state": "firing", "muted": False,
            "first_window_ms": NOW_MS, "opened_ms": NOW_MS, "episodes": "[]", "summary": "",
            "evidence": "{}", **more,
        }  # fmt: skip
        with transaction(self.engine) as conn:
            conn.execute(sa.insert(t.incident).values(values))
        return number

    def ask(self, key: str = "a", version: int = 1, **more: Any) -> Retrain | None:
        with transaction(self.engine) as conn:
            return self.ask_in(conn, key, version, **more)

    def ask_in(self, conn: Connection, key: str, version: int, **more: Any) -> Retrain | None:
        standing = retraining_policies.policy_of(conn, "m")
        assert standing is not None
        wanted = Wanted(
            version=str(version), version_id=version, key=key, summary="it drifted",
            event_ms=self.now_ms, **more,
        )  # fmt: skip
        return retrains.request(conn, wanted, standing, now_ms=self.now_ms, web_url=WEB_URL)

    def report(self, number: int, state: str, **more: Any) -> Retrain:
        given = {"actor": "api:token", "now_ms": self.now_ms, **more}
        with transaction(self.engine) as conn:
            return retrains.report(conn, number, state, **given)

    def one(self, number: int = 1) -> Retrain:
        with reading(self.engine) as conn:
            found = retrains.find(conn, number)
        assert found is not None
        return found

    def outbox(self) -> list[Any]:
        with reading(self.engine) as conn:
            return list(conn.execute(sa.select(t.outbox).order_by(t.outbox.c.id)))
