"""What is due is sent once while its lease holds, in order, again until it arrives, or given up."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from outbox_world import FAILED, NOW_MS, OK, SECRET, World
from sqlalchemy.engine import Engine

from driftline.webhooks import new_secret, verified
from monitor.alerts import messages
from monitor.alerts.dispatch import Limits
from monitor.alerts.schedule import DELAYS_S, Answer
from monitor.storage import deliveries, endpoints, outbox, reads
from monitor.storage import schema as t
from monitor.storage.engine import reading, transaction

pytestmark = pytest.mark.both_databases


@pytest.fixture
def world(engine: Engine) -> Iterator[World]:
    yield World(engine)


def test_a_message_is_sent_to_every_endpoint_once(world: World) -> None:
    world.add("one", "two")
    world.tell()
    assert world.run() == [("one", "a-1"), ("two", "a-1")]
    assert world.run() == []
    assert world.state() == [("a-1", "delivered", 1)]


def test_every_attempt_is_signed_for_its_own_time_and_verifies(world: World) -> None:
    world.add("one")
    world.tell()
    world.answers["one"] = FAILED
    world.run()
    world.clock.advance(3_600)
    world.run()
    stamps = []
    for _, headers, body in world.sent:
        stamps.append(int(headers["webhook-timestamp"]))
        alert = verified(headers, body, SECRET, now_s=stamps[-1], tolerance_s=0)
        assert (alert.webhook_id, alert.type) == ("a-1", "drift.detected")
        assert headers["content-type"] == "application/json"
    assert stamps == [NOW_MS // 1_000, NOW_MS // 1_000 + 3_600]


def test_while_a_secret_is_replaced_both_sign(world: World) -> None:
    world.add("one")
    new = new_secret()
    with transaction(world.engine) as conn:
        found = endpoints.find(conn, "one")
        assert found is not None
        endpoints.rotate(conn, found, new, now_ms=NOW_MS, until_ms=NOW_MS + 10_000)
    world.tell(1)
    world.run()
    world.clock.advance(10)
    world.tell(2)
    world.run()
    during, after = (headers["webhook-signature"].split() for _, headers, _ in world.sent)
    assert (len(during), len(after)) == (2, 1)
    for secret in (SECRET, new):
        _, headers, body = world.sent[0]
        assert verified(headers, body, secret, now_s=NOW_MS / 1_000, tolerance_s=1)


def test_a_failure_is_tried_again_ten_times_in_three_days_and_then_given_up(world: World) -> None:
    world.add("one")
    world.tell()
    world.answers["one"] = FAILED
    at = []
    for _ in range(4 * 24 * 60 * 12):  # four days, in steps of five seconds
        if world.run():
            at.append((world.clock.now_ms() - NOW_MS) // 1_000)
        with reading(world.engine) as conn:
            [one] = reads.deliveries(conn)
        if one.due_ms is None:
            break
        world.clock.advance(max(5, (one.due_ms - world.clock.now_ms()) // 1_000))
    waits = [after - before for before, after in itertools.pairwise(at)]
    hours = [3_600 * n for n in (2, 5, 10, 14, 20, 24)]
    assert waits == [5, 300, 1_800, *hours]
    assert world.state() == [("a-1", "dead", 10)]
    with reading(world.engine) as conn:
        tried = reads.attempts_of(conn, [one.id])[one.id]
        assert reads.tally(conn) == reads.Tally(failed=1)
    assert [each.number for each in tried] == list(range(1, 11))
    assert {(each.status, each.error, each.response) for each in tried} == {
        (500, "it answered 500", "oops")
    }


def test_retry_after_is_waited_for(world: World) -> None:
    world.add("one")
    world.tell()
    world.answers["one"] = Answer(status=429, retry_after="600")
    assert len(world.run()) == 1
    world.clock.advance(599)
    assert world.run() == []
    world.clock.advance(1)
    assert len(world.run()) == 1


def test_a_later_message_of_an_alert_waits_and_other_alerts_do_not(world: World) -> None:
    world.add("one", "two")
    world.answers["one"] = FAILED
    for sequence in (1, 2):
        world.tell(sequence)
    world.tell(1, "b")
    world.tell(0, None)
    everywhere = [("two", name) for name in ("None-0", "a-1", "a-2", "b-1")]
    assert world.run() == [("one", "None-0"), ("one", "a-1"), ("one", "b-1"), *everywhere]
    order = [headers["webhook-id"] for name, headers, _ in world.sent if name == "two"]
    assert order.index("a-1") < order.index("a-2")
    world.answers["one"] = OK
    world.clock.advance(5)
    world.run()
    order = [headers["webhook-id"] for name, headers, _ in world.sent if name == "one"]
    assert [name for name in order if name.startswith("a-")] == ["a-1", "a-1", "a-2"]


def test_after_an_earlier_message_is_given_up_the_later_goes_out(world: World) -> None:
    world.add("one")
    world.answers["one"] = FAILED
    world.tell(1)
    world.tell(2)
    for delay_s in DELAYS_S[1:]:
        assert world.run() == [("one", "a-1")]
        world.clock.advance(delay_s)
    assert world.run() == [("one", "a-1"), ("one", "a-2")]
    assert world.state() == [("a-1", "dead", 10), ("a-2", "pending", 1)]


def test_410_disables_the_endpoint_gives_up_its_messages_and_tells_the_others(
    world: World,
) -> None:
    world.add("one", "two")
    world.answers["one"] = Answer(status=410)
    for sequence in (1, 2, 3):
        world.tell(sequence)
    world.run()
    assert world.state("one") == [("a-1", "dead", 1), ("a-2", "dead", 0), ("a-3", "dead", 0)]
    with reading(world.engine) as conn:
        assert reads.disabled_endpoints(conn) == [
            ("one", "it answered 410 Gone: it wants no more webhooks")
        ]
    [(_, headers, body)] = [
        sent for sent in world.sent if json.loads(sent[2])["type"] == "endpoint.disabled"
    ]
    alert = verified(headers, body, SECRET, now_s=NOW_MS / 1_000, tolerance_s=1)
    assert alert.summary == (
        "Endpoint one was disabled: it answered 410 Gone: it wants no more webhooks. "
        "2 waiting messages were given up."
    )
    assert alert.raw["data"]["endpoint"] == "one"
    world.tell(4)
    assert world.run() == [("two", "a-4")]


def test_an_endpoint_that_was_disabled_by_hand_gets_what_waited_when_it_is_back(
    world: World,
) -> None:
    world.add("one")
    world.tell()
    with transaction(world.engine) as conn:
        found = endpoints.find(conn, "one")
        assert found is not None
        endpoints.disable(conn, found.id, "maintenance", now_ms=NOW_MS)
    assert world.run() == []
    with transaction(world.engine) as conn:
        endpoints.enable(conn, found.id)
    assert world.run() == [("one", "a-1")]


def test_a_test_is_tried_once(world: World) -> None:
    world.add("one")
    world.answers["one"] = FAILED
    with transaction(world.engine) as conn:
        found = endpoints.find(conn, "one")
        assert found is not None
        outbox.enqueue_for(conn, found.id, messages.endpoint_test(found, NOW_MS), NOW_MS)
    world.run()
    [(_, state, attempts)] = world.state()
    assert (state, attempts) == ("dead", 1)
    with reading(world.engine) as conn:
        assert reads.tally(conn) == reads.Tally()


def test_two_dispatchers_at_once_send_nothing_twice(world: World) -> None:
    world.add(*(f"e{number}" for number in range(4)))
    for number in range(20):
        world.tell(1, f"alert{number}")
    barrier = threading.Barrier(4)

    def deliver() -> None:
        dispatcher = world.dispatcher()
        barrier.wait(10)
        while dispatcher.step():
            assert dispatcher.finish(20)

    threads = [threading.Thread(target=deliver) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    world.run()
    sent = [(name, headers["webhook-id"]) for name, headers, _ in world.sent]
    assert len(sent) == len(set(sent)) == 4 * 20


def test_nobody_else_sends_a_message_until_its_lease_ends(world: World) -> None:
    world.add("one")
    world.tell()
    with transaction(world.engine) as conn:
        [one] = deliveries.due(conn, NOW_MS)
        held = deliveries.claim(conn, one.outbox_id, "dies", NOW_MS, NOW_MS + 60_000)
        assert held is not None
        assert deliveries.claim(conn, one.outbox_id, "other", NOW_MS, NOW_MS + 60_000) is None
    world.clock.advance(59.999)
    assert world.run() == []
    world.clock.advance(0.001)
    assert world.run() == [("one", "a-1")]
    assert world.state() == [("a-1", "delivered", 2)]
    late = deliveries.Attempt(1, NOW_MS, 61_000, 500, "it answered 500", None)
    with transaction(world.engine) as conn:
        assert not deliveries.record(conn, held, late, "pending", due_ms=NOW_MS)
    assert world.state() == [("a-1", "delivered", 2)]


def test_what_arrived_is_delivered_even_when_the_lease_is_over(world: World) -> None:
    world.add("one")
    world.tell()
    with transaction(world.engine) as conn:
        [one] = deliveries.due(conn, NOW_MS)
        slow = deliveries.claim(conn, one.outbox_id, "slow", NOW_MS, NOW_MS + 1)
        other = deliveries.claim(conn, one.outbox_id, "other", NOW_MS + 1, NOW_MS + 60_000)
        assert slow is not None and other is not None
    done = deliveries.Attempt(1, NOW_MS, 5, 200, None, None)
    failed = deliveries.Attempt(2, NOW_MS, 5, 500, "it answered 500", None)
    with transaction(world.engine) as conn:
        assert deliveries.record(conn, slow, done, "delivered", due_ms=None)
        assert not deliveries.record(conn, other, failed, "pending", due_ms=NOW_MS)
    assert world.state() == [("a-1", "delivered", 2)]


def test_endpoints_that_hang_hold_up_nobody_else(world: World) -> None:
    over = threading.Event()

    def hang() -> Answer:
        over.wait(30)
        return FAILED

    hanging = [f"hangs{number}" for number in range(3)]
    world.add(*hanging, "one")
    world.answers |= dict.fromkeys(hanging, hang)
    for number in range(20):
        world.tell(1, f"alert{number}")
    dispatcher = world.dispatcher(limits=Limits(workers=8))
    try:
        for _ in range(200):
            dispatcher.step()
            if len(world.state("one")) == 20 and {s for _, s, _ in world.state("one")} == {
                "delivered"
            }:
                break
            dispatcher.wait(0.1)
        else:
            pytest.fail("the endpoint that answers waited for those that hang")
        under_way = [name for name, _, _ in world.sent if name in hanging]
        assert sorted(under_way) == sorted(2 * hanging)
    finally:
        over.set()
        assert dispatcher.finish(20)


def test_a_database_that_is_away_for_a_moment_loses_no_record(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from driftline.errors import StorageUnavailable

    world.add("one")
    world.tell()
    real, calls = deliveries.record, []

    def away_at_first(*args: object, **more: object) -> bool:
        calls.append(args)
        if len(calls) < 2:
            raise StorageUnavailable("gone")
        return real(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(deliveries, "record", away_at_first)
    world.run()
    assert (len(world.sent), world.state()) == (1, [("a-1", "delivered", 1)])


def test_a_removed_endpoint_gets_nothing_more(world: World) -> None:
    world.add("one")
    world.tell()
    with transaction(world.engine) as conn:
        found = endpoints.find(conn, "one")
        assert found is not None
        endpoints.remove(conn, found.id, now_ms=NOW_MS)
    assert world.run() == []
    with reading(world.engine) as conn:
        states = conn.execute(sa.select(t.outbox.c.state)).scalars().all()
    assert states == ["cancelled"]
