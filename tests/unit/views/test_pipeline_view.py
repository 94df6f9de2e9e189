"""Every record is somewhere: what each partition does, and where the rest went."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from living_database import NOW_MS
from sqlalchemy.engine import Engine

from monitor.storage import models, reads
from monitor.storage import schema as t
from monitor.storage.engine import reading, transaction
from monitor.storage.rows import Position
from monitor.views.pipeline import IDLE_MS, Pipeline, State, partition, read

INTERVAL_MS = 30_000
CAUGHT_UP = Position(
    stream_id=1,
    topic="events",
    partition=0,
    next_offset=100,
    end_offset=100,
    owner="ingest-1",
    claim_epoch=1,
    fenced=0,
    checkpoints=3,
    max_event_time_ms=NOW_MS,
    caught_up_for_ms=1_000,
    fetched_ms=NOW_MS - 1_000,
    checkpointed_ms=NOW_MS - 1_000,
    last_counted_kafka_ms=NOW_MS - 1_000,
)


def look(engine: Engine, **asked: Any) -> Pipeline:
    with reading(engine) as conn:
        return read(conn, now_ms=NOW_MS, checkpoint_interval_s=INTERVAL_MS / 1_000, **asked)


@pytest.mark.parametrize(
    ("changed", "state"),
    [
        ({}, State.CAUGHT_UP),
        ({"caught_up_for_ms": IDLE_MS}, State.IDLE),
        ({"end_offset": 112}, State.READING),
        ({"end_offset": None}, State.READING),
        (
            {"end_offset": 112, "last_counted_kafka_ms": NOW_MS - 1_000 - 2 * INTERVAL_MS - 1},
            State.BEHIND,
        ),
        ({"end_offset": 112, "last_counted_kafka_ms": None}, State.BEHIND),
        ({"fetched_ms": None, "checkpointed_ms": None}, State.STALLED),
        (
            {"fetched_ms": NOW_MS - 3 * INTERVAL_MS - 1, "checkpointed_ms": None},
            State.STALLED,
        ),
        # A heartbeat without a checkpoint is a sign of life.
        ({"checkpointed_ms": NOW_MS - 90 * INTERVAL_MS}, State.CAUGHT_UP),
        # Long idle and then gone is stalled: nobody knows whether records wait.
        (
            {
                "caught_up_for_ms": IDLE_MS,
                "fetched_ms": NOW_MS - 4 * INTERVAL_MS,
                "checkpointed_ms": NOW_MS - 4 * INTERVAL_MS,
            },
            State.STALLED,
        ),
    ],
)
def test_a_partition_does_one_thing_at_a_time(changed: dict[str, Any], state: State) -> None:
    found = partition(replace(CAUGHT_UP, **changed), now_ms=NOW_MS, interval_ms=INTERVAL_MS)
    assert found.state is state


def test_quick_checkpoints_do_not_make_a_short_pause_a_stall() -> None:
    paused = replace(CAUGHT_UP, fetched_ms=NOW_MS - 8_000, checkpointed_ms=None)
    assert partition(paused, now_ms=NOW_MS, interval_ms=500).state is State.CAUGHT_UP


def test_behind_is_kafka_time_and_unknown_where_nothing_was_counted() -> None:
    waiting = replace(CAUGHT_UP, end_offset=112, last_counted_kafka_ms=NOW_MS - 61_000)
    assert partition(waiting, now_ms=NOW_MS, interval_ms=INTERVAL_MS).behind_ms == 60_000
    never = replace(waiting, last_counted_kafka_ms=None)
    assert partition(never, now_ms=NOW_MS, interval_ms=INTERVAL_MS).behind_ms is None
    assert partition(CAUGHT_UP, now_ms=NOW_MS, interval_ms=INTERVAL_MS).behind_ms == 0


def test_the_reasons_add_up_to_the_dead_letters_and_all_of_them_are_kept(living: Engine) -> None:
    found = look(living)
    with reading(living) as conn:
        outcomes = reads.outcomes(conn)
    assert found.dead == sum(n for name, n in outcomes.items() if name.startswith(reads.DEAD))
    assert found.outcomes == outcomes
    assert [r.count for r in found.reasons] == sorted(
        (r.count for r in found.reasons), reverse=True
    )
    assert all(reason.kept == reason.count for reason in found.reasons)
    assert all(reason.partitions for reason in found.reasons)


def test_pages_of_letters_hold_each_of_them_once_newest_first(living: Engine) -> None:
    seen, before = [], None
    while True:
        found = look(living, before=before, n_letters=5)
        seen += found.letters
        if found.older is None:
            break
        before = found.older
    assert len(seen) == len({letter.place for letter in seen}) == look(living).dead
    assert [letter.place for letter in seen] == sorted(
        (letter.place for letter in seen), reverse=True
    )
    assert all(letter.payload is None for letter in seen)


def test_the_newest_letter_is_open_until_another_is_asked_for(living: Engine) -> None:
    found = look(living)
    newest, other = found.letters[0], found.letters[3]
    assert found.letter is not None
    assert found.letter.place == newest.place
    assert found.letter.payload is not None
    key = (other.stream_id, other.partition, other.offset, other.line)
    asked = look(living, letter=key).letter
    assert asked is not None
    assert asked.place == other.place
    assert look(living, letter=(9, 9, 9, 9)).letter is None


def test_a_reason_shows_its_letters_only_and_leaves_the_counts(living: Engine) -> None:
    found = look(living, reason="bad_json")
    assert {letter.reason for letter in found.letters} == {"bad_json"}
    assert len(found.reasons) > 1
    assert look(living, reason="internal_error").letters == ()


def test_another_topic_shows_nothing_of_this_one(living: Engine) -> None:
    with transaction(living) as conn:
        conn.execute(
            sa.insert(t.stream).values(
                cluster_id="c", topic="labels", topic_id="t2", start_policy="earliest",
                group_id="driftline", created_ms=NOW_MS,
            )
        )  # fmt: skip
    found = look(living, topic="labels")
    assert found.topics == ("driftline.events", "labels")
    assert (found.partitions, found.reasons, found.gaps, found.deficits) == ((), (), (), ())
    assert found.counted == found.dead == found.n_deficits == 0
    assert found.lost == (0, 0)
    assert look(living, topic="driftline.events").counted == look(living).counted


def test_a_deficit_says_whether_its_reference_came_since(living: Engine) -> None:
    found = look(living)
    waiting = next(m for m in found.deficits if m.deficit.model == "fare-estimate")
    assert not waiting.is_registered
    with transaction(living) as conn:
        conn.execute(
            sa.update(t.deficit)
            .where(t.deficit.c.model == "fare-estimate")
            .values(model="parcel-delay", version="1")
        )
    assert all(m.is_registered for m in look(living).deficits)


def test_gaps_tell_what_was_lost(living: Engine) -> None:
    found = look(living)
    assert found.lost[0] == len(found.gaps) == 1
    gap = found.gaps[0]
    assert gap.kind == "retention"
    assert found.lost[1] == gap.to_offset - gap.from_offset > 0


def test_the_page_takes_as_many_statements_however_much_there_is(
    living: Engine, engine: Engine
) -> None:
    def statements(database: Engine) -> int:
        seen: list[str] = []

        def note(*event: Any) -> None:
            seen.append(event[2])

        sa.event.listen(database, "before_cursor_execute", note)
        look(database)
        return len([statement for statement in seen if statement.startswith("SELECT")])

    # With nothing there is no letter to open.
    assert statements(living) == statements(engine) + 1 <= 14
    with transaction(living) as conn:
        for i in range(20):
            conn.execute(
                sa.insert(t.upload).values(
                    name=f"u{i}", version_id=1, gridset="g", chunks=1, digest="d", panes=1, rows=1,
                    created_ms=i, touched_ms=i, counted_ms=i,
                )
            )  # fmt: skip
            models.note(
                conn,
                actor=f"a{i}",
                action="upload.count",
                subject="parcel-delay",
                now_ms=i,
                upload=f"u{i}",
            )
    assert statements(living) == statements(engine) + 2
    found = look(living)
    assert found.n_uploads == 20
    assert [each.by for each in found.uploads] == [f"a{i}" for i in range(19, 9, -1)]


def test_an_empty_database_is_no_fault(engine: Engine) -> None:
    found = look(engine)
    assert (found.partitions, found.topics, found.letter) == ((), (), None)
    assert found.counted == found.lag == found.behind_ms == 0
