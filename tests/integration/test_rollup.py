"""The days that hour findings are added up to are a recount of them, whatever became of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from judged_world import START_MS, World, world_of
from sqlalchemy.engine import Engine

from driftline.stats.reference import Reference
from monitor.storage import engine as storage
from monitor.storage import rollup
from monitor.storage import schema as t
from monitor.windows.calendar import DAY_MS, window_of
from monitor.windows.panes import HOUR_MS

pytestmark = pytest.mark.both_databases

STATISTICS = ("psi", "missing", "type_error", "unseen", "out_of_range")


def over(row: Any, name: str) -> float | None:
    evidence = row.psi if name == "psi" else getattr(row, f"{name}_excess")
    limit = getattr(row, f"{name}_limit")
    return abs(evidence) / limit if evidence is not None and limit else None


def worst(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def recount(world: World, timezone: str = "UTC") -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Return what the table must hold, from the findings, in other words than SQL."""
    days: dict[tuple[Any, ...], list[Any]] = {}
    for row in world.rows(t.finding, t.finding.c.length == "hour"):
        day = window_of(row.start_ms, "day", timezone).start_ms
        days.setdefault((row.version_id, row.segment, day, row.feature), []).append(row)
    out = {}
    for key, rows in days.items():
        ratio = worst([row.ratio for row in rows])
        among = {row.evidence for row in rows if row.ratio == ratio and ratio is not None}
        out[key] = (
            ratio,
            next((name for name in STATISTICS if name in among), None),
            *(worst([over(row, name) for row in rows]) for name in STATISTICS),
            max((row.verdict for row in rows), key=rollup.VERDICTS.index),
            any(row.is_alarming for row in rows),
        )
    return out


def stored(world: World) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    return {tuple(row[:4]): tuple(row[4:]) for row in world.rows(t.finding_day)}


def test_judged_hours_are_added_up_by_day(world: World) -> None:
    world.write(START_MS, 53)
    world.evaluator().step()
    days = stored(world)
    assert {key[2] for key in days} == {START_MS, START_MS + DAY_MS, START_MS + 2 * DAY_MS}
    assert [key[2] for key in sorted(days) if key[3] == "x"] == sorted({key[2] for key in days})
    assert days == recount(world)


def test_the_last_day_grows_with_each_hour(world: World) -> None:
    evaluator = world.evaluator()
    for hour in range(5):
        world.write(START_MS + hour * HOUR_MS, 1, missing=0.3 * (hour == 2))
        evaluator.step()
        assert stored(world) == recount(world)


def test_the_last_hour_judged_again_is_counted_once(world: World) -> None:
    evaluator = world.evaluator()
    for partition in range(2):
        world.write(START_MS, 2, partition=partition)
        assert evaluator.step() == 2
        assert stored(world) == recount(world)
    world.write(START_MS + HOUR_MS, 1, partition=0)
    assert evaluator.step() == 1
    assert stored(world) == recount(world)


def test_an_alarm_and_its_end_are_in_the_days(world: World) -> None:
    world.write(START_MS, 24 * 3)
    world.write(START_MS + 3 * DAY_MS, 30, missing=0.4)
    world.write(START_MS + 3 * DAY_MS + 30 * HOUR_MS, 60)
    world.evaluator().step()
    days = stored(world)
    assert days == recount(world)
    alarming = {key[2] for key, row in days.items() if key[3] == "x" and row[-1]}
    assert START_MS not in alarming
    assert START_MS + 3 * DAY_MS in alarming
    by = days[1, "all", START_MS + 3 * DAY_MS, "x"]
    assert (by[1], by[-2]) == ("missing", "critical")


def test_late_events_that_end_an_alarm_change_the_days_after_them(world: World) -> None:
    """Hours that are not judged again are folded again: their days must follow."""
    world.write(START_MS, 24 * 3)
    world.write(START_MS + 3 * DAY_MS, 3, missing=0.5)
    world.write(START_MS + 3 * DAY_MS + 3 * HOUR_MS, 40)
    evaluator = world.evaluator()
    evaluator.step()
    before = stored(world)
    assert any(row[-1] for row in before.values())
    for _ in range(30):  # late, and whole: the share of missing values falls
        world.write(START_MS + 3 * DAY_MS, 3, partition=1)
    evaluator.step()
    after = stored(world)
    assert after == recount(world)
    assert after != before


@settings(max_examples=8, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 80), st.integers(1, 12), st.sampled_from([0.0, 0.1, 0.6])),
        min_size=1,
        max_size=6,
    )
)
def test_any_order_of_late_and_bad_hours_leaves_a_recount(
    steps: list[tuple[int, int, float]],
    reference: Reference,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    engine = storage.create(f"sqlite:///{tmp_path_factory.mktemp('rollup') / 'x.db'}")
    storage.upgrade(engine)
    world = world_of(engine, reference)
    evaluator = world.evaluator()
    for start, hours, missing in steps:
        world.write(START_MS + start * HOUR_MS, hours, missing=missing)
        evaluator.step()
        assert stored(world) == recount(world)
    world.idle()
    evaluator.step()
    assert stored(world) == recount(world)
    engine.dispose()


def test_the_days_of_a_database_made_before_are_counted_when_it_is_upgraded(world: World) -> None:
    world.write(START_MS, 24 * 3)
    world.write(START_MS + 3 * DAY_MS, 30, missing=0.4)
    world.evaluator().step()
    expected = stored(world)
    command.downgrade(storage.alembic_config(world.engine), "0001")
    assert "finding_day" not in sa.inspect(world.engine).get_table_names()
    storage.upgrade(world.engine)
    storage.check_schema(world.engine)
    assert stored(world) == expected == recount(world)


def test_days_are_days_of_the_models_zone_where_the_clock_is_moved(engine: Engine) -> None:
    """23 and 25 hours, and hours that begin on the half hour."""
    zones = {1: "America/New_York", 2: "Asia/Kolkata"}
    start = 1_383_350_400_000  # 2013-11-02 00:00 UTC: New York turns its clocks back on the 3rd
    with storage.transaction(engine) as conn:
        for version_id, zone in zones.items():
            half = HOUR_MS // 2 if version_id == 2 else 0
            for hour in range(80):
                at = start + hour * HOUR_MS + half
                _hour(conn, version_id, at, ratio=hour / 10)
            rollup.refresh(
                conn, version_id, zone,
                {"all": [start + hour * HOUR_MS + half for hour in range(80)]},
            )  # fmt: skip
    with engine.connect() as conn:
        found = conn.execute(
            sa.select(t.finding_day.c.version_id, t.finding_day.c.ratio)
            .order_by(t.finding_day.c.version_id, t.finding_day.c.day_ms)
        ).all()  # fmt: skip
    # Each hour is worse than the one before: the ratio says which was a day's last.
    last = {1: [4, 24, 25, 24, 3], 2: [18, 24, 24, 14]}
    for version_id, hours in last.items():
        ends = [(sum(hours[: i + 1]) - 1) / 10 for i in range(len(hours))]
        assert [ratio for version, ratio in found if version == version_id] == ends


def test_a_statistic_that_only_a_fixed_limit_judges_may_be_the_worst_of_a_day(
    engine: Engine,
) -> None:
    start = 1_704_067_200_000
    with storage.transaction(engine) as conn:
        _hour(conn, 1, start, ratio=1.5)
        _hour(conn, 1, start + HOUR_MS, ratio=2.5, evidence="w1_sigma")
        rollup.refresh(conn, 1, "UTC", {"all": [start]})
    with engine.connect() as conn:
        row = conn.execute(sa.select(t.finding_day)).one()
    assert (row.ratio, row.evidence) == (2.5, "w1_sigma")


hours_of_a_day = st.lists(
    st.tuples(
        st.sampled_from([None, 0.5, 1.5]),
        st.sampled_from(["psi", "w1_sigma", "missing"]),
        st.sampled_from(rollup.VERDICTS),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(hours_of_a_day)
def test_hours_that_follow_one_another_are_added_to_what_a_recount_gives(
    engine: Engine, hours: list[tuple[float | None, str, str, bool]]
) -> None:
    """Whatever was there before: equal ratios of two statistics, none at all, any verdict."""
    start = 1_704_067_200_000
    with storage.transaction(engine) as conn:
        for table in (t.window, t.finding, t.finding_day):
            conn.execute(sa.delete(table))
        for hour, (ratio, evidence, verdict, is_alarming) in enumerate(hours):
            at = start + hour * HOUR_MS
            _hour(
                conn, 1, at, ratio=ratio, evidence="" if ratio is None else evidence,
                verdict=verdict, is_alarming=is_alarming,
            )  # fmt: skip
            rollup.refresh(conn, 1, "UTC", {"all": [at]}, following=["all"])
        added = conn.execute(sa.select(t.finding_day)).one()
        rollup.refresh(conn, 1, "UTC", {"all": [start]})
        assert tuple(added) == tuple(conn.execute(sa.select(t.finding_day)).one())


def test_an_hour_that_follows_costs_no_reading_of_its_day(engine: Engine) -> None:
    start = 1_704_067_200_000
    with storage.transaction(engine) as conn:
        for hour, ratio in enumerate((2.0, 1.0)):
            _hour(conn, 1, start + hour * HOUR_MS, ratio=ratio)
            rollup.refresh(conn, 1, "UTC", {"all": [start + hour * HOUR_MS]}, following=["all"])
            # What a recount would find gone.
            conn.execute(sa.delete(t.finding))
        assert conn.execute(sa.select(t.finding_day.c.ratio)).scalar_one() == 2.0


def test_an_hour_that_is_not_the_worst_of_its_day_writes_no_row_of_it(engine: Engine) -> None:
    """Whatever it is worse in is told; hours like those before are most of a day's."""
    start = 1_704_067_200_000
    hours: list[tuple[dict[str, Any], int]] = [
        ({"ratio": 1.0}, 1),
        ({"ratio": 1.0}, 0),
        ({"ratio": 0.5}, 0),
        ({"ratio": None, "evidence": "", "verdict": "blind"}, 0),
        ({"ratio": 0.5, "is_alarming": True}, 1),
        ({"ratio": 0.5, "is_alarming": True}, 0),
        ({"ratio": 0.5, "verdict": "warning"}, 1),
        ({"ratio": 1.0, "evidence": "w1_sigma"}, 0),
        ({"ratio": 1.5, "evidence": "w1_sigma"}, 1),
        ({"ratio": 1.5, "evidence": "psi"}, 1),
    ]
    written: list[int] = []

    def note(_conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "INSERT INTO finding_day" in statement:
            written.append(cursor.rowcount)

    sa.event.listen(engine, "after_cursor_execute", note)
    with storage.transaction(engine) as conn:
        for place, (said, _) in enumerate(hours):
            at = start + place * HOUR_MS
            _hour(conn, 1, at, **said)
            rollup.refresh(conn, 1, "UTC", {"all": [at]}, following=["all"])
    sa.event.remove(engine, "after_cursor_execute", note)
    assert written == [rows for _, rows in hours]


def _hour(
    conn: sa.Connection,
    version_id: int,
    start_ms: int,
    *,
    ratio: float | None,
    evidence: str = "psi",
    verdict: str = "ok",
    is_alarming: bool = False,
) -> None:
    conn.execute(
        sa.insert(t.window).values(
            version_id=version_id, length="hour", start_ms=start_ms, segment="all",
            end_ms=start_ms + HOUR_MS, rows=100, rev_sum=1, revision=1, closed_by="watermark",
            reference_digest="d", monitor_revision=1, fold="{}", judged_ms=0,
        )
    )  # fmt: skip
    conn.execute(
        sa.insert(t.finding).values(
            version_id=version_id, length="hour", start_ms=start_ms, segment="all", feature="x",
            rows=100, n=100, psi=ratio, psi_limit=1.0, ratio=ratio, evidence=evidence,
            verdict=verdict, marks="", exceeds="", is_alarming=is_alarming,
        )
    )  # fmt: skip
