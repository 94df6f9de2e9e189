"""What is old takes less room; no count, finding or incident changes by it, whoever else works."""

from __future__ import annotations

import gc
import json
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
import structlog
from faults import Calls, Died
from judged_world import NOW_MS, START_MS, World, frame, world_of
from sqlalchemy.engine import Connection, Engine

from driftline.errors import StorageUnavailable
from driftline.stats.profile import Profile
from driftline.stats.reference import Reference, build_reference
from monitor.cli import what_if
from monitor.clock import HeldClock
from monitor.detect.spec import MonitorSpec
from monitor.evaluate import run as run_evaluator
from monitor.evaluate.backtest import Backtest, backtest
from monitor.retention import Did, Keeper, Policy
from monitor.storage import engine as storage
from monitor.storage import models, reads, registry
from monitor.storage import retention as sql
from monitor.storage import schema as t
from monitor.windows.calendar import DAY_MS, window_of
from monitor.windows.panes import HOUR_MS

# The shortest that is allowed, and nothing expires.
HOURS_ONLY = Policy(hours_days=45, hour_findings_days=0, letters_days=0)
N_DAYS = 80


@pytest.fixture(scope="module")
def timeless() -> Reference:
    """Knows nothing of how hours wobble: that is learnt live."""
    return build_reference(frame(0, 28 * 24, 1, with_times=False), categorical=("c",))


@pytest.fixture
def lived(
    once: Callable[..., Path], copy_of: Callable[[Path], Engine], reference: Reference
) -> World:
    """After 80 days, with nothing added up yet; made once a run."""
    file = once("lived", lambda engine: live(world_of(engine, reference), keeps=False))
    return World(copy_of(file), reference)


@pytest.fixture
def lived_there(engine: Engine, lived: World) -> World:
    """The same, on the database that is asked for."""
    if engine.dialect.name == "sqlite":
        return lived
    with storage.transaction(engine) as conn:
        for table in t.metadata.sorted_tables:
            conn.execute(sa.delete(table))
            if rows := [row._asdict() for row in lived.rows(table)]:
                conn.execute(sa.insert(table), rows)
    return World(engine, lived.reference)


def keeper(engine: Engine, policy: Policy = HOURS_ONLY) -> Keeper:
    return Keeper(engine, policy, HeldClock(NOW_MS))


def days_of(world: World, tables: tuple[sa.Table, ...] = (t.pane, t.pane_day)) -> dict[Any, Any]:
    """Rows, revisions and counts by partition and day, hours or added up, in other words."""
    found: dict[Any, Any] = {}
    for table in tables:
        for row in world.rows(table):
            day = window_of(row.start_ms, "day", "UTC").start_ms
            profile = Profile.from_bytes(world.reference.gridset, row.body)
            rows, rev, before = found.get((row.partition, row.segment, day), (0, 0, None))
            total = profile if before is None else before + profile
            found[row.partition, row.segment, day] = (rows + row.rows, rev + row.rev, total)
    return {key: (rows, rev, total.to_bytes()) for key, (rows, rev, total) in sorted(found.items())}


def live(world: World, *, keeps: bool, days: int = N_DAYS, every: int = 10) -> None:
    """Let days pass: written, judged, and what is old added up, in turns."""
    evaluator, tidy = world.evaluator(), keeper(world.engine)
    for first in range(0, days, every):
        start_ms = START_MS + first * DAY_MS
        shift = 0.9 if 30 <= first < 50 else 0.0
        world.write(start_ms, 24 * every, seed=100 + first, shift=shift)
        # The other partition speaks for some hours, and is then at its end.
        world.write(start_ms + 20 * HOUR_MS, 8, partition=1, seed=first, shift=shift)
        world.idle(1)
        evaluator.step()
        if keeps:
            tidy.run()
            assert evaluator.step() == 0, "nothing of it is to be judged again"


@pytest.mark.both_databases
def test_hours_become_days_and_nothing_else_changes(lived_there: World) -> None:
    world = lived_there
    counts, facts = days_of(world), world.facts()
    revisions = {tuple(row[:4]): row.rev_sum for row in world.rows(t.window)}
    did = keeper(world.engine).run()
    last_ms = START_MS + (N_DAYS - 1) * DAY_MS + 23 * HOUR_MS
    (until_ms,) = {window_of(last_ms - 45 * DAY_MS, "day", "UTC").start_ms}
    n_days = (until_ms - START_MS) // DAY_MS
    n_other = len([key for key in counts if key[0] == 1 and key[2] < until_ms])
    assert did == Did(hours=24 * n_days + 4 * n_other)
    assert len(world.rows(t.pane_day)) == n_days + n_other
    assert min(row.start_ms for row in world.rows(t.pane)) == until_ms
    assert days_of(world) == counts
    # Nobody finds anything to judge again, now or after a restart.
    assert world.evaluator().step() == 0
    assert world.facts() == facts
    assert {tuple(row[:4]): row.rev_sum for row in world.rows(t.window)} == revisions
    assert keeper(world.engine).run() == Did()


@pytest.mark.parametrize("kind", ["with times", "without"])
def test_a_life_with_a_keeper_is_the_life_without(
    kind: str,
    reference: Reference,
    timeless: Reference,
    copy_of: Callable[[Path], Engine],
    empty_file: Path,
) -> None:
    """Weeks are learnt and judged from days as they would be from hours."""
    found = []
    for keeps in (False, True):
        made = world_of(copy_of(empty_file), reference if kind == "with times" else timeless)
        live(made, keeps=keeps, days=110)
        found.append(made)
    without, kept = found
    assert len(kept.rows(t.pane_day)) > 60
    assert kept.facts() == without.facts()
    assert [tuple(row) for row in kept.rows(t.finding_day)] == [
        tuple(row) for row in without.rows(t.finding_day)
    ]
    assert days_of(kept) == days_of(without)
    assert [row.body for row in kept.rows(t.calibration)] == [
        row.body for row in without.rows(t.calibration)
    ]


def test_a_late_event_stands_beside_its_day_and_joins_it_later(lived: World) -> None:
    keeper(lived.engine).run()
    facts, counts = lived.facts(), days_of(lived)
    late_ms = START_MS + 3 * DAY_MS
    lived.write(late_ms, 1, seed=9)  # at midnight, where its day's counts begin, too
    assert len(lived.rows(t.pane, t.pane.c.start_ms == late_ms)) == 1
    assert lived.evaluator().step() == 0, "it is beyond the horizon"
    both = days_of(lived)
    changed = [key for key in both if both[key] != counts[key]]
    assert changed == [(0, "all", late_ms)]
    assert keeper(lived.engine).run() == Did(hours=1)
    assert days_of(lived) == both
    assert lived.rows(t.pane, t.pane.c.start_ms == late_ms) == []
    assert lived.facts() == facts


def test_a_range_of_whole_days_is_shown_and_a_cut_day_is_said(lived: World) -> None:
    grids = lived.reference.gridset

    def added(from_ms: int, to_ms: int) -> reads.PaneSum:
        with storage.reading(lived.engine) as conn:
            return reads.pane_sum(conn, 1, grids, segment="all", from_ms=from_ms, to_ms=to_ms)

    ranges = [(START_MS, START_MS + 20 * DAY_MS), (START_MS, START_MS + N_DAYS * DAY_MS)]
    before = [added(*span).profile for span in ranges]
    keeper(lived.engine).run()
    after = [added(*span) for span in ranges]
    assert [found.profile.to_bytes() for found in after] == [p.to_bytes() for p in before]
    assert not any(found.cuts_days for found in after)
    hour = added(START_MS, START_MS + HOUR_MS)
    assert (hour.profile.rows, hour.cuts_days) == (0, True)
    half = added(START_MS + 12 * HOUR_MS, START_MS + 2 * DAY_MS)
    assert half.profile.rows == added(START_MS + DAY_MS, START_MS + 2 * DAY_MS).profile.rows
    assert half.cuts_days
    recent = START_MS + (N_DAYS - 2) * DAY_MS
    assert not added(recent, recent + HOUR_MS).cuts_days


def test_a_back_test_says_from_when_on_hours_could_be_tried(lived: World) -> None:
    known = registry.load(lived.engine)

    def tried(spec: MonitorSpec, from_ms: int | None = None) -> Backtest:
        with storage.reading(lived.engine) as conn:
            return backtest(conn, known.versions["m", "1"], known.references, spec, from_ms=from_ms)

    whole = tried(MonitorSpec())
    assert whole.hours_from_ms is None
    keeper(lived.engine).run()
    until_ms = min(row.start_ms for row in lived.rows(t.pane))
    found = tried(MonitorSpec())
    assert found.hours_from_ms == until_ms
    assert whole.windows - found.windows == (until_ms - START_MS) // HOUR_MS
    assert tried(MonitorSpec(), until_ms).hours_from_ms is None
    assert tried(MonitorSpec(), until_ms - 1).hours_from_ms == until_ms
    assert tried(MonitorSpec(lengths=("day", "week"))).hours_from_ms is None
    (said,) = [line for line in what_if.lines("m", "1", found) if "hours are tried" in line]
    assert f"{datetime.fromtimestamp(until_ms / 1_000, UTC):%Y-%m-%d}" in said


def test_segments_whose_hours_are_still_to_teach_keep_them(
    engine: Engine, timeless: Reference
) -> None:
    world = world_of(engine, timeless)
    world.write(START_MS, 24 * N_DAYS)
    world.evaluator().step()
    with storage.transaction(engine) as conn:
        conn.execute(sa.delete(t.calibration).where(t.calibration.c.length == "hour"))
    assert keeper(engine).run() == Did()


def test_hours_that_are_to_be_judged_again_wait_for_it(lived: World) -> None:
    with storage.transaction(lived.engine) as conn:
        conn.execute(sa.update(t.evaluator_cursor).values(rejudge_from_ms=START_MS + 50 * DAY_MS))
    did = keeper(lived.engine).run()
    last_ms = max(row.start_ms for row in lived.rows(t.pane_day))
    assert did.hours > 0
    assert last_ms == START_MS + 4 * DAY_MS


def test_findings_of_hours_expire_and_are_not_judged_again(lived: World) -> None:
    days = [tuple(row) for row in lived.rows(t.finding_day)]
    incidents = lived.facts()["incidents"]
    longer = [row for row in lived.facts()["findings"] if "'hour'" not in str(row)]
    did = keeper(lived.engine, Policy(hours_days=0, hour_findings_days=45, letters_days=0)).run()
    cut_ms = START_MS + (N_DAYS - 1) * DAY_MS + 23 * HOUR_MS - 45 * DAY_MS
    n_hours = (cut_ms - START_MS) // HOUR_MS
    assert did == Did(hour_windows=n_hours)
    for table in (t.window, t.finding, t.model_window):
        rows = lived.rows(table, table.c.length == "hour")
        assert min(row.start_ms for row in rows) == cut_ms, table.name
    assert lived.evaluator().step() == 0
    assert [tuple(row) for row in lived.rows(t.finding_day)] == days
    assert lived.facts()["incidents"] == incidents
    assert [row for row in lived.facts()["findings"] if "'hour'" not in str(row)] == longer


def test_longer_findings_and_days_expire_where_somebody_asks_for_it(world: World) -> None:
    for day in range(460):
        world.write(START_MS + day * DAY_MS, 1, seed=day)
    world.evaluator().step()
    keeper(world.engine).run()
    least = Policy(hours_days=45, hour_findings_days=45, findings_days=392, days_days=392)
    did = keeper(world.engine, least).run()
    assert did.windows > 60 and did.days > 60 and did.hour_windows > 300
    judged_ms = max(row.start_ms for row in world.rows(t.window))
    assert min(row.start_ms for row in world.rows(t.pane_day)) >= judged_ms - 392 * DAY_MS
    assert world.evaluator().step() == 0
    incidents = world.facts()["incidents"]
    world.write(START_MS + 460 * DAY_MS, 48)
    assert world.evaluator().step() > 0
    assert world.facts()["incidents"] == incidents


def test_dead_letters_expire_by_when_they_were_written(engine: Engine) -> None:
    def letter(offset: int, created_ms: int) -> dict[str, Any]:
        return {
            "stream_id": 1, "partition": 0, "offset": offset, "line": 0, "reason": "not_json",
            "detail": "", "size_bytes": 1, "payload": b"{", "payload_sha256": "0" * 64,
            "kafka_ms": 0, "created_ms": created_ms,
        }  # fmt: skip

    with storage.transaction(engine) as conn:
        old = [letter(i, NOW_MS - 91 * DAY_MS) for i in range(1_203)]
        conn.execute(sa.insert(t.dead_letter), old)
        conn.execute(sa.insert(t.dead_letter), [letter(9_999, NOW_MS - 89 * DAY_MS)])
    assert keeper(engine, Policy()).run() == Did(letters=1_203)
    with engine.connect() as conn:
        assert conn.execute(sa.select(t.dead_letter.c.offset)).scalars().all() == [9_999]


def killed_at_each_call(world: World, how: str) -> list[bool]:
    """Let a keeper of three due days end at each of its calls; whether all is there once, then."""
    policy, found = replace(HOURS_ONLY, hours_days=N_DAYS - 4), []
    with storage.transaction(world.engine) as conn:
        conn.execute(sa.delete(t.pane).where(t.pane.c.start_ms >= START_MS + 5 * DAY_MS))
    counts, hours = days_of(world), [row._asdict() for row in world.rows(t.pane)]
    with Calls(world.engine) as calls:
        for number in range(200):
            with storage.transaction(world.engine) as conn:
                for table in (t.pane, t.pane_day):
                    conn.execute(sa.delete(table))
                storage.insert_rows(conn, t.pane, hours)
            calls.arm(number, how)
            with suppress(Died, StorageUnavailable), calls.on():
                keeper(world.engine, policy).run()
            gc.collect()  # a dead process has no transaction, and no connection
            if calls.is_armed:
                break
            calls.disarm()
            keeper(world.engine, policy).run()
            assert len(world.rows(t.pane_day)) >= 3
            found.append(days_of(world) == counts)
    assert len(found) > 20
    return found


@pytest.mark.both_databases
@pytest.mark.parametrize("how", ["dies after", "fails before"])
def test_a_keeper_may_end_at_every_call_and_every_hour_is_counted_once(
    lived_there: World, how: str
) -> None:
    assert all(killed_at_each_call(lived_there, how))


def test_were_a_day_not_one_transaction_its_hours_would_count_twice(
    lived: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the day is written, and its hours deleted in a transaction of their own."""
    written = sql.insert_tuples

    def and_commit(conn: Connection, *given: Any) -> None:
        written(conn, *given)
        conn.exec_driver_sql("COMMIT")
        conn.exec_driver_sql("BEGIN IMMEDIATE")

    monkeypatch.setattr(sql, "insert_tuples", and_commit)
    found = killed_at_each_call(lived, "dies after")
    assert any(found) and not all(found)


@pytest.mark.both_databases
def test_while_consumers_write_into_old_days_nothing_is_lost(lived_there: World) -> None:
    """Late events of the very days and partitions that two keepers add up, at the same time."""
    world = lived_there
    days = 14 * DAY_MS
    with storage.transaction(world.engine) as conn:
        # A day that is added up already gets more, too.
        conn.execute(sa.delete(t.pane).where(t.pane.c.start_ms < START_MS + 34 * DAY_MS - days))
    first_ms = min(row.start_ms for row in world.rows(t.pane))
    stop = threading.Event()
    wrote: Counter[int] = Counter()
    failed: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                failed.append(error)
                stop.set()

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def write(partition: int) -> None:
        draw = np.random.default_rng(partition)
        while not stop.is_set():
            late(world, first_ms + int(draw.integers(0, days // HOUR_MS)) * HOUR_MS, partition)
            wrote[partition] += 1

    def keep() -> None:
        for _ in range(3):
            keeper(world.engine).run()

    before = sum(rows for rows, _, _ in days_of(world).values())
    writers = [guarded(lambda p=partition: write(p)) for partition in range(2)]  # type: ignore[misc]
    keepers = [guarded(keep) for _ in range(2)]
    for thread in keepers:
        thread.join(120)
    stop.set()
    for thread in writers:
        thread.join(120)
    assert failed == []
    assert min(wrote.values()) > 3
    assert len(world.rows(t.pane_day)) >= 10
    keeper(world.engine).run()
    after = sum(rows for rows, _, _ in days_of(world).values())
    assert after == before + wrote.total()


def late(world: World, start_ms: int, partition: int) -> None:
    """Count one row as a checkpoint does: the position row first, then the pane."""
    profile = world.reference.gridset.count({}, 1, np.zeros(1, dtype=np.intp), 1, with_sums=True)[0]
    position = t.stream_position.c
    with storage.transaction(world.engine) as conn:
        conn.execute(
            sa.update(t.stream_position)
            .where(position.stream_id == 1, position.partition == partition)
            .values(next_offset=position.next_offset + 1)
        )
        world._add(conn, start_ms, partition, profile, "all")


def test_it_is_done_while_the_evaluator_has_nothing_to_judge(lived: World) -> None:
    """A piece at a time; a database that goes away ends the round, not the evaluator."""
    stop, calls = threading.Event(), [0]

    def meanwhile(engine: Engine) -> Any:
        made = keeper(engine)

        def step() -> bool:
            calls[0] += 1
            if calls[0] == 3:
                raise StorageUnavailable("away")
            more = made.step()
            if not more:
                stop.set()
            return more

        return step

    settings = lived.evaluator()._settings
    url = lived.engine.url.render_as_string(hide_password=False)
    run_evaluator(
        replace(settings, database_url=url, interval_s=0.05), stop, clock=HeldClock(NOW_MS),
        meanwhile=meanwhile,
    )  # fmt: skip
    assert calls[0] > 30
    assert len(lived.rows(t.pane_day)) > 30


def test_a_count_that_cannot_be_read_keeps_nothing_else_waiting(lived: World) -> None:
    damaged = lived.rows(t.pane)[5]
    with storage.transaction(lived.engine) as conn:
        here = t.pane.c.start_ms == damaged.start_ms
        conn.execute(sa.update(t.pane).where(here).values(body=b"xxxx"))
    before = lived.rows(t.pane)
    done: list[str] = []
    tidy = keeper(lived.engine, Policy(hours_days=45, letters_days=1))
    with structlog.testing.capture_logs() as said:
        while tidy.step():
            done.append("piece")
        assert tidy.run() == Did()
    assert lived.rows(t.pane) == before, "its day stays as it is"
    assert [one["event"] for one in said] == ["old records are kept as they are"], "said once"
    assert done, "dead letters were looked at"


def test_a_model_that_is_deleted_meanwhile_ends_nothing(lived: World) -> None:
    tidy = keeper(lived.engine)
    for _ in range(3):
        assert tidy.step()
    name = lived.rows(t.model)[0].name
    with storage.transaction(lived.engine) as conn:
        models.archive(conn, name, actor="me", now_ms=NOW_MS)
    with storage.reading(lived.engine) as conn:
        known = sql.versions(conn)
    models.delete(lived.engine, name, actor="me", now_ms=NOW_MS)
    while tidy.step():
        pass
    assert lived.rows(t.pane_day) == []
    (version,) = known
    with structlog.testing.capture_logs() as said:
        assert list(tidy._of_version(version)) == [], "known, and deleted before its turn"
    assert said == []


def test_what_stands_is_told(lived: World) -> None:
    keeper(lived.engine).run()
    with storage.reading(lived.engine) as conn:
        kept = sql.kept(conn)
    assert kept["days"] == sql.Kept(len(lived.rows(t.pane_day)), START_MS)
    assert kept["hours"].rows == len(lived.rows(t.pane))
    assert kept["hour_windows"].first_ms == START_MS
    assert json.dumps(kept)
