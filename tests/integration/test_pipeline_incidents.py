"""What is wrong between the log and the verdicts is an incident: told once, and told when over."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from ingest_rig import Rig
from outbox_world import World as Outbox
from sqlalchemy.engine import Engine

from driftline.errors import DeadLetterLimit
from monitor import alerts, evaluate
from monitor.alerts.said import said
from monitor.detect.pipeline import FORGOTTEN_MS, GAP_OVER_MS, STALLED_MS
from monitor.detect.routes import Route
from monitor.storage import (
    breakers,
    checkpoint,
    deliveries,
    endpoints,
    heartbeats,
    pipeline,
    routes,
    service_incidents,
)
from monitor.storage import schema as t
from monitor.storage.engine import reading, transaction
from monitor.storage.heartbeats import STANDS_STILL_MS, Beat
from monitor.storage.pipeline_watch import LOOK_S, OVER_S, STANDS_S, PipelineWatch
from monitor.storage.service_incidents import ServiceIncident

pytestmark = pytest.mark.both_databases

TOPIC = "driftline.events"
WEB = "https://drift.example"
STALLED_S = STALLED_MS / 1_000
STEP_S = 3 * LOOK_S


@dataclass
class World:
    """A member that reads a topic, and a watcher beside it, on one clock."""

    rig: Rig

    def __post_init__(self) -> None:
        self.outbox = Outbox(self.rig.engine, self.rig.clock)
        self.outbox.add("hook")
        self.watch = self.watcher()

    def watcher(self) -> PipelineWatch:
        return PipelineWatch(self.rig.engine, self.rig.clock, WEB)

    def look_for(self, seconds: float, *watches: PipelineWatch, reads: bool = False) -> int:
        """Let time pass; the member reads meanwhile, or is gone."""
        done = 0
        for _ in range(round(seconds / STEP_S)):
            self.rig.clock.advance(STEP_S)
            if reads:
                self.rig.loop.step()
            done += sum(watch.step() for watch in watches or (self.watch,))
        return done

    def told(self) -> list[tuple[str, dict[str, Any]]]:
        with reading(self.rig.engine) as conn:
            rows = conn.execute(sa.select(t.outbox.c.type, t.outbox.c.body).order_by(t.outbox.c.id))
            return [(kind, json.loads(body)["data"]) for kind, body in rows]

    def incidents(self) -> list[ServiceIncident]:
        with reading(self.rig.engine) as conn:
            return service_incidents.listed(conn)


@pytest.fixture
def world(engine: Engine) -> World:
    rig = Rig(engine, partitions=2)
    rig.topic.extend([b"{}"] * 5)
    rig.settle()
    return World(rig)


def test_an_owner_that_is_gone_is_told_once_and_its_return_is_told(world: World) -> None:
    gone_ms, before = seen_ms(world.rig.engine), data_version(world.rig.engine)
    assert world.look_for(STALLED_S) == 0
    assert data_version(world.rig.engine) == before
    assert world.look_for(2 * STANDS_S) == 1
    assert data_version(world.rig.engine) == before + 1  # open pages ask again
    [(kind, data)] = world.told()
    assert kind == "pipeline.stalled"
    assert (data["reason"], data["topic"], data["partitions"]) == ("stalled", TOPIC, [0, 1])
    assert data["severity"] == "critical" and data["url"] == f"{WEB}/pipeline"
    assert data["summary"].startswith(f"{TOPIC}: all 2 partitions are not counted since 2030-03-17")
    [one] = world.incidents()
    assert (one.kind, one.opened_ms, one.resolved_ms) == ("pipeline", gone_ms, None)
    with reading(world.rig.engine) as conn:
        assert [i.id for i in pipeline.holds(conn, [TOPIC])] == [one.id]
        assert pipeline.holds(conn, ["another"]) == []

    world.rig.start()
    world.rig.settle()
    assert world.look_for(OVER_S, reads=True) == 0
    assert world.look_for(2 * STEP_S, reads=True) == 1
    assert [kind for kind, _ in world.told()] == ["pipeline.stalled", "pipeline.recovered"]
    first, last = (data for _, data in world.told())
    assert (last["alert_id"], last["sequence"]) == (first["alert_id"], 2)
    [one] = world.incidents()
    assert one.resolved_as == "recovered"
    with reading(world.rig.engine) as conn:
        assert pipeline.holds(conn, [TOPIC]) == []


def test_a_restart_that_takes_less_than_the_stated_time_is_told_to_nobody(world: World) -> None:
    # The rows are old enough; but a new consumer comes before the watcher has seen it for long.
    assert world.look_for(STALLED_S + STANDS_S / 2) == 0
    world.rig.start()
    world.rig.settle()
    assert world.look_for(4 * STANDS_S, reads=True) == 0
    assert world.told() == [] and world.incidents() == []


def test_a_watcher_that_starts_with_everything_else_waits_for_it(world: World) -> None:
    world.rig.clock.advance(86_400)  # all of it was off over night
    assert world.look_for(STANDS_S - STEP_S) == 0
    world.rig.start()
    world.rig.settle()
    assert world.look_for(4 * STANDS_S, reads=True) == 0


def test_what_flaps_is_one_incident(world: World) -> None:
    assert world.look_for(STALLED_S + 2 * STANDS_S) == 1
    for _ in range(3):
        world.rig.start()
        world.rig.settle(1)
        assert world.look_for(STANDS_S / 2, reads=True) == 0
        assert world.look_for(STALLED_S + STANDS_S) == 0
    assert [kind for kind, _ in world.told()] == ["pipeline.stalled"]


def test_two_watchers_tell_it_once(world: World) -> None:
    assert world.look_for(STALLED_S + 2 * STANDS_S, world.watch, world.watcher()) == 1
    assert len(world.told()) == 1
    # What each of them would have written anew says who was first.
    with transaction(world.rig.engine) as conn:
        [subject] = pipeline.standing(conn)
        again = pipeline.settle(
            conn, begins=[subject], ends=[subject], now_ms=world.rig.clock.now_ms(), web_url=WEB
        )
    assert again == pipeline.Settled()


def test_a_database_that_was_restored_tells_it_under_the_same_id(world: World) -> None:
    world.look_for(STALLED_S + 2 * STANDS_S)
    with transaction(world.rig.engine) as conn:
        [before] = conn.execute(sa.select(t.outbox.c.webhook_id)).scalars()
        conn.execute(sa.delete(t.outbox))
        conn.execute(sa.delete(t.service_incident))
    world.look_for(STALLED_S, world.watcher())
    with reading(world.rig.engine) as conn:
        assert conn.execute(sa.select(t.outbox.c.webhook_id)).scalars().all() == [before]


def test_an_owner_that_looks_and_counts_nothing_is_stalled_too(world: World) -> None:
    engine = world.rig.engine
    for _ in range(20):
        world.rig.clock.advance(STEP_S)
        now_ms = world.rig.clock.now_ms()
        with transaction(engine) as conn:
            p = t.stream_position.c
            conn.execute(
                sa.update(t.stream_position)
                .where(p.partition == 0)
                .values(fetched_ms=now_ms, end_offset=p.next_offset + 7)
            )
            conn.execute(
                sa.update(t.stream_position).where(p.partition == 1).values(fetched_ms=now_ms)
            )
        world.watch.step()
    [(kind, data)] = world.told()
    assert (kind, data["partitions"]) == ("pipeline.stalled", [0])
    assert "partition 0 is not counted since" in data["summary"]
    assert "7 records waited" in data["summary"]


def test_what_retention_took_is_told_at_once_and_over_when_nothing_more_goes(world: World) -> None:
    world.rig.topic.extend([b"{}"] * 20)
    world.rig.topic.retain_from(15)
    world.rig.start()
    world.rig.settle()
    assert world.look_for(STEP_S, reads=True) == 1
    [(kind, data)] = world.told()
    assert kind == "pipeline.gap"
    assert (data["offsets"], data["partitions"], data["severity"]) == (10, [0], "warning")
    assert "10 offsets were deleted from the log before they were counted" in data["summary"]
    # A loss that goes on is the same one; its words follow.
    world.rig.topic.extend([b"{}"] * 20)
    world.rig.topic.retain_from(35)
    world.rig.start()
    world.rig.settle()
    assert world.look_for(GAP_OVER_MS / 1_000 - 200, reads=True) == 0
    [one] = world.incidents()
    assert one.resolved_ms is None and ": 20 offsets" in one.summary
    assert world.look_for(OVER_S + 400, reads=True) == 1
    kinds = [(kind, data["summary"]) for kind, data in world.told()[1:]]
    assert kinds == [
        ("pipeline.recovered",
         f"{TOPIC}: nothing more was lost for an hour; what was lost stays lost."),
    ]  # fmt: skip


def test_a_topic_made_anew_that_was_read_to_its_end_has_lost_nothing(world: World) -> None:
    with transaction(world.rig.engine) as conn:
        stream_id = conn.execute(sa.select(t.stream.c.id)).scalar_one()
        checkpoint.end_stream(conn, stream_id, world.rig.clock.now_ms())
    assert world.look_for(STANDS_S) == 0


def test_consumers_that_stopped_are_told_with_why_and_with_the_end_of_it(engine: Engine) -> None:
    rig = Rig(engine, breaker_events=50)
    world = World(rig)
    rig.topic.extend([b"no json"] * 60)
    with pytest.raises(DeadLetterLimit):
        rig.settle()
    assert world.look_for(2 * STANDS_S) == 1
    [(kind, data)] = world.told()
    assert (kind, data["reason"]) == ("pipeline.stalled", "unreadable")
    # It counts nothing since, and that is the same trouble.
    assert world.look_for(STALLED_S + 2 * STANDS_S) == 0
    assert "of the last 60 events 60 cannot be read (bad_json)" in data["summary"]
    with transaction(engine) as conn:
        assert len(breakers.accept(conn, actor="cli:me", now_ms=rig.clock.now_ms())) == 1
    rig.start()
    rig.settle()
    assert world.look_for(2 * OVER_S, reads=True) == 1
    assert world.told()[-1][1]["summary"] == f"{TOPIC}: reading goes on."


@pytest.mark.parametrize("role", ["evaluate", "deliver"])
def test_a_role_that_is_gone_without_a_word_is_told_by_the_other(world: World, role: str) -> None:
    def beat(instance: str, beat_ms: int, moved_ms: int | None) -> None:
        with transaction(world.rig.engine) as conn:
            heartbeats.write(conn, Beat(role, instance, beat_ms, beat_ms, "1", moved_ms))

    def passes(minutes: int, *, moves: bool) -> int:
        done = 0
        for _ in range(minutes * 2):
            world.rig.clock.advance(STEP_S)
            world.rig.loop.step()
            now_ms = world.rig.clock.now_ms()
            moved.append(now_ms if moves else moved[-1])
            beat("new:1:a", now_ms, moved[-1])
            done += world.watch.step()
        return done

    moved = [world.rig.clock.now_ms()]
    beat("old:1:a", moved[0], moved[0])
    assert world.look_for(STALLED_S - STEP_S, reads=True) == 0
    assert world.look_for(2 * STANDS_S, reads=True) == 1
    [(kind, data)] = world.told()
    assert (kind, data["role"]) == ("pipeline.stalled", role)
    assert f"driftline {role} was last seen and is gone since" in data["summary"]
    assert passes(12, moves=True) == 1
    # One that lives, and whose work stands still for an hour.
    assert passes(round(STANDS_STILL_MS / 60_000) - 5, moves=False) == 0
    assert passes(10, moves=False) == 1
    assert f"driftline {role} stands still since" in world.told()[-1][1]["summary"]
    # Ended in order: nobody's trouble.
    with transaction(world.rig.engine) as conn:
        for instance in ("old:1:a", "new:1:a"):
            heartbeats.remove(conn, role, instance)
    assert world.look_for(2 * OVER_S, reads=True) == 1
    assert world.incidents()[0].resolved_as == "recovered"


def test_a_topic_that_nobody_reads_any_more_is_forgotten_after_four_weeks(world: World) -> None:
    assert world.look_for(STALLED_S + 2 * STANDS_S) == 1
    world.rig.clock.advance(FORGOTTEN_MS / 1_000)
    assert world.look_for(2 * OVER_S) == 1
    assert world.incidents()[0].resolved_as == "forgotten"
    assert world.look_for(10 * STANDS_S) == 0


def test_a_route_that_names_the_pipeline_takes_it_and_no_star_does(world: World) -> None:
    world.outbox.add("pager", "chat")
    with transaction(world.rig.engine) as conn:
        made = sa.insert(t.model).values(name="m", timezone="UTC", created_ms=1)
        model = conn.execute(made.returning(t.model.c.id)).scalar_one()
        names = {one.name: one.id for one in endpoints.endpoints(conn)}
        routes.put(conn, model, "all", Route(("*",), "warning", (names["chat"],)), now_ms=1)
        bad = Route(("pipeline",), "critical", (names["pager"],))
        routes.put(conn, model, "pipes", bad, now_ms=1)
    world.look_for(STALLED_S + 2 * STANDS_S)
    assert where(world) == [("pager", "pipeline.stalled")]
    # Whoever was told hears of the end, and nobody else does.
    with transaction(world.rig.engine) as conn:
        routes.remove(conn, model, "pipes")
    world.rig.start()
    world.rig.settle()
    world.look_for(2 * OVER_S, reads=True)
    assert where(world)[1:] == [("pager", "pipeline.recovered")]
    # Without a route that names it, it goes everywhere.
    world.look_for(STALLED_S + 2 * STANDS_S)
    assert {name for name, _ in where(world)[2:]} == {"hook", "pager", "chat"}


def test_what_is_over_resolves_an_incident_of_pagerduty(world: World) -> None:
    world.look_for(STALLED_S + 2 * STANDS_S)
    world.rig.start()
    world.rig.settle()
    world.look_for(2 * OVER_S, reads=True)
    world.outbox.run()
    with reading(world.rig.engine) as conn:
        rows = conn.execute(sa.select(t.outbox).order_by(t.outbox.c.id)).all()
    told = [
        said(deliveries.Message(r.webhook_id, r.alert_id, r.sequence, r.type, r.body)) for r in rows
    ]
    assert [(one.is_over, one.key == told[0].key) for one in told] == [(False, True), (True, True)]


def data_version(engine: Engine) -> int:
    with reading(engine) as conn:
        return int(conn.execute(sa.select(t.data_version.c.value)).scalar_one())


def seen_ms(engine: Engine) -> int:
    p = t.stream_position.c
    with reading(engine) as conn:
        return int(conn.execute(sa.select(sa.func.min(p.fetched_ms))).scalar_one())


def where(world: World) -> list[tuple[str, str]]:
    with reading(world.rig.engine) as conn:
        o = t.outbox.c
        query = (
            sa.select(t.endpoint.c.name, o.type)
            .join(t.endpoint, t.endpoint.c.id == o.endpoint_id)
            .order_by(o.id)
        )
        return [(name, kind) for name, kind in conn.execute(query)]


@pytest.mark.parametrize("role", ["evaluate", "deliver"])
def test_each_process_that_stays_watches_while_it_works(world: World, role: str) -> None:
    url = world.rig.engine.url.render_as_string(hide_password=False)
    stop, clock = threading.Event(), world.rig.clock
    work = (
        partial(evaluate.run, evaluate.EvaluateSettings(url, interval_s=0.01, web_url=WEB))
        if role == "evaluate"
        else partial(alerts.run, alerts.DeliverSettings(url, web_url=WEB))
    )
    thread = threading.Thread(target=partial(work, stop, clock=clock))
    thread.start()
    try:
        clock.advance(STALLED_S + STEP_S)
        deadline_s = time.monotonic() + 60
        while not world.incidents():
            assert time.monotonic() < deadline_s and thread.is_alive()
            clock.advance(LOOK_S)
            time.sleep(0.05)
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()
    [(kind, data)] = world.told()
    assert kind == "pipeline.stalled" and data["url"] == f"{WEB}/pipeline"
