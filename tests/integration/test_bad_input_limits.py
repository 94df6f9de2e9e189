"""What nobody should send, and somebody will: it is bounded, counted and named.

Each of these is small beside what `make bench-limits` sends, and of the same kind.
"""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from unittest.mock import patch

import pytest
import sqlalchemy as sa
from fake_source import START_MS, FakeSource, counters, positions, prediction, register
from ingest_rig import Rig, letters
from simulator import small_reference
from sqlalchemy.engine import Engine

import consumers.count
from consumers import ledger as ledger_module
from consumers.ledger import Ledger
from consumers.source import Unread
from driftline.errors import DeadLetterLimit, DecodeError
from monitor.storage import delta as delta_module
from monitor.storage import schema as t

pytestmark = pytest.mark.both_databases


class Heaviest:
    """What a rig's ledgers held at most, looked at after each piece that is taken."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.of: Counter[str] = Counter()
        hold = Ledger._hold

        def watched(ledger: Ledger, *given: Any) -> None:
            hold(ledger, *given)
            held = ledger.delta
            for what in ("strangers", "unseen", "letters", "counters", "deficits"):
                self.of[what] = max(self.of[what], len(getattr(held, what)))

        monkeypatch.setattr(Ledger, "_hold", watched)


def lines(events: Iterable[bytes]) -> bytes:
    return b"\n".join(events)


def test_names_nobody_registered_are_not_all_held_until_the_checkpoint(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong were: to hold them all for half a minute, and to store which came first by chance."""
    heaviest = Heaviest(monkeypatch)
    monkeypatch.setattr(delta_module, "MAX_UNREGISTERED", 10)
    monkeypatch.setattr("consumers.admit.EVENTS_AT_ONCE", 500)
    rig = Rig(engine, max_bytes=2_000 * ledger_module.STRANGER_BYTES)
    for part in range(20):
        rig.topic.append(lines(prediction(0, model=f"m{part}-{i:03}") for i in range(500)))
    rig.settle(20)
    assert heaviest.of["strangers"] <= 2_500
    assert counters(engine) == {"unmonitored": 10_000}
    with engine.connect() as conn:
        found = dict(map(tuple, conn.execute(sa.select(t.deficit.c.model, t.deficit.c.records))))
    assert found == {**{f"m0-{i:03}": 1 for i in range(10)}, "__other__": 9_990}


def test_values_of_an_id_that_was_taken_for_a_category_are_not_all_held(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    heaviest = Heaviest(monkeypatch)
    monkeypatch.setattr(ledger_module, "UNSEEN_HELD", 60)
    monkeypatch.setattr(ledger_module, "UNSEEN_KEPT", 30)
    register(engine)
    rig = Rig(engine)
    rig.source = FakeSource(rig.topic, rig.clock, max_records=50)
    rig.start()
    site = json.loads(prediction(0))["features"]
    word = next(name for name, value in site.items() if isinstance(value, str))

    def said(value: str) -> bytes:
        event = json.loads(prediction(0))
        event["features"][word] = value
        return json.dumps(event).encode()

    for part in range(20):
        rig.topic.extend(said("often") for _ in range(20))
        rig.topic.extend(said(f"new-{part}-{i}") for i in range(30))
        rig.loop.step()
    rig.settle(5)
    assert heaviest.of["unseen"] <= 60 + 20
    with engine.connect() as conn:
        u = t.unseen_value.c
        found = dict(map(tuple, conn.execute(sa.select(u.value, u["count"]))))
    assert len(found) == delta_module.MAX_UNSEEN
    assert found["often"] == 400, "what is frequent is counted whole"
    assert counters(engine)["prediction"] == 1_000


def test_dead_letters_weigh_what_they_keep(engine: Engine) -> None:
    rig = Rig(engine, breaker=False)
    rig.topic.extend([b"x" * 2_000] * 100)
    rig.loop.step()
    rig.loop.step()
    held = rig.loop._owned[0].ledger
    assert held is not None
    assert len(held.delta.letters) == 100
    assert held.weight_bytes >= 100 * (2_000 + 500)


def test_what_lies_beyond_the_kept_letters_is_neither_held_nor_weighed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "MAX_LETTERS", 30)
    monkeypatch.setattr(delta_module, "MAX_LETTERS", 30)
    heaviest = Heaviest(monkeypatch)
    rig = Rig(engine, breaker=False)
    for _ in range(4):
        rig.topic.extend([b"x"] * 25)
        rig.settle()
    assert heaviest.of["letters"] <= 30
    assert len(letters(engine)) == 30
    assert counters(engine) == {"dead:bad_json": 100}


def unread(offset: int, n: int) -> Unread:
    fault = DecodeError("oversized", f"a gzip batch, offsets {offset - n + 1} to {offset}")
    return Unread(offset, START_MS, fault, n, 1_234)


def test_records_of_a_bomb_are_one_letter_and_all_counted(engine: Engine) -> None:
    register(engine)
    rig = Rig(engine)
    for i in range(5):
        rig.topic.append(prediction(i))
    rig.topic.hole(199)
    rig.topic.append(None)
    for i in range(5):
        rig.topic.append(prediction(i))
    entries = rig.topic.logs[0]
    bomb: Any = unread(entries[5].offset, 200)
    rig.topic.logs[0] = [*entries[:5], bomb, *entries[6:]]
    rig.settle()
    assert counters(engine) == {"prediction": 10, "dead:oversized": 200}
    (letter,) = letters(engine)
    assert (letter.offset, letter.reason, letter.size_bytes) == (204, "oversized", 1_234)
    assert letter.payload is None
    assert "offsets 5 to 204" in str(letter.detail)
    assert positions(engine)[0].next_offset == 210


def test_many_features_times_many_events_are_coded_in_pieces_and_change_no_count(
    engine: Engine,
) -> None:
    """Wrong were: an array of all events by all features, however many these are."""
    register(engine)
    sizes: list[int] = []
    count_version = consumers.count._count_version

    def sized(delta: Any, bound: Any, reference: Any, parts: Sequence[Any], *more: Any) -> None:
        sizes.append(sum(map(len, parts)))
        count_version(delta, bound, reference, parts, *more)

    def held(coded: int) -> delta_module.Delta:
        rig = Rig(engine)
        rig.topic.extend(prediction(i // 40) for i in range(200))
        with (
            patch.object(consumers.count, "CODED", coded),
            patch.object(consumers.count, "_count_version", sized),
        ):
            rig.loop.step()
            rig.loop.step()
        found = rig.loop._owned[0].ledger
        assert found is not None
        return found.delta

    whole = held(5_000_000)
    assert sizes == [200]
    sizes.clear()
    pieces = held(100)
    assert len(sizes) >= 10
    assert max(sizes) <= 100
    assert pieces.counters == whole.counters
    assert pieces.unseen == whole.unseen
    assert pieces.panes.keys() == whole.panes.keys()
    for key, profile in whole.panes.items():
        assert pieces.panes[key] == profile, key


def hours_of(n: int) -> list[bytes]:
    return [prediction(i * 6) for i in range(n)]  # each in an hour of its own


def stored(engine: Engine) -> list[tuple[Any, ...]]:
    keys = (t.pane.c.start_ms, t.pane.c.segment)
    with engine.connect() as conn:
        rows = conn.execute(sa.select(*keys, t.pane.c.rows, t.pane.c.body).order_by(*keys))
        return [tuple(row) for row in rows]


def test_hours_without_number_are_held_as_bytes_and_change_no_count(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(engine)
    dense = Rig(engine)
    dense.topic.extend(hours_of(60) * 2)
    dense.settle()
    expected = stored(engine)
    assert len(expected) >= 120, "an hour of all and of a segment each"
    with engine.begin() as conn:
        conn.execute(sa.delete(t.pane))
        conn.execute(sa.delete(t.stream_position))
        conn.execute(sa.delete(t.registry_switch))
    monkeypatch.setattr(consumers.count, "PACKED_BYTES", 0)
    monkeypatch.setattr(consumers.count, "DENSE", 10_000)
    rig = Rig(engine)
    # In one record, in records, and hours that are there already.
    rig.topic.append(lines(hours_of(60)))
    rig.topic.extend(hours_of(30))
    rig.settle()
    rig.topic.extend(hours_of(60)[30:])
    rig.settle()
    assert stored(engine) == expected


def test_a_record_of_thousands_of_hours_takes_no_memory_for_what_is_zero(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong were: 100 KB for each event, so that a record of a megabyte ends the process."""
    register(engine)
    rig = Rig(engine, max_record_bytes=10_000_000)
    n, size = 6_000, 16 * small_reference().gridset.size
    monkeypatch.setattr(consumers.count, "PACKED_BYTES", 4_000_000)
    monkeypatch.setattr(consumers.count, "DENSE", 250_000)
    rig.topic.append(lines(hours_of(n)))
    tracemalloc.start()
    try:
        rig.loop.step()
        rig.loop.step()
        held = rig.loop._owned[0].ledger
        assert held is not None
        assert (held.rows, len(held.delta.panes)) == (n, 0)
        assert len(held.delta.packed) >= n
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < n * size / 2
    assert held.weight_bytes < n * size / 4
    rig.settle()
    assert counters(engine) == {"prediction": n}
    assert sum(rows for _, segment, rows, _ in stored(engine) if segment == "all") == n


def test_a_bomb_that_stops_the_consumer_is_what_it_shows(engine: Engine) -> None:
    """Most of the last events are its records: nobody passes them without a word of a person."""
    register(engine)
    rig = Rig(engine, breaker_events=50)
    rig.topic.append(prediction(0))
    rig.topic.hole(199)
    rig.topic.append(None)
    bomb: Any = unread(200, 200)
    rig.topic.logs[0] = [rig.topic.logs[0][0], bomb]
    with pytest.raises(DeadLetterLimit, match="200 oversized, such as offset 200: oversized"):
        rig.settle()
    assert counters(engine) == {}
