"""PagerDuty is told when somebody acknowledges here: after the trigger, before what comes later."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from alerts_world import BAD, MILD, World, told_world
from fastapi.testclient import TestClient
from outbox_world import FAILED, OK
from outbox_world import World as Outbox
from sqlalchemy.engine import Engine

from monitor.api.app import create_app
from monitor.clock import HeldClock
from monitor.storage import endpoints
from monitor.storage import schema as t
from monitor.storage.engine import transaction

pytestmark = pytest.mark.both_databases

LOCAL = "http://127.0.0.1:8050"


@pytest.fixture
def world(engine: Engine) -> World:
    made = told_world(engine)
    with transaction(engine) as conn:
        endpoints.add(conn, "duty", "https://duty", "R" * 32, now_ms=1, kind="pagerduty")
    return made


@pytest.fixture
def sender(world: World) -> Outbox:
    return Outbox(world.engine, HeldClock(world.now_ms))


@pytest.fixture
def api(world: World, sender: Outbox) -> Iterator[TestClient]:
    app = create_app(world.engine, with_dashboard=False, clock=sender.clock)
    with TestClient(app, base_url=LOCAL, raise_server_exceptions=False) as client:
        yield client


def acknowledge(api: TestClient, verb: str = "acknowledge", **asked: object) -> None:
    found = api.get("/api/v1/incidents", params={"state": "open"}).json()["items"]
    number = min(one["id"] for one in found)
    said = api.post(f"/api/v1/incidents/{number}/{verb}", json=asked)
    assert said.status_code == 200, said.text


def paged(sender: Outbox) -> list[tuple[str, str]]:
    """Send what is due; return all that PagerDuty was sent: action and key."""
    for _ in range(5):
        sender.run()
    sent = [json.loads(body) for name, _, body in sender.sent if name == "duty"]
    return [(one["event_action"], one["dedup_key"]) for one in sent]


def types(world: World) -> list[tuple[str, str]]:
    names = {row.id: row.name for row in world.rows(t.endpoint)}
    return [(names[row.endpoint_id], row.type) for row in world.outbox()]


def test_it_is_acknowledged_there_once_and_resolved_by_its_end(
    world: World, api: TestClient, sender: Outbox
) -> None:
    world.step(3, x=MILD)
    acknowledge(api, by="Mo")
    acknowledge(api, by="Mo")  # again changes nothing
    assert types(world) == [
        ("hook", "drift.detected"), ("duty", "drift.detected"), ("duty", "alert.acknowledged"),
    ]  # fmt: skip
    # What was decided before the sender came goes out in its order all the same.
    world.step(3, x=BAD)
    world.step(6)
    actions = paged(sender)
    assert [action for action, _ in actions] == ["trigger", "acknowledge", "trigger", "resolve"]
    assert len({key for _, key in actions}) == 1


def test_it_waits_for_the_trigger_and_what_comes_later_waits_for_it(
    world: World, api: TestClient, sender: Outbox
) -> None:
    world.step(3, x=BAD)
    acknowledge(api)
    sender.answers["duty"] = FAILED
    assert [action for action, _ in paged(sender)] == ["trigger"]
    sender.answers["duty"] = OK
    sender.clock.advance(10)
    assert [action for action, _ in paged(sender)] == ["trigger", "trigger", "acknowledge"]


def test_part_of_it_is_not_it(world: World, api: TestClient) -> None:
    world.step(3, x=BAD, zeros=BAD)
    assert len(json.loads(world.outbox()[0].body)["data"]["incidents"]) == 2
    acknowledge(api, alone=True)
    assert {kind for _, kind in types(world)} == {"drift.detected"}
    acknowledge(api)
    assert types(world)[-1] == ("duty", "alert.acknowledged")


def test_who_was_not_told_of_it_is_not_told_of_this(world: World, api: TestClient) -> None:
    body = {"endpoints": ["hook"]}
    assert api.put("/api/v1/models/m/routes/r", json=body).status_code == 200
    world.step(3, x=BAD)
    acknowledge(api)
    assert types(world) == [("hook", "drift.detected")]


def test_giving_it_back_is_told_to_nobody_and_another_one_is_told_again(
    world: World, api: TestClient, sender: Outbox
) -> None:
    world.step(3, x=BAD)
    acknowledge(api, by="Mo")
    acknowledge(api, "give-back", by="Mo")
    assert len(types(world)) == 3
    sender.clock.advance(60)
    acknowledge(api, by="Li")
    actions = [action for action, _ in paged(sender)]
    assert actions == ["trigger", "acknowledge", "acknowledge"]
    bodies = [json.loads(row.body)["data"]["summary"] for row in world.outbox()[2:]]
    assert bodies == ["m 1: Mo looks after it.", "m 1: Li looks after it."]


def test_a_trigger_that_quiet_hours_hold_is_not_let_go_by_it(
    world: World, api: TestClient, sender: Outbox
) -> None:
    hour = world.now_ms // 3_600_000 % 24
    quiet = f"{hour:02}:00-{(hour + 8) % 24:02}:00"
    body = {"endpoints": ["duty"], "quiet": quiet, "timezone": "UTC"}
    assert api.put("/api/v1/models/m/routes/r", json=body).status_code == 200
    world.step(3, x=MILD)
    acknowledge(api)
    assert len(types(world)) == 2 and paged(sender) == []
    sender.clock.advance(8 * 3_600)
    assert [action for action, _ in paged(sender)] == ["trigger", "acknowledge"]


def test_an_alert_that_is_over_is_not_acknowledged_any_more(world: World, api: TestClient) -> None:
    world.step(3, x=BAD)
    with transaction(world.engine) as conn:
        conn.execute(sa.update(t.alert).values(state="resolved"))
    acknowledge(api)
    assert {kind for _, kind in types(world)} == {"drift.detected"}
