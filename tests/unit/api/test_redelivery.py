"""Messages are sent again: one, a range, or what a filter names; the same ones, in their order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import retrain_world
import sqlalchemy as sa
from fastapi.testclient import TestClient
from outbox_world import FAILED, NOW_MS, OK, World
from sqlalchemy.engine import Engine

from monitor.alerts.schedule import DELAYS_S
from monitor.api.app import create_app
from monitor.storage import deliveries, endpoints, redelivery
from monitor.storage import schema as t
from monitor.storage.engine import reading, transaction
from monitor.storage.redelivery import Wanted

pytestmark = pytest.mark.both_databases

LOCAL = "http://127.0.0.1:8050"


@pytest.fixture
def world(engine: Engine) -> World:
    return World(engine)


@contextmanager
def api(world: World) -> Iterator[TestClient]:
    app = create_app(world.engine, with_dashboard=False, clock=world.clock)
    with TestClient(app, base_url=LOCAL, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def given_up(world: World) -> World:
    """Two endpoints; two messages of one alert and one of another were given up by the first."""
    world.add("one", "two")
    world.answers["one"] = FAILED
    world.tell(1)
    world.tell(2)
    world.tell(1, "b")
    for delay_s in DELAYS_S:
        world.clock.advance(delay_s)
        world.run()
    with transaction(world.engine) as conn:
        one = endpoints.find(conn, "one")
        assert one is not None
        deliveries.bury(conn, one.id, world.clock.now_ms())
        endpoints.enable(conn, one.id)  # its failures are forgiven
    assert {state for _, state, _ in world.state()} == {"dead"}
    world.sent.clear()
    return world


def ask(client: TestClient, **body: Any) -> dict[str, Any]:
    said = client.post("/api/v1/deliveries/redeliver", json=body)
    assert said.status_code == 202, said.text
    found: dict[str, Any] = said.json()
    return found


def audited(world: World) -> list[tuple[str, str]]:
    with reading(world.engine) as conn:
        query = sa.select(t.audit.c.action, t.audit.c.subject).order_by(t.audit.c.id)
        return [(action, subject) for action, subject in conn.execute(query)]


def test_what_was_given_up_is_sent_again_with_its_id_and_body_in_its_order(
    given_up: World,
) -> None:
    given_up.answers["one"] = OK
    with api(given_up) as client:
        ids = ask(client, endpoint="one")["ids"]
        assert len(ids) == 3 and ids == sorted(ids)
        given_up.run()
        sent = [headers["webhook-id"] for name, headers, _ in given_up.sent]
        assert sorted(sent) == ["a-1", "a-2", "b-1"]
        assert sent.index("a-1") < sent.index("a-2")
        one = client.get(f"/api/v1/deliveries/{ids[0]}").json()
        assert (one["state"], one["attempts"]) == ("delivered", 11)
        assert [each["number"] for each in one["tried"]] == list(range(1, 12))
        # Nothing is left to send: the same request again changes nothing.
        assert ask(client, endpoint="one")["ids"] == []
    assert audited(given_up) == [("delivery.redeliver", "one")]


def test_its_schedule_begins_anew_and_ends_as_before(given_up: World) -> None:
    with api(given_up) as client:
        [number] = ask(client, endpoint="one", alert_id="b")["ids"]
        waits = []
        for delay_s in DELAYS_S:
            given_up.clock.advance(delay_s)
            waits.append(given_up.run())
        assert waits == [[("one", "b-1")]] * 10
        one = client.get(f"/api/v1/deliveries/{number}").json()
        assert (one["state"], one["attempts"]) == ("dead", 20)


def test_a_later_message_waits_for_an_earlier_one_that_was_asked_for_again(
    given_up: World,
) -> None:
    with api(given_up) as client:
        first = ask(client, endpoint="one", alert_id="a")["ids"][0]
        given_up.tell(3)
        given_up.run()
        assert [h["webhook-id"] for n, h, _ in given_up.sent if n == "one"] == ["a-1"]
        given_up.answers["one"] = OK
        given_up.clock.advance(5)
        given_up.run()
        sent = [h["webhook-id"] for n, h, _ in given_up.sent if n == "one"]
        assert sent == ["a-1", "a-1", "a-2", "a-3"]
        assert first


def test_each_filter_takes_what_it_names(given_up: World) -> None:
    with api(given_up) as client:
        everything = ask(client, all=True, dry_run=True)["ids"]
        assert len(everything) == 3
        cases: list[tuple[dict[str, Any], int]] = [
            ({"endpoint": "one"}, 3), ({"endpoint": "two"}, 0),
            ({"endpoint": "two", "state": "delivered"}, 3), ({"alert_id": "a"}, 2),
            ({"type": "drift.detected"}, 3), ({"type": "drift.resolved"}, 0),
            ({"first": everything[1]}, 2), ({"last": everything[1]}, 2),
            ({"first": everything[1], "last": everything[1]}, 1),
            ({"from": "2000-01-01T00:00:00Z", "to": "2001-01-01T00:00:00Z"}, 0),
            ({"from": "2025-06-15T00:00:00Z", "to": "2025-06-17T00:00:00Z"}, 3),
            ({"alert_id": "a", "last": everything[0]}, 1),
        ]  # fmt: skip
        for body, count in cases:
            found = ask(client, **body, dry_run=True)
            assert len(found["ids"]) == count, body
            assert found["is_dry_run"] and not found["more"]
    # A dry run has changed nothing, and is nothing to note.
    assert {state for _, state, _ in given_up.state()} == {"dead"}
    assert audited(given_up) == []


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 422, "Nothing says which messages"),
        ({"state": "dead"}, 422, "Nothing says which messages"),
        ({"state": "cancelled"}, 422, "state"),
        ({"endpoint": "onee"}, 404, "did you mean one"),
        ({"first": 9, "last": 3}, 422, "The range is empty"),
        ({"from": "2025-06-16T00:00:00Z", "to": "2025-06-15T00:00:00Z"}, 422, "range is empty"),
        ({"from": "2025-06-16T00:00:00"}, 422, "offset"),
        ({"first": 0}, 422, "first"),
        ({"colour": "red"}, 422, "colour"),
    ],
)
def test_what_names_nothing_is_refused_with_why(
    world: World, body: dict[str, Any], status: int, words: str
) -> None:
    world.add("one")
    with api(world) as client:
        said = client.post("/api/v1/deliveries/redeliver", json=body)
    assert said.status_code == status
    assert words in said.text


def test_one_is_sent_again_whether_it_arrived_or_not_and_one_that_waits_is_hurried(
    world: World,
) -> None:
    world.add("one")
    world.tell(1)
    world.run()
    with api(world) as client:
        [number] = [d["id"] for d in client.get("/api/v1/deliveries").json()["items"]]
        said = client.post(f"/api/v1/deliveries/{number}/redeliver")
        assert (said.status_code, said.json()["state"]) == (202, "pending")
        assert world.run() == [("one", "a-1")]
        world.answers["one"] = FAILED
        world.tell(1, "b")
        assert world.run() == [("one", "b-1")]
        assert world.run() == []  # due in five seconds
        [b] = [d["id"] for d in client.get("/api/v1/deliveries?state=pending").json()["items"]]
        assert client.post(f"/api/v1/deliveries/{b}/redeliver").status_code == 202
        assert world.run() == [("one", "b-1")]
        with transaction(world.engine) as conn:
            conn.execute(
                sa.update(t.outbox)
                .where(t.outbox.c.id == b)
                .values(leased_by="other", lease_until_ms=NOW_MS + 60_000)
            )
        said = client.post(f"/api/v1/deliveries/{b}/redeliver")
        assert said.status_code == 409 and "being sent" in said.json()["detail"]
        assert client.post("/api/v1/deliveries/999/redeliver").status_code == 404


def test_a_test_what_was_cancelled_and_what_is_removed_are_not_sent_again(world: World) -> None:
    world.add("one", "two")
    world.tell(1)
    world.run()
    with api(world) as client:
        client.post("/api/v1/endpoints/two/test")
        world.run()
        [test] = [
            d["id"] for d in client.get("/api/v1/deliveries?endpoint=two").json()["items"]
            if d["type"] == "endpoint.test"
        ]  # fmt: skip
        said = client.post(f"/api/v1/deliveries/{test}/redeliver")
        assert said.status_code == 409 and "is a test" in said.json()["detail"]
        assert len(ask(client, all=True, state="delivered", dry_run=True)["ids"]) == 2
        world.answers["one"] = FAILED
        world.tell(1, "b")
        client.delete("/api/v1/endpoints/one")
        listed = client.get("/api/v1/deliveries?endpoint=one").json()["items"]
        assert {d["state"] for d in listed} == {"cancelled", "delivered"}
        for one in listed:
            said = client.post(f"/api/v1/deliveries/{one['id']}/redeliver")
            assert said.status_code == 409 and "removed" in said.json()["detail"]
        assert len(ask(client, all=True, state="delivered", dry_run=True)["ids"]) == 1
    assert world.run() == [("two", "b-1")]


def test_a_request_for_a_retraining_that_has_failed_starts_none_when_its_trainer_is_back(
    engine: Engine,
) -> None:
    made, outbox = retrain_world.World(engine), World(engine)
    made.ask("over")
    made.ask("open", version=2)
    with transaction(engine) as conn:
        trainer = endpoints.find(conn, "trainer")
        assert trainer is not None
        deliveries.bury(conn, trainer.id, made.now_ms)
    with api(outbox) as client:
        assert ask(client, all=True, dry_run=True)["ids"] == [1, 2]
        made.report(1, "failed")
        assert ask(client, all=True, type="retrain.requested")["ids"] == [2]
        said = client.post("/api/v1/deliveries/1/redeliver")
        assert said.status_code == 409 and "driftline retrain ask" in said.json()["detail"]
    asked = [row.state for row in made.outbox() if row.type == "retrain.requested"]
    assert asked == ["dead", "pending"]


def test_for_a_disabled_endpoint_it_waits_until_that_is_enabled(given_up: World) -> None:
    given_up.answers["one"] = OK
    with transaction(given_up.engine) as conn:
        one = endpoints.find(conn, "one")
        assert one is not None
        endpoints.disable(conn, one.id, "maintenance", now_ms=NOW_MS)
        assert len(redelivery.again(conn, Wanted(alert_id="a"), now_ms=NOW_MS)) == 2
    assert given_up.run() == []
    with transaction(given_up.engine) as conn:
        endpoints.enable(conn, one.id)
    assert given_up.run() == [("one", "a-1"), ("one", "a-2")]


def test_more_than_one_request_takes_are_asked_for_by_asking_again(given_up: World) -> None:
    with transaction(given_up.engine) as conn:
        first = redelivery.again(conn, Wanted(endpoint="one"), now_ms=NOW_MS, limit=2)
        rest = redelivery.again(conn, Wanted(endpoint="one"), now_ms=NOW_MS, limit=2)
    assert (len(first), len(rest)) == (2, 1)
    assert max(first) < min(rest)
