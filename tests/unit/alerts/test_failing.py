"""An endpoint where nothing arrives for five days is switched off, with an incident about it."""

from __future__ import annotations

import json

import pytest
from outbox_world import FAILED, NOW_MS, OK, World
from sqlalchemy.engine import Engine

from monitor.alerts import messages
from monitor.alerts.schedule import Answer
from monitor.storage import endpoints, failing, outbox, reads, service_incidents
from monitor.storage.endpoints import Endpoint
from monitor.storage.engine import reading, transaction
from monitor.storage.service_incidents import ServiceIncident

pytestmark = pytest.mark.both_databases

DAY_S, HOUR_S = 86_400, 3_600


@pytest.fixture
def world(engine: Engine) -> World:
    found = World(engine)
    found.add("one", "two")
    found.answers["one"] = FAILED
    return found


def the(world: World, name: str = "one") -> Endpoint:
    with reading(world.engine) as conn:
        found = endpoints.find(conn, name)
    assert found is not None
    return found


def incidents(world: World, *, only_open: bool = False) -> list[ServiceIncident]:
    with reading(world.engine) as conn:
        return service_incidents.listed(conn, only_open=only_open)


def fail_for(world: World, days: float, every_s: int = 6 * HOUR_S) -> None:
    """Tell something every few hours, and let each be tried as it is due."""
    until_ms = world.clock.now_ms() + round(days * DAY_S * 1_000)
    number = 0
    while world.clock.now_ms() < until_ms:
        number += 1
        world.tell(1, f"{world.clock.now_ms()}-{number}")
        world.run()
        world.clock.advance(every_s)


def test_after_five_days_without_an_arrival_it_is_disabled_and_the_others_are_told(
    world: World,
) -> None:
    fail_for(world, 4.9)
    assert the(world).is_enabled and incidents(world) == []
    fail_for(world, 0.5)
    off = the(world)
    assert not off.is_enabled
    assert off.disabled_reason == (
        "nothing arrived there for 5 days, at last because: it answered 500"
    )
    [one] = incidents(world, only_open=True)
    assert (one.kind, one.name, one.subject) == ("delivery", "one", str(off.id))
    assert "Endpoint one was disabled: nothing arrived there for 5 days" in one.summary
    told = [json.loads(body) for name, _, body in world.sent if b"endpoint.disabled" in body]
    [said] = told
    assert said["data"]["endpoint"] == "one" and said["data"]["sequence"] == 1
    assert said["data"]["summary"] == one.summary
    # What waits keeps waiting: the receiver may be mended.
    assert {state for _, state, _ in world.state()} == {"pending", "dead"}


def test_one_arrival_begins_the_count_again(world: World) -> None:
    fail_for(world, 4)
    world.answers["one"] = OK
    world.tell(1, "ok")
    world.run()
    assert (the(world).failing_since_ms, the(world).failures) == (None, 0)
    world.answers["one"] = FAILED
    fail_for(world, 4)
    assert the(world).is_enabled


def test_a_test_that_arrives_counts_and_one_that_fails_does_not(world: World) -> None:
    def test() -> None:
        with transaction(world.engine) as conn:
            one = endpoints.find(conn, "one")
            assert one is not None
            message = messages.endpoint_test(one, world.clock.now_ms())
            outbox.enqueue_for(conn, one.id, message, world.clock.now_ms())
        world.run()
        world.clock.advance(1)

    for _ in range(3):
        test()
    assert the(world).failures == 0
    world.tell()
    world.run()
    assert the(world).failures == 1
    world.answers["one"] = OK
    test()
    assert the(world).failures == 0


def test_two_failures_five_days_apart_show_nothing_of_the_time_between(world: World) -> None:
    world.tell(1, "a")
    world.run()
    world.clock.advance(6 * DAY_S)
    world.run()
    assert the(world).is_enabled and the(world).failures == 2
    assert failing.ATTEMPTS > 2


def test_a_clock_that_was_put_back_ends_nothing_early(world: World) -> None:
    for number in range(12):
        world.tell(1, f"a{number}")
        world.run()
    world.clock.advance(-6 * DAY_S)
    world.tell(1, "before")
    world.run()
    assert the(world).failing_since_ms == world.clock.now_ms()
    fail_for(world, 4.9)
    assert the(world).is_enabled


def test_enabled_again_it_gets_what_waited_its_incident_is_over_and_everybody_is_told(
    world: World,
) -> None:
    fail_for(world, 5.5)
    assert not the(world).is_enabled
    waiting = [name for name, state, _ in world.state() if state == "pending"]
    assert waiting
    world.answers["one"] = OK
    world.clock.advance(2 * DAY_S)
    world.sent.clear()
    with transaction(world.engine) as conn:
        messages.enable(conn, the(world), world.clock.now_ms())
    world.run()
    got = [headers["webhook-id"] for name, headers, _ in world.sent if name == "one"]
    assert set(waiting) <= set(got)
    [over] = incidents(world)
    assert over.resolved_as == "enabled" and over.resolved_ms == world.clock.now_ms()
    told = {
        name: json.loads(body)["data"]
        for name, _, body in world.sent
        if b"endpoint.enabled" in body
    }
    assert set(told) == {"one", "two"}
    assert told["two"]["sequence"] == 2
    assert (the(world).failing_since_ms, the(world).failures) == (None, 0)


def test_an_end_by_410_is_an_incident_too_and_ends_with_its_endpoint(world: World) -> None:
    world.answers["one"] = Answer(status=410)
    world.tell()
    world.run()
    [one] = incidents(world, only_open=True)
    assert "410 Gone" in one.summary
    with transaction(world.engine) as conn:
        messages.remove(conn, the(world), NOW_MS + 1)
    [over] = incidents(world)
    assert over.resolved_as == "removed"
    assert incidents(world, only_open=True) == []


def test_what_a_person_disabled_is_no_incident(world: World) -> None:
    with transaction(world.engine) as conn:
        endpoints.disable(conn, the(world).id, "maintenance", now_ms=NOW_MS)
        messages.enable(conn, the(world), NOW_MS + 1)
    assert incidents(world) == []
    with reading(world.engine) as conn:
        assert reads.deliveries(conn) == []


def test_it_is_disabled_once_however_many_messages_fail_at_that_moment(world: World) -> None:
    for number in range(12):
        world.tell(1, f"early{number}")
    world.run()
    world.clock.advance(5 * DAY_S)
    for number in range(6):
        world.tell(1, f"late{number}")
    world.run()
    assert len(incidents(world)) == 1
    with reading(world.engine) as conn:
        found = reads.deliveries(conn, endpoint="two")
    assert [one.type for one in found].count("endpoint.disabled") == 1
