"""What the loop makes of records: counted, a deficit, a dead letter, late, unseen."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa
from fake_source import (
    HOUR_MS,
    KAFKA_MS,
    START_MS,
    counters,
    positions,
    prediction,
    register,
    stored_counts,
)
from ingest_rig import Rig, letters
from sqlalchemy.engine import Engine

from monitor.storage import delta as delta_module
from monitor.storage import schema as t

pytestmark = pytest.mark.both_databases


def test_records_of_no_registered_version_are_a_deficit(engine: Engine) -> None:
    rig = Rig(engine)
    rig.topic.extend(prediction(i) for i in range(3))
    rig.topic.extend(prediction(i, version="2") for i in range(4))
    rig.settle()
    with engine.connect() as conn:
        rows = conn.execute(sa.select(t.deficit).order_by(t.deficit.c.version)).all()
    assert [(r.version, r.from_offset, r.to_offset, r.records) for r in rows] == [
        ("1", 0, 3, 3),
        ("2", 3, 7, 4),
    ]
    assert rows[0].first_ms == START_MS
    assert counters(engine) == {"unmonitored": 7}
    assert positions(engine)[0].next_offset == 7


def test_names_that_nobody_registered_are_capped(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta_module, "MAX_UNREGISTERED", 5)
    rig = Rig(engine)
    for part in range(2):
        rig.topic.extend(prediction(0, model=f"m{part}-{i}") for i in range(10))
        rig.settle()
    with engine.connect() as conn:
        rows = conn.execute(sa.select(t.deficit.c.model, t.deficit.c.records)).all()
    assert len(rows) == 6
    assert dict(map(tuple, rows))["__other__"] == 15
    assert counters(engine) == {"unmonitored": 20}


def test_labels_of_models_that_nobody_registered_are_capped_with_them(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta_module, "MAX_UNREGISTERED", 5)
    register(engine)
    rig = Rig(engine)
    label = {"type": "label", "id": "e1", "time": START_MS, "label": 1}
    rig.topic.append(prediction(0, model="first"))
    for part in range(2):
        for i in range(10):
            rig.topic.append(json.dumps({**label, "model": f"m{part}-{i}", "version": i}).encode())
            rig.topic.append(json.dumps({**label, "model": "m", "version": f"v{i}"}).encode())
        rig.topic.append(prediction(0, model=f"last{part}"))
        rig.settle()
    c = t.counter.c
    with engine.connect() as conn:
        rows = conn.execute(sa.select(c.model, c.version, c.outcome, c["count"])).all()
        deficits = conn.execute(sa.select(t.deficit.c.model, t.deficit.c.records)).all()
    assert {tuple(row) for row in rows} == {
        ("first", "1", "unmonitored", 1),
        *((f"m0-{i}", "", "unmonitored", 1) for i in range(4)),
        ("__other__", "__other__", "unmonitored", 18),
        ("m", "", "label", 20),
    }
    assert {tuple(row) for row in deficits} == {("first", 1), ("__other__", 2)}


def test_bad_records_are_dead_letters_and_the_position_moves_on(engine: Engine) -> None:
    register(engine)
    rig = Rig(engine, max_record_bytes=300_000)
    future = KAFKA_MS + 300_001
    rig.topic.extend(
        [
            b"{",
            b"[" * 100_000,
            b"x" * 300_001,
            prediction(0, model=None),
            prediction(0, time=None),
            prediction(0, time="2013-02-04T10:00:00"),
            prediction(0, time=future),
            prediction(0, time="1999-12-31T23:59:59Z"),
            b"[1]",
            prediction(1) + b"\n{broken\n" + prediction(2),
        ]
    )
    rig.topic.append(None)
    rig.settle()
    assert [(r.offset, r.line, r.reason) for r in letters(engine)] == [
        (0, 0, "bad_json"),
        (1, 0, "too_deep"),
        (2, 0, "oversized"),
        (3, 0, "model_missing"),
        (4, 0, "time_missing"),
        (5, 0, "time_no_offset"),
        (6, 0, "time_in_future"),
        (7, 0, "time_out_of_range"),
        (8, 0, "not_an_object"),
        (9, 2, "bad_json"),
        (10, 0, "empty"),
    ]
    assert counters(engine)["prediction"] == 2
    assert positions(engine)[0].next_offset == 11
    oversized = letters(engine)[2]
    assert oversized.size_bytes == 300_001
    assert len(oversized.payload) == 2_048


def test_dead_letters_are_capped_in_number_and_counted_in_full(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta_module, "MAX_LETTERS", 10)
    rig = Rig(engine)
    for _ in range(3):
        rig.topic.extend(b"no" for _ in range(8))
        rig.settle()
    assert [r.offset for r in letters(engine)] == list(range(10))
    assert counters(engine) == {"dead:bad_json": 24}


def test_payloads_can_be_kept_out(engine: Engine) -> None:
    rig = Rig(engine, keep_payload=False)
    rig.topic.append(b"secret")
    rig.settle()
    (letter,) = letters(engine)
    assert letter.payload is None
    assert letter.payload_sha256.startswith("2bb80d53")


def test_wrong_types_are_type_errors_of_their_feature(engine: Engine) -> None:
    reference = register(engine)
    rig = Rig(engine)
    rig.topic.append(prediction(0, features={"x": "7", "kind": ["a"], "site": None}))
    rig.topic.append(prediction(0, features={"x": True, "kind": 3, "extra": 1}))
    rig.settle()
    grid = reference.gridset
    (counts,) = [
        c for (_, segment), c in stored_counts(engine, reference).items() if segment == "all"
    ]
    x, kind, site = (grid.names().index(n) for n in ("x", "kind", "site"))
    absent, null, type_error = 0, 1, 5
    assert counts[grid.counters[x, type_error]] == 2
    assert counts[grid.counters[kind, type_error]] == 1
    assert counts[grid.unseen[kind]] == 1
    assert counts[grid.counters[site, null]] == 1
    assert counts[grid.counters[site, absent]] == 1
    assert counters(engine) == {"prediction": 2, "unknown_feature": 1}


def test_a_step_of_over_a_day_waits_for_a_hundred_records(engine: Engine) -> None:
    register(engine)
    rig = Rig(engine)
    rig.topic.append(prediction(0))
    ahead = START_MS + 48 * HOUR_MS
    rig.topic.extend(prediction(0, time=ahead + i) for i in range(99))
    rig.settle()
    (row,) = positions(engine)
    assert row.max_event_time_ms == START_MS
    waiting = [ahead + i for i in range(99)]
    assert json.loads(row.pending_advance) == {"waiting_ms": waiting}
    rig.start()  # what waits survives the process
    rig.topic.append(prediction(0, time=ahead + 99))
    rig.settle()
    assert positions(engine)[0].max_event_time_ms == ahead + 99
    assert positions(engine)[0].pending_advance is None


def test_a_late_event_enters_its_pane(engine: Engine) -> None:
    reference = register(engine)
    rig = Rig(engine)
    rig.topic.extend([prediction(12), prediction(0)])
    rig.settle()
    assert counters(engine) == {"prediction": 2, "late": 1}
    first = START_MS - START_MS % HOUR_MS
    assert stored_counts(engine, reference)[first, "all"][0] == 1


def test_segments_are_counted_with_everything_else_as_other(engine: Engine) -> None:
    reference = register(engine)
    rig = Rig(engine)
    for site in ("north", "south", "moon", None):
        rig.topic.append(prediction(0, features={"x": 1.0, "kind": "a", "site": site}))
    rig.topic.append(prediction(0, features={"x": 1.0, "kind": "a"}, tags={"site": "north"}))
    rig.settle()
    rows = {segment: c[0] for (_, segment), c in stored_counts(engine, reference).items()}
    assert rows == {"all": 5, "site=north": 2, "site=south": 1, "site=__other__": 2}


def test_labels_are_counted_and_not_profiled(engine: Engine) -> None:
    reference = register(engine)
    rig = Rig(engine)
    label = {"type": "label", "model": "m", "id": "e1", "time": START_MS, "label": 1}
    rig.topic.append(json.dumps(label).encode())
    rig.topic.append(json.dumps({**label, "model": "nobody"}).encode())
    rig.settle()
    assert counters(engine) == {"label": 1, "unmonitored": 1}
    assert stored_counts(engine, reference) == {}


def test_unseen_values_are_shown_and_capped(engine: Engine) -> None:
    register(engine)
    rig = Rig(engine)
    for i in range(60):
        features = {"x": 1.0, "kind": f"new-{min(i, 30)}", "site": "north"}
        rig.topic.append(prediction(i, features=features))
    rig.settle()
    with engine.connect() as conn:
        rows = conn.execute(
            sa.select(t.unseen_value).order_by(t.unseen_value.c["count"].desc())
        ).all()
    assert len(rows) == 20
    assert (rows[0].value, rows[0].feature) == ("new-30", "kind")
    assert rows[0].first_seen_ms == START_MS + 30 * 600_000
