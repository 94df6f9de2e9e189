"""A recount beside the database finds what is wrong in it, nothing else, and writes nothing."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from fake_source import START_MS
from replay_rig import Twice
from sqlalchemy.engine import Engine

from driftline.stats.lengths import DAY_MS
from driftline.stats.profile import Profile
from monitor.storage import models, reads, registry
from monitor.storage import schema as t
from monitor.storage.engine import reading, transaction

pytestmark = pytest.mark.both_databases


@pytest.fixture
def twice(engine: Engine) -> Twice:
    """A log of which a part was read before its reference, and a part never could be."""
    twice = Twice(engine)
    twice.send(40)
    twice.count()
    twice.register()
    twice.send(260)
    twice.count()
    return twice


def everything(twice: Twice) -> list[object]:
    return [tuple(row) for table in t.metadata.sorted_tables for row in twice.rows(table)]


def test_equal_is_equal_and_nothing_is_written(twice: Twice) -> None:
    before = everything(twice)
    found = twice.verify()
    assert everything(twice) == before
    assert found.differences == ()
    assert found.events == 260
    assert found.panes == len(twice.rows(t.pane))
    assert found.digest == twice.verify().digest


def test_one_count_of_one_pane_is_found(twice: Twice) -> None:
    known = registry.load(twice.engine)
    gridset = next(iter(known.references.values())).gridset
    row = next(row for row in twice.rows(t.pane) if row.segment == "all")
    profile = Profile.from_bytes(gridset, row.body)
    place = next(p for p in range(1, gridset.size) if profile.counts[p])
    profile.counts[place] += 1
    with transaction(twice.engine) as conn:
        here = [column == row._mapping[column.name] for column in t.pane.primary_key]
        conn.execute(sa.update(t.pane).where(*here).values(body=profile.to_bytes()))
    (found,) = twice.verify().differences
    assert (found.partition, found.segment, found.start_ms) == (
        row.partition, row.segment, row.start_ms,
    )  # fmt: skip
    assert found.features == (gridset.features[0].name,)
    twice.replay()
    assert twice.verify().differences == ()


def test_a_pane_too_many_and_one_that_is_absent_are_found(twice: Twice) -> None:
    first, *_, last = [row for row in twice.rows(t.pane) if row.segment == "all"]
    with transaction(twice.engine) as conn:
        here = [column == last._mapping[column.name] for column in t.pane.primary_key]
        conn.execute(sa.delete(t.pane).where(*here))
        moved = dict(first._mapping) | {"start_ms": START_MS // DAY_MS * DAY_MS}
        conn.execute(sa.insert(t.pane).values(**moved))
    found = twice.verify().differences
    assert [(each.stored, each.recounted) for each in found] == [
        (first.rows, 0), (0, last.rows),
    ]  # fmt: skip


def test_what_a_replay_made_of_it_is_what_is_compared(twice: Twice) -> None:
    before = twice.verify()
    twice.replay()
    assert twice.verify().differences == ()
    assert twice.verify().events == 300 > before.events
    twice.send(60)
    twice.count()
    twice.replay(from_ms=START_MS + DAY_MS)
    found = twice.verify()
    assert (found.differences, found.events) == ((), 360)


def test_live_that_moves_on_meanwhile_is_no_difference(twice: Twice) -> None:
    log = twice.log(max_records=20)
    log_of = twice.log
    steps = 0

    def live() -> None:
        nonlocal steps
        steps += 1
        if steps < 6:
            twice.send(10)
            twice.rig.settle(rounds=1)

    log.meanwhile = live
    twice.log = lambda *_: log  # type: ignore[method-assign,assignment]
    if twice.engine.dialect.name == "sqlite":
        # The view that stands still in the end keeps nobody from writing.
        pass
    assert twice.verify().differences == ()
    assert steps > 2
    twice.log = log_of  # type: ignore[method-assign]


def test_days_whose_hours_were_added_up_are_compared_as_days(twice: Twice) -> None:
    day_ms = (START_MS // DAY_MS + 1) * DAY_MS
    add_up(twice, day_ms)
    assert twice.verify().differences == ()
    with transaction(twice.engine) as conn:
        other = next(row for row in twice.rows(t.pane) if row.segment == "all")
        conn.execute(
            sa.update(t.pane_day).where(t.pane_day.c.segment == "all").values(body=other.body)
        )
    days = {each.end_ms - each.start_ms for each in twice.verify().differences}
    assert days == {DAY_MS}
    rev = {(r.segment, r.partition): r.rev for r in twice.rows(t.pane_day)}
    twice.replay()
    assert twice.verify().differences == ()
    assert twice.stored() == twice.said_by_the_log()
    # The sum of revisions of whatever window holds the day is another one, and a higher one.
    for row in twice.rows(t.pane_day):
        assert (row.rows, row.rev) == (0, rev[row.segment, row.partition] + 1)
    # Its hours are back, and a range may begin at any of them.
    gridset = next(iter(registry.load(twice.engine).references.values())).gridset
    with reading(twice.engine) as conn:
        half = reads.pane_sum(
            conn, 1, gridset, segment="all", from_ms=day_ms + DAY_MS // 2, to_ms=day_ms + DAY_MS
        )
    assert (half.profile.rows, half.cuts_days) == (72, False)


def add_up(twice: Twice, day_ms: int) -> None:
    """Put a day's hours into one row, as retention does."""
    known = registry.load(twice.engine)
    gridset = next(iter(known.references.values())).gridset
    groups: dict[tuple[str, int], list[sa.Row[tuple[object, ...]]]] = {}
    for row in twice.rows(t.pane):
        if day_ms <= row.start_ms < day_ms + DAY_MS:
            groups.setdefault((row.segment, row.partition), []).append(row)
    with transaction(twice.engine) as conn:
        for (segment, partition), rows in groups.items():
            total = Profile.from_bytes(gridset, rows[0].body)  # type: ignore[attr-defined]
            for row in rows[1:]:
                total += Profile.from_bytes(gridset, row.body)  # type: ignore[attr-defined]
            first = rows[0]._mapping
            conn.execute(
                sa.insert(t.pane_day).values(
                    version_id=first["version_id"], gridset=first["gridset"], start_ms=day_ms,
                    segment=segment, stream_id=first["stream_id"], partition=partition,
                    end_ms=day_ms + DAY_MS, first_ms=first["start_ms"],
                    rev=sum(row._mapping["rev"] for row in rows), rows=total.rows,
                    body=total.to_bytes(),
                )
            )  # fmt: skip
        conn.execute(
            sa.delete(t.pane).where(
                t.pane.c.start_ms >= day_ms, t.pane.c.start_ms < day_ms + DAY_MS
            )
        )


def test_what_cannot_be_known_is_said_to_be_left_out(twice: Twice) -> None:
    with transaction(twice.engine) as conn:
        models.archive(conn, "m", actor="me", now_ms=5)
        models.unarchive(conn, "m", actor="me", now_ms=6)
    found = twice.verify()
    assert found.events == 0
    assert "archived once" in found.left_out[0]
    twice.replay()
    assert twice.verify().left_out == ()
    for partition in (0, 1):
        twice.rig.topic.retain_from(60, partition)
    found = twice.verify()
    assert "earlier days were not compared" in found.left_out[0]
    assert found.differences == ()
    assert 0 < found.events < 300
