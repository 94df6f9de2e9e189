"""An alert that still stands, and nobody looks after, is told again as often as its route says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from alerts_world import BAD, MILD, World, endpoint, told_world
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from monitor.api.app import create_app
from monitor.clock import HeldClock
from monitor.evaluate.alerts import remind
from monitor.storage import deliveries, registry, reminders
from monitor.storage import schema as t
from monitor.storage.engine import reading, transaction
from monitor.windows.panes import HOUR_MS

pytestmark = pytest.mark.both_databases

LOCAL = "http://127.0.0.1:8050"


@pytest.fixture
def world(engine: Engine) -> World:
    made = told_world(engine)
    endpoint(engine, "pager")
    return made


@pytest.fixture
def clock(world: World) -> HeldClock:
    return HeldClock(world.now_ms)


@pytest.fixture
def api(world: World, clock: HeldClock) -> Iterator[TestClient]:
    app = create_app(world.engine, with_dashboard=False, clock=clock)
    with TestClient(app, base_url=LOCAL, raise_server_exceptions=False) as client:
        yield client


def route(api: TestClient, name: str, *to: str, **body: Any) -> None:
    said = api.put(f"/api/v1/models/m/routes/{name}", json={"endpoints": list(to), **body})
    assert said.status_code == 200, said.text


def later(world: World, hours: float) -> list[tuple[str, str, int]]:
    """Let wall time pass without an event; return what is written: endpoint, type, sequence."""
    before = len(world.outbox())
    world.now_ms += round(hours * HOUR_MS)
    for _ in range(3):  # however often it is looked
        world.evaluator().step()
    return got(world)[before:]


def got(world: World) -> list[tuple[str, str, int]]:
    names = {row.id: row.name for row in world.rows(t.endpoint)}
    return [(names[row.endpoint_id], row.type, row.sequence) for row in world.outbox()]


def deliver(world: World) -> None:
    """All that waits has arrived."""
    with transaction(world.engine) as conn:
        conn.execute(sa.update(t.outbox).values(state="delivered", finished_ms=world.now_ms))


def test_what_still_stands_is_told_again_without_a_new_event(world: World, api: TestClient) -> None:
    route(api, "all", "hook", "pager")
    route(api, "often", "pager", repeat_hours=6)
    world.step(3, x=BAD)
    assert got(world) == [("hook", "drift.detected", 1), ("pager", "drift.detected", 1)]
    deliver(world)
    assert later(world, 5.9) == []
    assert later(world, 0.2) == [("pager", "drift.updated", 1)]
    [row] = world.outbox()[2:]
    body = json.loads(row.body)
    assert body["data"]["reminder"] is True and body["data"]["sequence"] == 1
    assert body["data"]["summary"].startswith("m 1: still: x: missing")
    assert [one["feature"] for one in body["data"]["incidents"]] == ["x"]
    deliver(world)
    assert later(world, 5) == []
    assert later(world, 1.1) == [("pager", "drift.updated", 1)]
    deliver(world)
    # Of several that nobody was there to send, one goes out.
    assert later(world, 40) == [("pager", "drift.updated", 1)]
    deliver(world)
    assert len({row.webhook_id for row in world.outbox()}) == len(world.outbox()) - 1
    world.step(6)
    assert got(world)[-2:] == [("hook", "drift.resolved", 2), ("pager", "drift.resolved", 2)]
    deliver(world)
    assert later(world, 100) == []


def test_an_evaluator_that_looks_every_ten_seconds_reminds_within_a_minute(
    world: World, api: TestClient
) -> None:
    """It looks for what is to be told again once a minute, however often for other things."""
    route(api, "often", "pager", repeat_hours=6)
    world.step(3, x=BAD)
    deliver(world)
    evaluator = world.evaluator()
    world.now_ms += 6 * HOUR_MS - 30_000
    told = []
    for _ in range(12):
        evaluator.step()
        told.append(len(world.outbox()))
        world.now_ms += 10_000
    assert told[0] == told[2] and told[-1] == told[0] + 1


def test_other_news_of_the_alert_begin_the_hours_anew(world: World, api: TestClient) -> None:
    route(api, "often", "pager", repeat_hours=6)
    world.step(3, x=MILD)
    deliver(world)
    world.now_ms += 5 * HOUR_MS
    world.step(3, x=BAD)
    deliver(world)
    assert got(world)[-1] == ("pager", "drift.updated", 2)
    assert later(world, 5) == []
    assert later(world, 1.1) == [("pager", "drift.updated", 2)]


def test_who_has_not_got_the_last_one_is_not_sent_another(world: World, api: TestClient) -> None:
    route(api, "often", "pager", repeat_hours=1)
    world.step(3, x=BAD)
    assert later(world, 2) == []  # it waits still
    deliver(world)
    assert len(later(world, 0.1)) == 1
    assert later(world, 5) == []
    # Who was never told of it is not reminded of it.
    deliver(world)
    route(api, "new", "hook", repeat_hours=1)
    assert [name for name, _, _ in later(world, 2)] == ["pager"]


def test_acknowledging_it_stops_it_and_giving_it_back_lets_it_go_on(
    world: World, api: TestClient, clock: HeldClock
) -> None:
    route(api, "often", "pager", repeat_hours=6)
    world.step(3, x=BAD)
    deliver(world)
    [incident] = api.get("/api/v1/incidents").json()["items"]
    clock.advance(3_600)
    assert api.post(f"/api/v1/incidents/{incident['id']}/acknowledge").status_code == 200
    assert later(world, 30) == []
    clock.advance(30 * 3_600)
    assert api.post(f"/api/v1/incidents/{incident['id']}/give-back").status_code == 200
    assert later(world, 0.1) == [("pager", "drift.updated", 1)]


def test_a_silence_stops_it_while_it_lasts(world: World, api: TestClient, clock: HeldClock) -> None:
    route(api, "often", "pager", repeat_hours=6)
    world.step(3, x=BAD)
    deliver(world)
    asked = {"model": "m", "for_s": 20 * 3_600}
    assert api.post("/api/v1/silences", json=asked).status_code == 201
    assert later(world, 19) == []
    assert later(world, 2) == [("pager", "drift.updated", 1)]


def test_in_quiet_hours_nobody_is_reminded_of_what_is_not_critical(
    world: World, api: TestClient
) -> None:
    hour = world.now_ms // HOUR_MS % 24
    quiet = f"{(hour + 5) % 24:02}:00-{(hour + 12) % 24:02}:00"
    route(api, "often", "pager", repeat_hours=6, quiet=quiet, timezone="UTC")
    world.step(3, x=MILD)
    deliver(world)
    assert later(world, 7) == [] and later(world, 4) == []
    assert later(world, 1.1) == [("pager", "drift.updated", 1)]
    deliver(world)
    # What is critical waits for nobody.
    world.step(3, x=BAD)
    deliver(world)
    assert later(world, 18) == [("pager", "drift.updated", 2)]


def test_of_two_evaluators_one_reminds_and_a_restored_database_uses_the_same_id(
    world: World, api: TestClient
) -> None:
    route(api, "often", "pager", repeat_hours=6)
    world.step(3, x=BAD)
    deliver(world)
    world.now_ms += 7 * HOUR_MS
    bound = registry.load(world.engine, None).versions
    [one] = bound.values()
    assert remind(world.engine, one, world.now_ms, LOCAL, "a") == 1
    assert remind(world.engine, one, world.now_ms, LOCAL, "b") == 0
    # Both have read that it is due: the second one decides nothing that is written twice.
    with reading(world.engine) as conn:
        assert reminders.due(conn, one, world.now_ms) == {}
    [first] = [row.webhook_id for row in world.outbox()[1:]]
    with transaction(world.engine) as conn:
        conn.execute(sa.delete(t.outbox).where(t.outbox.c.webhook_id == first))
    assert remind(world.engine, one, world.now_ms + HOUR_MS, LOCAL, "c") == 1
    assert [row.webhook_id for row in world.outbox()[1:]] == [first]


def test_what_says_who_was_told_is_kept_while_the_alert_is_open(
    world: World, api: TestClient
) -> None:
    route(api, "often", "pager", repeat_hours=6)
    world.step(3, x=BAD)
    deliver(world)
    with transaction(world.engine) as conn:
        assert deliveries.forget(conn, "delivered", world.now_ms + 1, 10) == 0
    assert len(later(world, 7)) == 1
    world.step(6)
    deliver(world)
    with transaction(world.engine) as conn:
        assert deliveries.forget(conn, "delivered", world.now_ms + 1, 10) == 3


@pytest.mark.parametrize("hours", [0, -1, 721, 1.5, "often"])
def test_how_often_has_limits(world: World, api: TestClient, hours: object) -> None:
    body = {"endpoints": ["pager"], "repeat_hours": hours}
    said = api.put("/api/v1/models/m/routes/r", json=body)
    assert said.status_code == 422 and "repeat_hours" in said.text
    assert world.rows(t.route) == []
