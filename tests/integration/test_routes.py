"""Messages go where their model's routes say, wait where it is quiet, and come to their end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from alerts_world import BAD, MILD, World, endpoint, told_world
from fastapi.testclient import TestClient
from outbox_world import World as Outbox
from sqlalchemy.engine import Engine

from monitor.api.app import create_app
from monitor.detect.routes import Quiet, Route, destinations
from monitor.storage import outbox, routes
from monitor.storage import schema as t
from monitor.storage.engine import reading, transaction
from monitor.storage.outbox import Message

LOCAL = "http://127.0.0.1:8050"
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def world(engine: Engine) -> World:
    made = told_world(engine)
    endpoint(engine, "pager")
    endpoint(engine, "chat")
    return made


@pytest.fixture
def api(world: World) -> Iterator[TestClient]:
    app = create_app(world.engine, with_dashboard=False)
    with TestClient(app, base_url=LOCAL, raise_server_exceptions=False) as client:
        yield client


def put(api: TestClient, name: str, *to: str, **body: Any) -> dict[str, Any]:
    said = api.put(f"/api/v1/models/m/routes/{name}", json={"endpoints": list(to), **body})
    assert said.status_code == 200, said.text
    found: dict[str, Any] = said.json()
    return found


def got(world: World) -> list[tuple[str, str, int]]:
    """Return (endpoint, type, sequence) of each message, as written."""
    names = {row.id: row.name for row in world.rows(t.endpoint)}
    return [
        (names[row.endpoint_id], row.type.partition(".")[2], row.sequence) for row in world.outbox()
    ]


@pytest.mark.both_databases
def test_each_route_takes_what_it_names_and_the_rest_goes_nowhere(
    world: World, api: TestClient
) -> None:
    put(api, "night", "pager", events=["drift"], severity="critical")
    put(api, "all", "chat")
    put(api, "schemas", "hook", events=["schema"])
    world.step(3, x=MILD)
    assert got(world) == [("chat", "detected", 1)]
    world.step(3, x=BAD)
    assert got(world)[1:] == [("pager", "updated", 2), ("chat", "updated", 2)]
    world.step(6)
    assert got(world)[3:] == [("pager", "resolved", 3), ("chat", "resolved", 3)]


@pytest.mark.both_databases
def test_without_a_route_everything_goes_everywhere(world: World, api: TestClient) -> None:
    put(api, "all", "chat")
    assert api.delete("/api/v1/models/m/routes/all").status_code == 200
    world.step(3, x=BAD)
    assert {name for name, _, _ in got(world)} == {"hook", "pager", "chat"}


@pytest.mark.both_databases
def test_who_was_told_of_an_alert_is_told_of_its_end_whatever_became_of_the_routes(
    world: World, api: TestClient
) -> None:
    world.step(3, x=BAD)
    put(api, "all", "chat")
    world.step(6)
    ends = [(name, kind) for name, kind, sequence in got(world) if sequence == 2]
    assert ends == [(name, "resolved") for name in ("hook", "pager", "chat")]
    # The next one is of the routes alone.
    before = len(got(world))
    world.step(15 * 24)
    world.step(3, zeros=BAD)
    assert {name for name, _, _ in got(world)[before:]} == {"chat"}


@pytest.mark.both_databases
def test_an_endpoint_that_a_route_names_is_not_removed_and_a_model_takes_its_routes_along(
    world: World, api: TestClient
) -> None:
    put(api, "all", "chat")
    said = api.delete("/api/v1/endpoints/chat")
    assert said.status_code == 409 and "route remove m all" in said.json()["mend"]
    assert api.post("/api/v1/models/m/archive").status_code == 200
    assert api.delete("/api/v1/models/m").status_code == 200
    assert world.rows(t.route) == []
    assert api.delete("/api/v1/endpoints/chat").status_code == 200


@pytest.mark.both_databases
def test_routes_are_listed_changed_and_audited(world: World, api: TestClient) -> None:
    one = put(api, "night", "pager", "chat", quiet="22:00-07:00")
    assert one["endpoints"] == ["chat", "pager"] and one["timezone"] == "UTC"
    put(api, "night", "pager", "chat", quiet="22:00-07:00")  # again changes nothing
    put(api, "night", "pager", quiet="22:00-06:00", timezone="Europe/Berlin")
    [listed] = api.get("/api/v1/routes", params={"model": "m"}).json()["items"]
    assert (listed["quiet"], listed["timezone"]) == ("22:00-06:00", "Europe/Berlin")
    api.delete("/api/v1/models/m/routes/night")
    assert api.get("/api/v1/routes").json()["items"] == []
    audit = [row.action for row in world.rows(t.audit) if row.action.startswith("route")]
    assert audit == ["route.set", "route.set", "route.remove"]


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("m/routes/r", {"endpoints": ["chatt"]}, 404, "did you mean chat"),
        ("m/routes/r", {"endpoints": []}, 422, "endpoints"),
        ("m/routes/r", {}, 422, "endpoints"),
        ("mm/routes/r", {"endpoints": ["chat"]}, 404, "mm"),
        ("m/routes/r", {"endpoints": ["chat"], "events": ["drift.lost"]}, 422, "never sent"),
        ("m/routes/r", {"endpoints": ["chat"], "severity": "mild"}, 422, "severity"),
        ("m/routes/r", {"endpoints": ["chat"], "quiet": "22-7"}, 422, "quiet hours"),
        ("m/routes/r", {"endpoints": ["chat"], "quiet": "07:00-07:00"}, 422, "quiet hours"),
        ("m/routes/r", {"endpoints": ["chat"], "timezone": "Mars/Base"}, 422, "time zone"),
        ("m/routes/-r", {"endpoints": ["chat"]}, 422, "name"),
        ("m/routes/r", {"endpoints": ["chat"], "colour": "red"}, 422, "colour"),
    ],
)
def test_what_no_route_can_be_is_refused_with_why(
    api: TestClient, world: World, path: str, body: dict[str, Any], status: int, words: str
) -> None:
    said = api.put(f"/api/v1/models/{path}", json=body)
    assert said.status_code == status, said.text
    assert words in said.text
    assert world.rows(t.route) == []


# Quiet hours


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp() * 1_000)


@pytest.mark.parametrize(
    ("hours", "now", "until"),
    [
        ("22:00-07:00", "2025-06-15T21:59", None),
        ("22:00-07:00", "2025-06-15T22:00", "2025-06-16T07:00"),
        ("22:00-07:00", "2025-06-16T06:59", "2025-06-16T07:00"),
        ("22:00-07:00", "2025-06-16T07:00", None),
        ("12:00-13:30", "2025-06-15T12:10", "2025-06-15T13:30"),
        # An hour is missing that night, and in autumn one comes twice.
        ("22:00-07:00", "2025-03-29T23:00", "2025-03-30T07:00"),
        ("22:00-07:00", "2025-10-25T23:00", "2025-10-26T07:00"),
        ("22:00-02:30", "2025-03-29T23:00", "2025-03-30T02:30"),
    ],
)
def test_quiet_hours_go_by_the_clock_on_the_wall(hours: str, now: str, until: str | None) -> None:
    found = Quiet(hours, "Europe/Berlin").until_ms(at(now))
    assert found == (None if until is None else at(until))


def test_of_several_routes_the_earliest_counts_and_critical_waits_for_nobody() -> None:
    night = Quiet("22:00-07:00", "Europe/Berlin")
    late = Quiet("22:00-09:00", "Europe/Berlin")
    now_ms = at("2025-06-15T23:00")
    ways = [Route(("*",), "warning", (1, 2), late), Route(("drift",), "warning", (1, 3), night)]
    assert destinations(ways, "drift.detected", "warning", now_ms) == {
        1: at("2025-06-16T07:00"), 2: at("2025-06-16T09:00"), 3: at("2025-06-16T07:00"),
    }  # fmt: skip
    assert destinations(ways, "drift.detected", "critical", now_ms) == {1: None, 2: None, 3: None}
    loud = [*ways, Route(("*",), "warning", (2,))]
    assert destinations(loud, "drift.detected", "warning", now_ms)[2] is None


@pytest.mark.both_databases
def test_what_is_held_goes_when_it_is_over_and_what_is_critical_takes_it_along(
    engine: Engine,
) -> None:
    world = Outbox(engine)
    world.add("one")
    hour_ms, now_ms = 3_600_000, world.clock.now_ms()

    def tell(sequence: int, until_ms: int | None, alert_id: str = "a") -> None:
        with transaction(engine) as conn:
            [one] = conn.execute(sa.select(t.endpoint.c.id)).scalars()
            said = Message(f"{alert_id}-{sequence}", alert_id, sequence, "drift.updated", "{}")
            outbox.enqueue(conn, said, now_ms, to={one: until_ms})

    tell(1, now_ms + 2 * hour_ms)
    tell(1, now_ms + 2 * hour_ms, "b")
    assert world.run() == []
    tell(2, None)
    assert world.run() == [("one", "a-1"), ("one", "a-2")]
    sent = [headers["webhook-id"] for _, headers, _ in world.sent]
    assert sent == ["a-1", "a-2"]
    world.clock.advance(2 * 3_600)
    assert world.run() == [("one", "b-1")]
    # A clock that ran ahead and was put back holds nothing for ever.
    tell(1, now_ms + 1_000 * hour_ms, "c")
    assert world.run() == [("one", "c-1")]


@pytest.mark.both_databases
def test_a_disabled_endpoint_is_sent_nothing_by_a_route(world: World, api: TestClient) -> None:
    put(api, "all", "chat")
    assert api.post("/api/v1/endpoints/chat/disable").status_code == 200
    world.step(3, x=BAD)
    assert got(world) == []
    with reading(world.engine) as conn:
        assert [one.name for one in routes.listed(conn)] == ["all"]
