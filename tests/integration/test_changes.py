"""What an evaluator remembers of its last look saves reading, and leaves nothing stale."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from judged_world import START_MS, World
from segmented_world import ROWS, SEGMENTS, fresh_world, passed, reference_of, write
from sqlalchemy.engine import Engine

from driftline.stats.reference import Reference
from monitor.evaluate import changes
from monitor.evaluate.evaluator import Evaluator
from monitor.storage import engine as storage
from monitor.storage import schema as t
from monitor.windows.calendar import DAY_MS
from monitor.windows.panes import HOUR_MS


@pytest.fixture(scope="module")
def two_segments() -> Reference:
    return reference_of()


# Hours before the stream's time: some are still open, or to come.
panes = st.lists(
    st.tuples(
        st.sampled_from(SEGMENTS),
        st.one_of(st.integers(-2, 3), st.integers(-2, 100)),
        st.integers(0, 4),
        st.sampled_from([1, ROWS]),
        st.sampled_from([0.0, 3.0]),
    ),
    max_size=5,
)
# By how much time goes on, the panes that were counted, and which evaluator looks.
looks = st.lists(
    st.tuples(st.sampled_from([0, 1, 1, 2, 23]), panes, st.sampled_from([0, 0, 0, 1, 2])),
    min_size=2,
    max_size=6,
)


def judged(world: World) -> list[Any]:
    """What a replay need not find again, too: how often each window was judged."""
    return sorted(
        (row.length, row.segment, row.start_ms, row.rev_sum, row.revision, row.rows)
        for row in world.rows(t.window)
    )


@given(looks)
@settings(
    max_examples=16, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_who_remembers_finds_what_who_has_just_begun_finds(
    engine: Engine, two_segments: Reference, asked: list[tuple[int, list[Any], int]]
) -> None:
    """Whoever of several looks, however late the events are, and when time stands still."""
    found = []
    for remembers in (True, False):
        world = fresh_world(engine, two_segments)
        for hour in range(-80, 0, 8):
            write(world, "all", hour, hour % 5, n=ROWS)
        passed(world, 0)
        old = [world.evaluator(), world.evaluator()]
        time = 0
        for hours, counted, who in asked:
            time += hours
            for segment, before, seed, n, shift in counted:
                write(world, segment, time - before, seed, n=n, shift=shift)
            passed(world, time)
            is_old = remembers and who < 2
            (old[who] if is_old else world.evaluator()).step()
        before = judged(world)
        assert world.evaluator().step() == 0 and judged(world) == before, "something was stale"
        found.append((world.facts(), before))
    assert found[0] == found[1]


def test_who_did_not_write_remembers_nothing(
    engine: Engine, two_segments: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was due in a look that failed is due in the next."""
    world = fresh_world(engine, two_segments)
    write(world, "all", 0, 0, n=ROWS)
    passed(world, 2)
    evaluator = world.evaluator()
    assert evaluator.step() == 1
    write(world, "all", 0, 1, n=ROWS)
    with monkeypatch.context() as patch:
        patch.setattr(Evaluator, "_write", lambda *_: False)
        assert evaluator.step() == 0
    assert evaluator.step() == 1
    assert evaluator.step() == 0


def test_an_hour_that_a_pass_could_have_missed_is_found_in_the_next(
    engine: Engine, two_segments: Reference
) -> None:
    """Another evaluator's pass in between makes everything looked at again."""
    world = fresh_world(engine, two_segments)
    for hour in range(3):
        write(world, "all", hour, hour, n=ROWS)
    passed(world, 4)
    one, other = world.evaluator(), world.evaluator()
    assert one.step() == 3
    write(world, "all", 1, 9, n=ROWS)
    assert other.step() == 1
    write(world, "all", 2, 9, n=ROWS)
    assert one.step() == 1
    assert other.step() == one.step() == 0


def test_a_window_that_was_not_over_is_looked_at_when_it_is(
    engine: Engine, two_segments: Reference
) -> None:
    """Its panes were there at the look before, and nothing is counted since: only time goes on."""
    world = fresh_world(engine, two_segments)
    for hour in range(6):
        write(world, "all", hour, hour, n=ROWS)
    evaluator = world.evaluator()
    for time in (1, 3, 5, 10):
        passed(world, time)
        evaluator.step()
    starts = sorted(row.start_ms for row in world.rows(t.window, t.window.c.length == "hour"))
    assert starts == [START_MS + hour * HOUR_MS for hour in range(6)]


def test_a_restored_database_is_looked_at_as_a_whole(
    engine: Engine, two_segments: Reference
) -> None:
    """Counted before the backup and judged after it: its panes are what was seen, and its window
    is gone. That the cursor is another says so."""
    world = fresh_world(engine, two_segments)
    for hour in range(2):
        write(world, "all", hour, hour, n=ROWS)
    passed(world, 3)
    evaluator = world.evaluator()
    assert evaluator.step() == 2
    write(world, "all", 2, 2, n=ROWS)
    passed(world, 4)
    tables = [t.evaluator_cursor, t.window, t.model_window, t.finding]
    tables += [t.finding_day, t.latch]
    backup = {table: [row._asdict() for row in world.rows(table)] for table in tables}
    assert evaluator.step() == 1
    facts = world.facts()
    with storage.transaction(engine) as conn:
        for table, rows in backup.items():
            conn.execute(sa.delete(table))
            if rows:
                conn.execute(sa.insert(table), rows)
    assert evaluator.step() == 1
    assert world.facts() == facts


def test_what_is_read_grows_with_what_changed_and_not_with_history(
    engine: Engine, two_segments: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of panes and windows that one look reads, after a day and after ten."""
    read: list[int] = []

    def counting(name: str) -> None:
        real = getattr(changes.sql, name)

        def counted(*args: Any) -> Any:
            found = real(*args)
            read.append(len(found))
            return found

        monkeypatch.setattr(changes.sql, name, counted)

    counting("pane_revisions")
    counting("stored_windows")
    found = []
    for days in (1, 10):
        world = fresh_world(engine, two_segments)
        hours = 24 * days + 4
        for hour in range(hours):
            for segment in SEGMENTS:
                write(world, segment, hour, hour % 5, n=ROWS)
        passed(world, hours + 1)
        evaluator = world.evaluator()
        evaluator.step()
        whole = sum(read)
        seen = []
        for changed in (None, hours, hours - 3):  # nothing, a new hour, a late event
            if changed is not None:
                for segment in SEGMENTS:
                    write(world, segment, changed, 7, n=ROWS)
                passed(world, max(changed, hours) + 2)
            read.clear()
            assert (evaluator.step() > 0) == (changed is not None)
            seen.append(sum(read))
        read.clear()
        found.append((whole, seen))
    (less, few), (more, same) = found
    assert few == same and few[0] == 0
    assert more > 4 * less > 4 * max(few)


def test_hours_that_became_days_leave_nothing_due(engine: Engine, two_segments: Reference) -> None:
    """What adds hours up to days keeps the sums of their revisions."""
    world = fresh_world(engine, two_segments)
    for hour in range(30):
        write(world, "all", hour, hour % 5, n=ROWS)
    passed(world, 31)
    evaluator = world.evaluator()
    assert evaluator.step() == 31
    with storage.transaction(engine) as conn:
        p = t.pane.c
        day = list(conn.execute(sa.select(t.pane).where(p.start_ms < START_MS + DAY_MS)))
        conn.execute(sa.delete(t.pane).where(p.start_ms < START_MS + DAY_MS))
        conn.execute(
            sa.insert(t.pane_day).values(
                version_id=1, gridset=day[0].gridset, start_ms=START_MS, segment="all",
                stream_id=1, partition=0, end_ms=START_MS + DAY_MS, first_ms=START_MS,
                rev=sum(row.rev for row in day), rows=sum(row.rows for row in day),
                body=day[0].body,
            )
        )  # fmt: skip
    assert evaluator.step() == 0
    # A late event makes an hour of its own: the day is judged again, not the hour.
    write(world, "all", 5, 3, n=ROWS)
    assert evaluator.step() >= 1
    windows = world.rows(t.window, t.window.c.revision > 1)
    assert ("day", START_MS) in {(row.length, row.start_ms) for row in windows}
    assert world.evaluator().step() == evaluator.step() == 0
