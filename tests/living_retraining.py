"""Requests for a retraining in the living database: one of each state that a page must show.

Written by the same functions that the service writes with, at the times of the story. They come
at its end, when everything was judged: the story's incidents are not theirs to change.

=======  ============  ==========================================================================
request  of            became
=======  ============  ==========================================================================
1        version 1     a dry run of the policy
2        version 1     asked by somebody; ran, and version 2 took over on 9 May
3        taxi-out 1    failed
4        taxi-out 1    expired
5        taxi-out 1    running, and late events took its reason away
6        version 2     succeeded; its version is not live yet
=======  ============  ==========================================================================
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.detect.retrain_messages import webhook_id_of
from monitor.detect.retraining import Policy
from monitor.storage import deliveries, endpoints, registry, retraining_policies, retrains
from monitor.storage import schema as t
from monitor.storage.deliveries import Attempt
from monitor.storage.engine import transaction

SECOND_MS, MINUTE_MS, DAY_MS = 1_000, 60_000, 86_400_000
SECRET = "whsec_" + "QUJD" * 8
TRAINER = "trainer"


def ask(world: Any, first_day_ms: int) -> None:
    """Write the requests; `first_day_ms` begins the story."""
    names = world.names
    with transaction(world.engine) as conn:
        told = _Told(conn, first_day_ms, world.clock.now_ms())
        told.policies(names.model, names.timeless)
        told.dry_run("dry", names.model, names.version, 4.0, [1])
        number = told.request("loop", names.model, names.version, 6.4, [1], by="M. Keller")
        told.taken("loop", 6.4, [503, 200])
        told.word(number, "running", 6.45, run="https://train.example/runs/17")
        told.word(number, "succeeded", 6.6, version=names.successor, words="AUC 0.71")
        told.live(names.model, names.version, names.successor, 8.0)
        number = told.request("failed", names.timeless, "1", 12.2, [6])
        told.taken("failed", 12.2, [202])
        told.word(number, "failed", 12.3, words="the training data has no column reading")
        number = told.request("late", names.timeless, "1", 13.1, [6])
        told.expired(number, 14.0)
        number = told.request("gone", names.timeless, "1", 14.5, [6])
        told.taken("gone", 14.5, [202])
        told.word(number, "running", 14.6, run="https://train.example/runs/21")
        told.withdrawn(number, 15.2)
        number = told.request("made", names.model, names.successor, 14.6, [8, 9, 12])
        told.taken("made", 14.6, [200])
        told.word(number, "running", 15.2, run="https://train.example/runs/22")
        told.word(number, "succeeded", 15.4, version="3")
        registry.bump_data_version(conn)


class _Told:
    def __init__(self, conn: Connection, first_ms: int, now_ms: int) -> None:
        self._conn, self._first_ms, self._now_ms = conn, first_ms, now_ms
        self._keys: dict[str, str] = {}

    def at(self, day: float) -> int:
        return self._first_ms + int(day * DAY_MS)

    def policies(self, model: str, other: str) -> None:
        made, _ = endpoints.add(
            self._conn, TRAINER, "https://trainer.example/in", SECRET, now_ms=self._now_ms
        )
        self.trainer = made.id
        for name, policy in ((model, Policy()), (other, Policy(dry_run=True, daily_budget=2))):
            query = sa.select(t.model.c.id).where(t.model.c.name == name)
            model_id = self._conn.execute(query).scalar_one()
            retraining_policies.put(self._conn, model_id, policy, made.id, now_ms=self._now_ms)

    def version_id(self, model: str, version: str) -> int:
        v, m = t.model_version.c, t.model.c
        query = sa.select(v.id).join(t.model, m.id == v.model_id)
        query = query.where(m.name == model, v.name == version)
        return int(self._conn.execute(query).scalar_one())

    def request(
        self, key: str, model: str, version: str, day: float, incidents: list[int], **more: Any
    ) -> int:
        by = more.pop("by", None)
        standing = retraining_policies.policy_of(self._conn, model)
        assert standing is not None
        wanted = retrains.Wanted(
            version=version,
            version_id=self.version_id(model, version),
            key=key,
            summary="critical drift stood on 5 of the last 28 days, 5 are needed",
            event_ms=self.at(int(day)),
            evidence={"incidents": incidents, "days": 5},
            origin="policy" if by is None else "asked",
            actor="evaluator" if by is None else by,
            **more,
        )
        made = retrains.request(
            self._conn, wanted, standing, now_ms=self.at(day), web_url="https://drift.example"
        )
        assert made is not None
        return made.id

    def dry_run(self, key: str, model: str, version: str, day: float, some: list[int]) -> None:
        self.request(key, model, version, day, some, is_dry_run=True)

    def taken(self, key: str, day: float, statuses: list[int]) -> None:
        """The trainer took the message, at the last of these answers."""
        o = t.outbox.c
        query = sa.select(o.id).where(o.webhook_id == webhook_id_of(key))
        number = self._conn.execute(query).scalar_one()
        at_ms = self.at(day)
        for place, status in enumerate(statuses):
            at_ms += place * 6 * SECOND_MS
            held = deliveries.claim(self._conn, number, "story", at_ms, at_ms + MINUTE_MS)
            assert held is not None
            is_taken = status < 300
            error = None if is_taken else f"it answered {status}"
            attempt = Attempt(held.number, at_ms, 640, status, error, "")
            state = "delivered" if is_taken else "pending"
            due_ms = None if is_taken else at_ms + 5 * SECOND_MS
            deliveries.record(self._conn, held, attempt, state, due_ms=due_ms)
        retrains.accept(
            self._conn, webhook_id_of(key), None, now_ms=at_ms + 640, words="it was taken"
        )

    def word(self, number: int, state: str, day: float, **more: Any) -> None:
        run = more.pop("run", None)
        retrains.report(
            self._conn, number, state, actor=TRAINER, now_ms=self.at(day), run_url=run, **more
        )

    def live(self, model: str, old: str, new: str, day: float) -> None:
        retrains.live(
            self._conn, self.version_id(model, old), self.version_id(model, new),
            now_ms=self.at(day), actor="registry",
        )  # fmt: skip

    def expired(self, number: int, day: float) -> None:
        """As whoever expires requests writes it."""
        at_ms = self.at(day)
        values = {"state": "expired", "ended_ms": at_ms, "deadline_ms": at_ms}
        self._conn.execute(sa.update(t.retrain).where(t.retrain.c.id == number).values(values))
        retrains.event(
            self._conn, number, "expired", at_ms, actor="dispatcher", words="no word in time"
        )

    def withdrawn(self, number: int, day: float) -> None:
        """As the evaluator writes it when the incidents are withdrawn; here they stand."""
        self._conn.execute(
            sa.update(t.retrain).where(t.retrain.c.id == number).values(basis_withdrawn=True)
        )
        retrains.event(
            self._conn, number, "basis_withdrawn", self.at(day), actor="evaluator",
            words="late events withdrew the incidents that it stands on",
        )  # fmt: skip
