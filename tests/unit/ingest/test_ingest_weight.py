"""What one poll brings may be more than memory is for: the rest of it is read again later."""

from __future__ import annotations

from unittest.mock import patch

import sqlalchemy as sa
from fake_source import FakeSource, prediction
from ingest_rig import Rig
from simulator import small_reference
from sqlalchemy.engine import Engine

import consumers.ledger
from consumers.ledger import PART_RECORDS, Ledger
from consumers.loop import Loop
from monitor.storage import registry
from monitor.storage import schema as t
from monitor.storage.engine import transaction

RECORDS = 6_000
MAX_BYTES = 3_000_000


def world(engine: Engine) -> Rig:
    with transaction(engine) as conn:
        registry.register_reference(conn, small_reference(), model="m", version="1", now_ms=1)
    rig = Rig(engine, partitions=2, max_bytes=MAX_BYTES)
    rig.source = FakeSource(rig.topic, rig.clock, max_records=RECORDS)
    rig.loop = Loop(rig.engine, rig.source, rig.settings, rig.clock)
    rig.source.give(0, 1)
    return rig


def heaviest(rig: Rig) -> int:
    """Read everything; the most that ledgers weighed together, after each part."""
    most, weights, take = 0, {}, Ledger.take

    def weighed(ledger: Ledger, *given: object) -> int:
        nonlocal most
        n = take(ledger, *given)  # type: ignore[arg-type]
        weights[ledger.claim.partition] = ledger.weight_bytes
        most = max(most, sum(weights.values()))
        return n

    with patch.object(Ledger, "take", weighed):
        for _ in range(60):
            rig.loop.step()
            for partition, owned in rig.loop._owned.items():
                weights[partition] = 0 if owned.ledger is None else owned.ledger.weight_bytes
    rig.settle()
    return most


def counted(engine: Engine) -> int:
    with engine.connect() as conn:
        return int(conn.execute(sa.select(sa.func.sum(t.counter.c.count)).where(
            t.counter.c.outcome == "prediction")).scalar_one())  # fmt: skip


def one_part(engine: Engine) -> int:
    """What the heaviest part weighs by itself."""
    return PART_RECORDS * 16 * small_reference().gridset.size * 2  # its segment and `all`


def test_a_poll_of_many_hours_is_taken_in_parts_and_counted_once(engine: Engine) -> None:
    rig = world(engine)
    for i in range(RECORDS):
        rig.topic.append(prediction(i * 6), i % 2)  # each of an hour of its own
    most = heaviest(rig)
    assert most < MAX_BYTES + one_part(engine)
    assert counted(engine) == RECORDS


def test_taken_at_once_the_same_poll_is_far_too_much(engine: Engine) -> None:
    rig = world(engine)
    for i in range(RECORDS):
        rig.topic.append(prediction(i * 6), i % 2)
    with patch.object(consumers.ledger, "PART_RECORDS", RECORDS):
        assert heaviest(rig) > 3 * MAX_BYTES
    assert counted(engine) == RECORDS


def test_a_log_of_one_hour_is_taken_in_two_parts(engine: Engine) -> None:
    rig = world(engine)
    for _ in range(RECORDS):
        rig.topic.append(prediction(3))
    sizes: list[int] = []
    take = Ledger.take

    def sized(ledger: Ledger, records: list[object], *given: object) -> int:
        sizes.append(len(records))
        return take(ledger, records, *given)  # type: ignore[arg-type]

    with patch.object(Ledger, "take", sized):
        rig.settle()
    assert sizes == [PART_RECORDS, RECORDS - PART_RECORDS]
