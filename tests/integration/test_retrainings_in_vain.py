"""A retraining that fails, or of which nobody says anything more, is an incident and a message."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa
from outbox_world import FAILED
from outbox_world import World as Outbox
from retrain_world import HOUR_MS, World
from sqlalchemy.engine import Engine

from monitor.alerts import messages
from monitor.alerts.overdue import LOOK_S, Overdue
from monitor.alerts.said import said
from monitor.clock import HeldClock
from monitor.detect.retrain_messages import webhook_id_of
from monitor.detect.routes import Route
from monitor.storage import endpoints, models, retrains, routes, service_incidents
from monitor.storage import schema as t
from monitor.storage.engine import reading, transaction
from monitor.storage.outbox import Message
from monitor.storage.service_incidents import ServiceIncident

pytestmark = pytest.mark.both_databases

WITHIN_S = 96 * HOUR_MS / 1_000


class Vain(World):
    """A world with a clock that all go by, and people beside the trainer."""

    def begin(self) -> None:
        self.clock = HeldClock(self.now_ms)
        self.overdue = Overdue(self.engine, self.clock)
        with transaction(self.engine) as conn:
            self.people = endpoints.add(conn, "people", "https://people", "whsec_x", now_ms=1)[0].id

    def pass_(self, seconds: float) -> int:
        self.clock.advance(seconds)
        self.now_ms = self.clock.now_ms()
        return self.overdue.step()

    def incidents(self) -> list[ServiceIncident]:
        with reading(self.engine) as conn:
            return service_incidents.listed(conn)[::-1]

    def told(self, name: str = "people") -> list[Any]:
        with reading(self.engine) as conn:
            endpoint = endpoints.find(conn, name)
            assert endpoint is not None
            o = t.outbox.c
            query = sa.select(t.outbox).where(o.endpoint_id == endpoint.id).order_by(o.id)
            return list(conn.execute(query))


@pytest.fixture
def vain(engine: Engine) -> Vain:
    made = Vain(engine)
    made.begin()
    return made


def test_a_request_that_nobody_answers_expires_and_is_told(vain: Vain) -> None:
    vain.ask()
    assert vain.pass_(WITHIN_S - LOOK_S) == 0
    assert vain.pass_(LOOK_S) == 1
    one = vain.one()
    assert (one.state, one.ended_ms) == ("expired", vain.now_ms)
    why = "it was not sent to trainer trainer within 96 hours"
    assert one.events[-1].words == why
    (incident,) = vain.incidents()
    assert (incident.kind, incident.subject, incident.name) == ("retrain", "1", "m 1")
    assert incident.summary == f"The retraining of m 1 expired: {why}."
    (told,) = vain.told()
    data = json.loads(told.body)["data"]
    assert told.type == "retrain.failed" and told.webhook_id == "retrain_a_failed"
    assert data == {
        "alert_id": told.alert_id, "sequence": 1, "severity": "warning", "model": "m",
        "version": "1", "request_id": 1, "state": "expired", "trainer": "trainer",
        "url": "https://drift.example/retrains/1", "summary": incident.summary,
    }  # fmt: skip
    # What waited for the trainer starts no training of a request that is over.
    assert [(row.type, row.state) for row in vain.told("trainer")] == [
        ("retrain.requested", "cancelled"),
        ("retrain.failed", "pending"),
    ]
    assert vain.pass_(10 * WITHIN_S) == 0  # said once


def test_what_the_trainer_answered_stands_in_the_words(vain: Vain) -> None:
    vain.ask()
    outbox = Outbox(vain.engine, vain.clock, {"train.example/in": FAILED})
    outbox.run()
    vain.pass_(10)
    outbox.run()
    vain.pass_(WITHIN_S)
    assert vain.one().events[-1].words == (
        "trainer trainer was not reached in 2 attempts within 96 hours, at last because: it "
        "answered 500"
    )


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        (
            ["accept"],
            "trainer trainer took the request and said nothing more for 96 hours",
        ),
        (
            ["accept", "running"],
            "trainer trainer said that it runs, and nothing more for 96 hours",
        ),
        (
            ["succeeded"],
            "trainer trainer said that it succeeded, and no new version took over within 96 "
            "hours: register it with its reference, in the place of version 1",
        ),
        (
            ["running", "succeeded 3"],
            "trainer trainer said that it succeeded with version 3, which was never registered "
            "within 96 hours: register it with its reference, in the place of version 1",
        ),
        (
            ["succeeded 2"],
            "trainer trainer said that it succeeded with version 2, which is registered and did "
            "not take over within 96 hours: promote it in the place of version 1",
        ),
    ],
)
def test_how_far_it_came_is_said(vain: Vain, steps: list[str], why: str) -> None:
    vain.ask()
    for step in steps:
        assert vain.pass_(WITHIN_S - 60) == 0  # each word gives as long again
        state, _, version = step.partition(" ")
        if state == "accept":
            with transaction(vain.engine) as conn:
                retrains.accept(conn, "retrain_a", None, now_ms=vain.now_ms)
        else:
            vain.report(1, state, version=version or None)
    assert vain.pass_(WITHIN_S - 60) == 0
    assert vain.pass_(60) == 1
    assert vain.one().events[-1].words == why
    (incident,) = vain.incidents()
    assert why in incident.summary


def test_a_training_that_failed_is_told_by_the_routes_of_its_model(vain: Vain) -> None:
    with transaction(vain.engine) as conn:
        route = Route(("retrain",), "warning", (vain.people,))
        routes.put(conn, 1, "people", route, now_ms=1)
        endpoints.add(conn, "others", "https://others", "whsec_x", now_ms=1)
    vain.ask()
    vain.report(1, "failed", words="fold 3 has no positives")
    assert [row.type for row in vain.told()] == ["retrain.failed"]
    assert vain.told("others") == []
    (incident,) = vain.incidents()
    assert incident.summary == "The retraining of m 1 failed: fold 3 has no positives."
    vain.report(1, "failed", words="fold 3 has no positives")  # the same word again
    assert len(vain.told()) == 1


def test_a_second_one_in_vain_is_told_and_a_later_success_ends_it(vain: Vain) -> None:
    vain.ask("a")
    vain.report(1, "failed")
    vain.clock.advance(60)
    vain.now_ms = vain.clock.now_ms()
    vain.ask("b")
    vain.report(2, "failed")
    assert len(vain.incidents()) == 1  # one problem
    assert [(row.type, row.sequence) for row in vain.told()] == [
        ("retrain.failed", 1),
        ("retrain.failed", 2),
    ]
    with transaction(vain.engine) as conn:
        endpoints.add(conn, "new", "https://new", "whsec_x", now_ms=1)
    vain.ask("c")
    vain.report(3, "succeeded")
    (incident,) = vain.incidents()
    assert incident.resolved_as == "retrained"
    last = vain.told()[-1]
    assert (last.type, last.sequence) == ("retrain.recovered", 3)
    assert len({row.alert_id for row in vain.told()}) == 1
    data = json.loads(last.body)["data"]
    assert (data["model"], data["version"], data["ended"]) == ("m", "1", "retrained")
    told = said(Message(last.webhook_id, last.alert_id, 3, last.type, last.body))
    assert told.is_over and told.summary == (
        "The retraining of m 1 is no trouble any more: request 3 succeeded."
    )
    assert vain.told("new") == []  # never told that anything was wrong


def test_a_version_that_takes_over_ends_it(vain: Vain) -> None:
    vain.ask()
    vain.report(1, "failed")
    with transaction(vain.engine) as conn:
        retrains.live(conn, 1, 2, now_ms=vain.now_ms, actor="a")
    (incident,) = vain.incidents()
    assert incident.resolved_as == "superseded"
    assert "version 2 took over" in json.loads(vain.told()[-1].body)["data"]["summary"]


def test_an_archived_model_s_retraining_ends_without_a_word(vain: Vain) -> None:
    vain.ask("a")
    vain.report(1, "failed")
    taken = vain.ask("b")
    assert taken is not None
    with transaction(vain.engine) as conn:
        retrains.accept(conn, webhook_id_of(taken.key), None, now_ms=vain.now_ms)
        models.archive(conn, "m", actor="a", now_ms=vain.now_ms)
    assert [one.resolved_as for one in vain.incidents()] == ["archived"]
    before = len(vain.told())
    assert vain.pass_(WITHIN_S) == 1
    assert vain.one(2).events[-1].words == "its model was archived"
    assert len(vain.told()) == before
    assert [one.resolved_as for one in vain.incidents()] == ["archived"]


def test_no_training_of_an_archived_model_begins(vain: Vain) -> None:
    vain.ask()
    with transaction(vain.engine) as conn:
        models.archive(conn, "m", actor="a", now_ms=vain.now_ms)
    assert [row.state for row in vain.told("trainer")] == ["cancelled"]
    one = vain.one()
    assert (one.state, one.ended_ms) == ("expired", vain.now_ms)
    assert one.events[-1].words == "its model was archived"
    assert vain.incidents() == [] and vain.told() == []
    with transaction(vain.engine) as conn:
        models.unarchive(conn, "m", actor="a", now_ms=vain.now_ms)
    assert vain.ask("b") is not None  # it is in nobody's way


def test_a_training_of_an_archived_model_fails_without_a_word(vain: Vain) -> None:
    vain.ask()
    vain.report(1, "running")
    with transaction(vain.engine) as conn:
        models.archive(conn, "m", actor="a", now_ms=vain.now_ms)
    assert vain.report(1, "failed", words="out of memory").state == "failed"
    assert vain.incidents() == [] and vain.told() == []


def test_a_trainer_that_is_removed_takes_no_request_any_more(vain: Vain) -> None:
    vain.ask("a")
    taken = vain.ask("b", version=2)
    assert taken is not None
    with transaction(vain.engine) as conn:
        retrains.accept(conn, webhook_id_of(taken.key), None, now_ms=vain.now_ms)
        trainer = endpoints.find(conn, "trainer")
        assert trainer is not None
        assert messages.remove(conn, trainer, vain.now_ms) == 2
    assert [vain.one(number).state for number in (1, 2)] == ["failed", "accepted"]
    why = "trainer was removed before it took the request"
    assert vain.one(1).events[-1].words == why
    (told,) = vain.told()
    assert why in json.loads(told.body)["data"]["summary"]
    assert [one.name for one in vain.incidents()] == ["m 1"]


def test_looking_for_nothing_waits_for_nobody_who_tells(vain: Vain) -> None:
    """Every ten seconds of every dispatcher, while an evaluator may write for longer."""
    wrote: list[str] = []

    def note(*event: Any) -> None:
        wrote.append(str(event[2]))

    vain.ask()
    sa.event.listen(vain.engine, "before_cursor_execute", note)
    assert vain.pass_(LOOK_S) == 0
    assert not [sql for sql in wrote if "IMMEDIATE" in sql or "advisory" in sql]
    assert vain.pass_(WITHIN_S) == 1
    assert [sql for sql in wrote if "IMMEDIATE" in sql or "advisory" in sql]
