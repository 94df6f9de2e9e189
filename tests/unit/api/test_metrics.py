"""`/metrics` of the web process: who may read it, what it says, and of whom it does not speak."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import living_database
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.engine import Engine

from driftline import __version__
from monitor.api.app import create_app
from monitor.clock import HeldClock
from monitor.metrics.names import FAMILIES
from monitor.metrics.stored import KEPT_S, Stored
from monitor.storage import breakers, lanes
from monitor.storage import schema as t
from monitor.storage.engine import insert_rows, transaction

TOKEN = "a-token-of-more-than-20-characters"
LOCAL = "http://127.0.0.1:8050"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(text: str) -> Samples:
    """Every sample by its name and labels; twice the same is an error."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            key = (one.name, tuple(sorted(one.labels.items())))
            assert key not in found, key
            found[key] = one.value
    return found


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


@pytest.fixture
def engine(living: Engine) -> Engine:
    """A database in which everything has happened."""
    return living


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock(living_database.NOW_MS)


@pytest.fixture
def api(engine: Engine, clock: HeldClock) -> Iterator[TestClient]:
    app = create_app(engine, with_dashboard=False, clock=clock)
    with TestClient(app, base_url=LOCAL) as client:
        yield client


def counted(engine: Engine, *rows: tuple[str, str, str, int]) -> None:
    """Write (model, version, outcome, count) into partition 99 of the first stream."""
    with transaction(engine) as conn:
        stream = conn.execute(sa.select(sa.func.min(t.stream.c.id))).scalar_one()
        insert_rows(
            conn, t.counter,
            [
                {"stream_id": stream, "partition": 99, "model": m, "version": v, "outcome": o,
                 "count": n}
                for m, v, o, n in rows
            ],
        )  # fmt: skip


def test_every_series_of_the_web_is_told_with_the_labels_of_the_table(api: TestClient) -> None:
    answer = api.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    families = {f.name: f for f in text_string_to_metric_families(answer.text)}
    for name, known in FAMILIES.items():
        if known.where not in ("web", "all"):
            continue
        family = families[name.removesuffix("_total")]
        assert family.type == known.kind
        assert family.documentation == known.help
        for one in family.samples:
            assert set(one.labels) == set(known.labels), name
    assert not {f for f in families if f not in FAMILIES and f"{f}_total" not in FAMILIES}
    (build,) = families["driftline_build_info"].samples
    assert build.labels["version"] == __version__


def test_what_is_told_is_what_the_tables_hold(api: TestClient, engine: Engine) -> None:
    found = samples(api.get("/metrics").text)
    with engine.connect() as conn:
        places = conn.execute(
            sa.select(t.stream_position, t.stream.c.topic)
            .join(t.stream, t.stream.c.id == t.stream_position.c.stream_id)
            .where(t.stream.c.ended_ms.is_(None))
        ).all()
        total = conn.execute(
            sa.select(sa.func.sum(t.counter.c.count)).where(t.counter.c.outcome == "prediction")
        ).scalar_one()
        firing = conn.execute(
            sa.select(sa.func.count()).select_from(t.incident).where(
                t.incident.c.state.in_(("firing", "recovering"))
            )
        ).scalar_one()  # fmt: skip
        sent = conn.execute(sa.select(sa.func.count()).select_from(t.outbox)).scalar_one()
    assert places
    assert firing
    for place in places:
        where = {
            "stream": str(place.stream_id), "topic": place.topic, "partition": str(place.partition)
        }  # fmt: skip
        lag = max(0, (place.end_offset or 0) - place.next_offset)
        assert value(found, "driftline_partition_lag_records", **where) == lag
        assert value(found, "driftline_partition_fenced_total", **where) == place.fenced
    predictions = [
        n for (name, labels), n in found.items()
        if name == "driftline_records_total" and ("outcome", "prediction") in labels
    ]  # fmt: skip
    assert sum(predictions) == total
    told = [n for (name, _), n in found.items() if name == "driftline_open_incidents"]
    assert sum(told) == firing
    kept = [n for (name, _), n in found.items() if name == "driftline_deliveries"]
    assert sum(kept) == sent
    assert value(found, "driftline_database_up") == 1


def test_names_that_are_not_registered_are_added_up_and_never_become_labels(
    api: TestClient, engine: Engine
) -> None:
    strangers = [(f"stranger-{i}", "1", "unmonitored", 2) for i in range(50)]
    counted(engine, *strangers, ("", "", "dead:bad_json", 7), ("stranger-1", "1", "late", 3))
    text = api.get("/metrics").text
    assert "stranger" not in text
    found = samples(text)
    assert value(found, "driftline_records_total", model="", outcome="unmonitored") >= 100
    assert value(found, "driftline_dead_letters_total", reason="bad_json") >= 7
    dead = [n for (name, _), n in found.items() if name == "driftline_dead_letters_total"]
    assert value(found, "driftline_records_total", model="", outcome="dead") == sum(dead)


def test_many_scrapes_at_once_are_one_reading(engine: Engine, clock: HeldClock) -> None:
    stored = Stored(engine, clock)
    made: list[str] = []
    note = lambda *given: made.append(str(given[2]))  # noqa: E731
    sa.event.listen(engine, "before_cursor_execute", note)
    threads = [threading.Thread(target=lambda: list(stored.collect())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    once = len(made)
    list(stored.collect())
    assert len(made) == once
    clock.advance(KEPT_S)
    list(stored.collect())
    sa.event.remove(engine, "before_cursor_execute", note)
    assert len(made) == 2 * once
    # Whatever was counted, and of however many models.
    assert once <= 18


def test_a_database_that_is_away_is_told_and_is_no_error(
    clock: HeldClock, tmp_path: object
) -> None:
    gone = sa.create_engine(f"sqlite:///{tmp_path}/nowhere/driftline.db")
    with TestClient(create_app(gone, with_dashboard=False, clock=clock), base_url=LOCAL) as api:
        answer = api.get("/metrics")
    assert answer.status_code == 200
    found = samples(answer.text)
    assert value(found, "driftline_database_up") == 0
    assert {name for name, _ in found} == {"driftline_build_info", "driftline_database_up"}


def test_with_a_token_nobody_reads_it_without(engine: Engine, clock: HeldClock) -> None:
    app = create_app(engine, token=TOKEN, with_dashboard=False, clock=clock)
    with TestClient(app, base_url=LOCAL, follow_redirects=False) as stranger:
        answer = stranger.get("/metrics")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert b"driftline_" not in answer.content
        wrong = {"authorization": "Bearer another-token-of-20-characters"}
        assert stranger.get("/metrics", headers=wrong).status_code == 401
        right = {"authorization": f"Bearer {TOKEN}"}
        assert b"driftline_partition_lag_records" in stranger.get("/metrics", headers=right).content


def test_another_name_in_host_reads_nothing(engine: Engine, clock: HeldClock) -> None:
    app = create_app(engine, with_dashboard=False, clock=clock)
    with TestClient(app, base_url="http://evil.example") as stranger:
        assert stranger.get("/metrics").status_code == 421


def test_hostile_names_are_escaped(hostile: Engine, clock: HeldClock) -> None:
    with TestClient(create_app(hostile, with_dashboard=False, clock=clock), base_url=LOCAL) as api:
        found = samples(api.get("/metrics").text)
    models = {dict(labels)["model"] for name, labels in found if name == "driftline_open_incidents"}
    with hostile.connect() as conn:
        assert models == set(conn.execute(sa.select(t.model.c.name)).scalars())


def test_a_stop_and_a_replay_are_told_of_their_topic_until_they_are_over(
    api: TestClient, engine: Engine, clock: HeldClock
) -> None:
    now_ms = living_database.NOW_MS
    with transaction(engine) as conn:
        stream, topic = conn.execute(
            sa.select(t.stream.c.id, t.stream.c.topic)
            .where(t.stream.c.ended_ms.is_(None))
            .order_by(t.stream.c.id)
        ).first() or (0, "")
    labels = {"stream": str(stream), "topic": topic}

    def told() -> list[float]:
        clock.advance(KEPT_S)
        found = samples(api.get("/metrics").text)
        names = ("driftline_stopped", "driftline_replay_under_way")
        return [value(found, name, **labels) for name in names]

    assert told() == [0, 0]
    stop = breakers.Stop(stream, topic, 0, 5, now_ms, 1_000, 740, {"bad_json": 740}, ())
    with transaction(engine) as conn:
        breakers.trip(conn, stop)
    assert told() == [1, 0]
    with transaction(engine) as conn:
        breakers.accept(conn, actor="me", now_ms=now_ms)
        lanes.begin(
            conn, stream_id=stream, owner="me", asked={}, versions={1: 0}, starts={0: 0},
            registry_revision=1, now_ms=now_ms,
        )  # fmt: skip
    assert told() == [0, 1]
    lanes.abandon(engine, stream)
    assert told() == [0, 0]
