"""A request is sent, its run begins, and is followed until it ends, by whoever is alive."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from receivers import receiving
from retrain_world import HOUR_MS, NOW_MS, World
from sqlalchemy.engine import Engine
from trainer_servers import Airflow, Databricks, Said, serving

from monitor.alerts import DeliverSettings, run, ways_of
from monitor.alerts.dispatch import Dispatcher
from monitor.alerts.following import LEASE_S, Follower, wait_s
from monitor.alerts.guard import networks
from monitor.alerts.schedule import DELAYS_S
from monitor.clock import HeldClock
from monitor.storage import endpoints, outbox, retraining_policies, retrains
from monitor.storage import schema as t
from monitor.storage.engine import transaction
from monitor.storage.outbox import Message
from monitor.storage.retrain_rows import Run

pytestmark = pytest.mark.both_databases

LOCAL = networks("127.0.0.1/32")
RUN_ID = "driftline-retrain_a"


class Loop:
    """A model whose trainer is a real server, a dispatcher, and a follower on one clock."""

    def __init__(self, engine: Engine, kind: str, url: str, **settings: Any) -> None:
        self.world, self.clock = World(engine), HeldClock(NOW_MS)
        self.engine, self.ways = engine, ways_of(LOCAL)
        secret = settings.pop("secret", "right")
        with transaction(engine) as conn:
            made, _ = endpoints.add(
                conn, "trains", url, secret, now_ms=1, kind=kind, settings=settings
            )
            retraining_policies.put(conn, 1, self.world.policy, made.id, now_ms=1)
        self.trainer = made
        self.follower = self.another()
        self.dispatcher = Dispatcher(engine, self.ways, clock=self.clock, draw=lambda: 0.0)

    def another(self, **more: Any) -> Follower:
        return Follower(self.engine, self.ways.train, clock=self.clock, **more)

    def send(self) -> None:
        while self.dispatcher.step():
            assert self.dispatcher.finish(20)

    def follow(self, after_s: float = 0.0) -> int:
        self.clock.advance(after_s)
        begun = self.follower.step()
        assert self.follower.finish(20)
        return begun

    def said(self) -> list[tuple[str, str]]:
        return [(event.state, event.words) for event in self.world.one().events[1:]]


@pytest.fixture
def server() -> Airflow:
    return Airflow()


@pytest.fixture
def loop(engine: Engine, server: Airflow) -> Iterator[Loop]:
    with serving(server) as url:
        yield Loop(engine, "airflow", url, dag="retrain", user="drift")


def test_a_run_is_followed_from_its_request_to_its_end(loop: Loop, server: Airflow) -> None:
    loop.world.ask()
    loop.send()
    one = loop.world.one()
    page = f"{loop.trainer.url}/dags/retrain/runs/{RUN_ID}"
    assert (one.state, one.run, one.look_ms) == ("accepted", Run("airflow", RUN_ID, page), NOW_MS)
    assert loop.follow() == 1 and loop.world.one().state == "accepted"
    # Nothing is due before its time, and nothing new is said of what is still the same.
    assert loop.follow(1) == 0
    assert loop.follow(5) == 1
    server.runs[RUN_ID]["state"] = "running"
    assert loop.follow(10) == 1 and loop.world.one().state == "running"
    assert loop.follow(30) == 1
    server.runs[RUN_ID]["state"] = "success"
    assert loop.follow(60) == 1
    one = loop.world.one()
    assert (one.state, one.look_ms, one.is_open) == ("succeeded", None, True)
    assert loop.said() == [
        ("accepted", f"run {RUN_ID} is queued"),
        ("running", f"run {RUN_ID} is running"),
        ("succeeded", f"run {RUN_ID} succeeded"),
    ]
    assert {event.actor for event in one.events[1:]} == {"trains"}
    assert loop.follow(HOUR_MS) == 0


@pytest.mark.parametrize("ends", ["failed", "deleted"])
def test_a_run_that_failed_or_was_deleted_ends_its_request_in_words(
    loop: Loop, server: Airflow, ends: str
) -> None:
    loop.world.ask()
    loop.send()
    if ends == "failed":
        server.runs[RUN_ID]["state"] = "failed"
        words = f"run {RUN_ID} failed"
    else:
        server.runs.clear()
        words = f"run {RUN_ID} is not there any more: it was deleted"
    loop.follow()
    one = loop.world.one()
    assert (one.state, one.is_open, one.events[-1].words) == ("failed", False, words)


def test_a_paused_dag_is_said_once_where_people_read_of_the_request(
    engine: Engine, server: Airflow
) -> None:
    with serving(server) as url:
        loop = Loop(engine, "airflow", url, dag="paused", user="drift")
        loop.world.ask()
        loop.send()
        for _ in range(3):
            loop.follow(60)
        server.dags["paused"] = False
        loop.follow(60)
        server.dags["paused"] = True
        for _ in range(3):
            loop.follow(600)
    waits = (
        f"run {RUN_ID} waits: DAG paused is paused, and its runs begin when somebody unpauses it"
    )
    assert loop.said() == [
        ("accepted", waits), ("accepted", f"run {RUN_ID} is queued"), ("accepted", waits),
    ]  # fmt: skip


def test_a_trainer_that_is_away_is_asked_again_and_said_once(loop: Loop, server: Airflow) -> None:
    loop.world.ask()
    loop.send()
    for _ in range(4):
        server.odd = [Said(503, b"away")] * 3
        assert loop.follow(400) == 1
        server.odd = []
    server.runs[RUN_ID]["state"] = "success"
    loop.follow(400)
    assert loop.said()[1:] == [
        ("accepted", "asked in vain how it is: Airflow answered 503 and no JSON, 'away': is this "
         "its address?"),
        ("succeeded", f"run {RUN_ID} succeeded"),
    ]  # fmt: skip


def test_a_trainer_says_when_it_wants_to_be_asked_again(engine: Engine) -> None:
    server = Databricks()
    with serving(server) as url:
        loop = Loop(engine, "databricks", url, secret="dapi-right", job=77)
        loop.world.ask()
        loop.send()
        server.odd = [Said(429, {"message": "slow"}, {"retry-after": "1000"})]
        assert loop.follow() == 1
        assert loop.follow(999) == 0
        assert loop.follow(2) == 1


def test_looks_grow_apart_with_a_runs_age() -> None:
    waits = [wait_s(age_s) for age_s in (0, 50, 120, 3_000, 1e6)]
    assert waits == [5.0, 5.0, 12.0, 300.0, 300.0]


def test_of_two_followers_one_looks(loop: Loop, server: Airflow) -> None:
    loop.world.ask()
    loop.send()
    before = len(server.asked)
    others = [loop.another() for _ in range(3)]
    begun = [each.step() for each in (loop.follower, *others)]
    assert all(each.finish(20) for each in (loop.follower, *others))
    assert begun == [1, 0, 0, 0]
    assert sum("/dagRuns/" in asked.path for asked in server.asked[before:]) == 1


def test_of_two_that_saw_it_due_at_one_moment_one_looks(loop: Loop) -> None:
    loop.world.ask()
    loop.send()
    with transaction(loop.engine) as conn:
        [due] = retrains.to_follow(conn, NOW_MS, 5)
        took = [
            retrains.look_again(conn, due.id, NOW_MS + 60_000 + i, was_ms=due.look_ms)
            for i in range(2)
        ]
    assert took == [True, False]


def test_what_a_follower_saw_before_it_died_is_seen_again(loop: Loop, server: Airflow) -> None:
    loop.world.ask()
    loop.send()
    server.runs[RUN_ID]["state"] = "success"

    def die(_: object) -> None:
        raise RuntimeError("it dies here")

    dying = loop.another(after_looking=die)
    assert dying.step() == 1 and dying.finish(20)
    assert loop.world.one().state == "accepted"
    assert loop.follow(LEASE_S - 1) == 0
    assert loop.follow(2) == 1
    assert loop.world.one().state == "succeeded"


def test_what_somebody_reported_meanwhile_stands(loop: Loop, server: Airflow) -> None:
    loop.world.ask()
    loop.send()
    server.runs[RUN_ID]["state"] = "running"

    def report(_: object) -> None:
        loop.world.report(1, "succeeded", version="2")

    slow = loop.another(after_looking=report)
    assert slow.step() == 1 and slow.finish(20)
    one = loop.world.one()
    assert (one.state, one.made_version, one.look_ms) == ("succeeded", "2", None)


def test_a_removed_trainer_is_not_asked_any_more(loop: Loop, server: Airflow) -> None:
    loop.world.ask()
    loop.send()
    with transaction(loop.engine) as conn:
        endpoints.remove(conn, loop.trainer.id, now_ms=NOW_MS)
    before = len(server.asked)
    assert loop.follow() == 1
    one = loop.world.one()
    assert (one.look_ms, one.is_open, len(server.asked)) == (None, True, before)
    assert "was removed: nobody asks how its run is" in one.events[-1].words
    assert loop.follow(600) == 0


def test_a_request_that_was_sent_and_not_recorded_is_one_run(loop: Loop, server: Airflow) -> None:
    loop.world.ask()

    def die(_: object) -> None:
        raise RuntimeError("it dies here")

    dying = Dispatcher(loop.engine, loop.ways, clock=loop.clock, after_sending=die)
    assert dying.step() == 1 and dying.finish(20)
    assert loop.world.one().state == "requested" and list(server.runs) == [RUN_ID]
    server.runs[RUN_ID]["state"] = "running"
    loop.clock.advance(61)
    loop.send()
    one = loop.world.one()
    assert (one.state, one.run and one.run.id) == ("accepted", RUN_ID)
    assert list(server.runs) == [RUN_ID] and one.events[-1].words == f"run {RUN_ID} is running"


def test_a_request_that_nobody_takes_fails_when_it_is_given_up(loop: Loop, server: Airflow) -> None:
    del server.dags["retrain"]
    loop.world.ask()
    for delay_s in DELAYS_S:
        loop.clock.advance(delay_s)
        loop.send()
    one = loop.world.one()
    assert (one.state, one.is_open) == ("failed", False)
    assert one.events[-1].words.startswith(
        "trains did not take the request: Airflow knows no DAG retrain:"
    )
    row, told = loop.world.outbox()
    assert (row.state, row.attempts) == ("dead", 10)
    assert told.type == "retrain.failed"


def test_a_request_to_a_webhook_is_accepted_and_not_followed(engine: Engine) -> None:
    with receiving() as receiver:
        receiver.answer = lambda _: (202, {}, b"<b>anything</b>")
        loop = Loop(engine, "webhook", receiver.url, secret="whsec_" + "QUJD" * 8)
        loop.world.ask()
        loop.send()
        [got] = receiver.received
    assert json.loads(got.body)["type"] == "retrain.requested" and got.id == "retrain_a"
    one = loop.world.one()
    assert (one.state, one.run, one.look_ms) == ("accepted", None, None)
    assert one.events[-1].words == ""


def test_the_process_that_delivers_follows(loop: Loop, server: Airflow) -> None:
    stop = threading.Event()
    url = loop.engine.url.render_as_string(hide_password=False)
    settings = DeliverSettings(url, allow=LOCAL)
    thread = threading.Thread(
        target=run, args=(settings, stop), kwargs={"clock": loop.clock}, daemon=True
    )
    thread.start()
    try:
        loop.world.ask()
        deadline_s = time.monotonic() + 60
        while loop.world.one().state != "succeeded":
            assert time.monotonic() < deadline_s, loop.said()
            for each in server.runs.values():
                each["state"] = "success"
            time.sleep(0.1)
            loop.clock.advance(5)
    finally:
        stop.set()
        thread.join(timeout=20)
    assert loop.said()[-1] == ("succeeded", f"run {RUN_ID} succeeded")


def test_a_trainer_is_sent_no_alert_however_it_is_told(loop: Loop, server: Airflow) -> None:
    body = json.dumps({"type": "drift.detected", "timestamp": "2025-06-15T00:00:00Z", "data": {}})
    with transaction(loop.engine) as conn:
        told = Message("alert-1", "alert", 1, "drift.detected", body)
        # The webhook of the world takes it, the trainer does not, as one of all and by name.
        assert outbox.enqueue(conn, told, NOW_MS) == 1
        assert outbox.enqueue(conn, told, NOW_MS, to={loop.trainer.id: None}) == 0
        disabled = Message("endpoint-1", "e", 1, "endpoint.disabled", body)
        assert outbox.enqueue(conn, disabled, NOW_MS) == 1
        o = t.outbox.c
        conn.execute(
            sa.update(t.outbox).where(o.endpoint_id != loop.trainer.id).values(state="dead")
        )
    loop.send()
    assert server.asked == []
