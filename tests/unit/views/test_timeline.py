"""What moved and when: columns, squares, versions and the window that is not over yet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from monitor.storage import engine as storage
from monitor.storage import rollup
from monitor.storage import schema as t
from monitor.storage.engine import insert_rows, reading, transaction
from monitor.storage.rollup import VERDICTS
from monitor.views.heat import NO_DATA, SOURCES, Arrangement, Squares, arranged
from monitor.views.scope import resolve
from monitor.views.timeline import (
    MAX_COLUMNS,
    Timeline,
    importance,
    timeline,
    windows_to_learn,
)
from monitor.windows.calendar import DAY_MS
from tests import seed_database
from tests.feature_world import FeatureWorld
from tests.seed_database import start_ms

HOUR_MS = 3_600_000
FIRST = seed_database.FIRST_DAY


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = storage.create(f"sqlite:///{tmp_path_factory.mktemp('timeline') / 'seed.db'}")
    storage.upgrade(engine)
    seed_database.seed(engine)
    yield engine
    engine.dispose()


def look(
    engine: Engine, model: str = "flight-delay", *, evidence: str = "worst", **wishes: Any
) -> Timeline:
    with reading(engine) as conn:
        scope, _ = resolve(conn, model, **wishes)
        return timeline(conn, scope, evidence=evidence)


def square(found: Timeline, feature: str, day: date) -> tuple[float, str | None, str | None, bool]:
    squares = found.squares
    row = squares.features.index(feature)
    column = int(np.searchsorted(found.columns.starts, start_ms(day)))
    source, verdict = squares.source[row, column], squares.verdict[row, column]
    return (
        float(squares.ratio[row, column]),
        SOURCES[source] if source >= 0 else None,
        VERDICTS[verdict] if verdict >= 0 else None,
        bool(squares.alarm[row, column]),
    )


# -- columns ----------------------------------------------------------------------------------


def test_every_local_day_has_a_column_though_the_clock_is_moved(
    seeded: Engine,
) -> None:
    columns = look(seeded).columns
    assert (columns.unit, len(columns)) == ("day", 90)
    assert columns.starts[0] == start_ms(date(2013, 2, 15))
    assert (columns.starts[1:] == columns.ends[:-1]).all()
    hours = (columns.ends - columns.starts) // HOUR_MS
    assert sorted(set(hours.tolist())) == [23, 24]


def test_a_day_without_a_window_is_an_empty_column(engine: Engine) -> None:
    seed_database.seed(engine, days=20)
    missing = start_ms(FIRST + timedelta(days=12))
    with transaction(engine) as conn:
        for table in (t.window, t.finding):
            conn.execute(sa.delete(table).where(table.c.start_ms == missing))
    found = look(engine)
    at = found.columns.starts.tolist().index(missing)
    assert (found.columns.rows[at], found.columns.windows[at]) == (0, 0)
    assert (found.squares.verdict[:, at] == NO_DATA).all()
    assert np.isnan(found.squares.ratio[:, at]).all()
    assert (found.columns.windows.sum(), len(found.columns)) == (19, 20)


def test_what_a_day_lacks_is_at_its_column(seeded: Engine) -> None:
    columns = look(seeded).columns
    ((at, causes),) = columns.incomplete.items()
    assert columns.starts[at] == start_ms(date(2013, 3, 3))
    assert causes == ("5,539 records were lost by retention (driftline.events 2)",)


def test_days_of_years_are_shown_by_the_week_with_the_worst_of_each(engine: Engine) -> None:
    days = MAX_COLUMNS + 200
    with transaction(engine) as conn:
        _model(conn)
        for n in range(days):
            at = n * DAY_MS
            _judged(conn, "day", at, ratio=9.0 if n == 100 else 0.1)
    found = look(engine, "m", from_ms=0)
    columns = found.columns
    assert columns.unit == "week"
    assert len(columns) <= MAX_COLUMNS
    assert columns.windows.sum() == days
    assert columns.rows.sum() == 100 * days
    assert float(found.squares.ratio.max()) == 9.0
    worst = int(found.squares.ratio[0].argmax())
    assert columns.starts[worst] <= 100 * DAY_MS < columns.ends[worst]
    assert VERDICTS[found.squares.verdict[0, worst]] == "critical"


@pytest.fixture
def hourly(engine: Engine) -> Engine:
    """Twenty days of hours; the fourth hour of the third day is bad by what goes missing."""
    with transaction(engine) as conn:
        _model(conn)
        starts = [n * HOUR_MS for n in range(20 * 24)]
        for n, at in enumerate(starts):
            is_bad = n == 2 * 24 + 3
            _judged(
                conn, "hour", at, ratio=4.0 if is_bad else 0.2, alarm=is_bad,
                evidence="missing" if is_bad else "psi", revision=2 if n == 7 else 1,
            )  # fmt: skip
        rollup.refresh(conn, 1, "UTC", {"all": starts})
    return engine


def test_hours_of_a_long_range_are_shown_by_the_day_from_the_rollup(hourly: Engine) -> None:
    found = look(hourly, "m", length="hour", from_ms=0)
    columns = found.columns
    assert (columns.unit, len(columns)) == ("day", 20)
    assert columns.rows.tolist() == [2400] * 20
    assert columns.windows.tolist() == [24] * 20
    assert columns.revised.tolist() == [True] + [False] * 19
    squares = found.squares
    assert squares.ratio[0].tolist() == pytest.approx([0.2, 0.2, 4.0] + [0.2] * 17)
    assert SOURCES[squares.source[0, 2]] == "missing"
    assert squares.alarm[0].tolist() == [False, False, True] + [False] * 17
    assert found.latest_ms == (20 * 24 - 1) * HOUR_MS


def test_hours_of_a_short_range_are_hours(hourly: Engine) -> None:
    found = look(hourly, "m", length="hour", from_ms=0, to_ms=14 * DAY_MS)
    assert (found.columns.unit, len(found.columns)) == ("hour", 14 * 24)
    assert int(found.squares.ratio[0].argmax()) == 2 * 24 + 3


def test_days_from_the_rollup_say_what_the_hours_say(hourly: Engine) -> None:
    """The rollup and the hours themselves agree, whichever statistic is asked for."""
    for evidence in ("worst", "psi", "missing"):
        by_day = look(hourly, "m", length="hour", from_ms=0, evidence=evidence)
        by_hour = look(hourly, "m", length="hour", from_ms=0, to_ms=14 * DAY_MS, evidence=evidence)
        hours = by_hour.squares.ratio[0].reshape(14, 24)
        assert np.nanmax(hours, axis=1) == pytest.approx(by_day.squares.ratio[0, :14])


# -- squares ----------------------------------------------------------------------------------


def test_a_square_holds_the_worst_evidence_over_its_limit_and_whether_it_alarmed(
    seeded: Engine,
) -> None:
    found = look(seeded)
    ratio, source, verdict, alarm = square(found, "temp", date(2013, 4, 14))
    assert (round(ratio, 3), source, verdict, alarm) == (6.0, "out_of_range", "critical", True)


def test_blind_squares_are_told_from_calm_ones_and_from_no_data(seeded: Engine) -> None:
    found = look(seeded)
    ratio, source, verdict, _ = square(found, "precip", date(2013, 4, 1))
    assert np.isnan(ratio)
    assert (source, verdict) == ("blind", "blind")
    assert square(found, "distance", date(2013, 4, 1))[2] == "ok"


@pytest.mark.parametrize("verdict", ["uncalibrated", "collecting", "insufficient_data"])
def test_what_could_not_be_judged_keeps_its_word(engine: Engine, verdict: str) -> None:
    with transaction(engine) as conn:
        _model(conn)
        _judged(conn, "day", 0, ratio=None, verdict=verdict)
    found = look(engine, "m")
    assert VERDICTS[found.squares.verdict[0, 0]] == verdict
    assert found.squares.source[0, 0] == NO_DATA
    assert found.calibration == {"insufficient_data": "judged"}.get(verdict, verdict)


def test_one_statistic_alone_is_shown_over_its_own_limit(seeded: Engine) -> None:
    found = look(seeded, evidence="missing")
    ratio, source, _, _ = square(found, "temp", date(2013, 4, 14))
    assert ratio == pytest.approx(0.004 / 0.031)
    assert source == "missing"
    psi = look(seeded, evidence="psi")
    assert np.isnan(square(psi, "precip", date(2013, 4, 1))[0])
    assert square(psi, "precip", date(2013, 4, 1))[1] == "blind"


def test_the_latest_findings_are_those_of_the_newest_window_with_any(engine: Engine) -> None:
    seed_database.seed(engine, days=20)
    last = start_ms(FIRST + timedelta(days=19))
    with transaction(engine) as conn:  # a day with too few rows has a window alone
        conn.execute(sa.delete(t.finding).where(t.finding.c.start_ms == last))
    found = look(engine)
    assert found.latest_ms == start_ms(FIRST + timedelta(days=18))
    assert set(found.latest) == set(seed_database.FEATURES)
    assert found.latest["temp"]["psi_limit"] is not None


# -- the rows that are shown ------------------------------------------------------------------


def many(n: int, over: dict[int, float]) -> Squares:
    names = ("prediction", *(f"f{i:03}" for i in range(n)))
    ratio = np.full((n + 1, 10), 0.1, np.float32)
    for i, value in over.items():
        ratio[i + 1, 4] = value
    shape = ratio.shape
    return Squares(
        names, ratio, np.zeros(shape, np.int8), np.full(shape, 4, np.int8), np.zeros(shape, bool)
    )


def test_of_many_features_only_those_that_came_near_their_limit_are_shown() -> None:
    squares = many(120, {5: 0.6, 70: 3.0, 90: 0.49})
    heat = arranged(squares, {"f100"}, Arrangement())
    assert heat.features == ("prediction", "f100", "f070", "f005")
    assert (heat.pinned, heat.total, heat.quiet, heat.pages) == (1, 121, 117, 1)


def test_all_of_many_are_paged_by_fifty_under_the_predictions() -> None:
    squares = many(120, {70: 3.0})
    pages = [arranged(squares, (), Arrangement(show_all=True, page=page)) for page in (1, 2, 3, 9)]
    assert [len(heat.features) for heat in pages] == [51, 51, 21, 21]
    assert {heat.features[0] for heat in pages} == {"prediction"}
    shown = [name for heat in pages[:3] for name in heat.features[1:]]
    assert sorted(shown) == list(squares.features[1:])
    assert shown[0] == "f070"
    assert (pages[0].pages, pages[3].page) == (3, 3)


def test_a_search_finds_calm_features_too() -> None:
    heat = arranged(many(120, {}), (), Arrangement(q="F11"))
    assert heat.features == tuple(f"f11{n}" for n in range(10))
    assert (heat.quiet, heat.total) == (0, 10)
    assert arranged(many(120, {}), (), Arrangement(q="nothing")).features == ()


def test_rows_go_by_name_or_by_importance_when_asked() -> None:
    squares = many(4, {2: 3.0})
    by_name = arranged(squares, (), Arrangement(sort="name"))
    assert by_name.features == ("prediction", "f000", "f001", "f002", "f003")
    weights = {"f003": 0.5, "f000": 0.2}
    heat = arranged(squares, (), Arrangement(sort="importance", importance=weights))
    assert heat.features == ("prediction", "f003", "f000", "f002", "f001")


def test_what_an_incident_stands_on_comes_before_what_was_worse_once(seeded: Engine) -> None:
    found = look(seeded)
    heat = arranged(found.squares, found.standing, Arrangement())
    assert heat.features[:4] == ("prediction", "prediction.score", "dest", "temp")
    assert heat.pinned == 2


# -- incidents, versions, what is not over yet ------------------------------------------------


def test_drifted_counts_features_and_no_predictions(seeded: Engine) -> None:
    found = look(seeded)
    by_day = dict(zip(found.columns.starts.tolist(), found.drifted.tolist(), strict=True))
    assert by_day[start_ms(date(2013, 4, 8))] == 1  # temp; the score is no feature
    assert by_day[start_ms(date(2013, 5, 15))] == 2


def test_an_open_incident_is_told_whatever_range_is_looked_at(seeded: Engine) -> None:
    found = look(seeded, to_ms=start_ms(date(2013, 4, 1)))
    assert {i.feature for i in found.firing} == {"temp", "dest"}
    assert found.health == "drifting"


def test_open_incidents_of_other_segments_are_named_apart(engine: Engine) -> None:
    seed_database.seed(engine)
    with transaction(engine) as conn:
        conn.execute(
            sa.insert(t.incident).values(
                version_id=1, segment="origin=JFK", feature="temp", kind="distribution",
                severity="critical", state="firing", muted=False, first_window_ms=0, opened_ms=0,
                told_ms=0, episodes="[]", summary="s", evidence="{}",
            )
        )  # fmt: skip
    found = look(engine)
    assert [i.segment for i in found.elsewhere] == ["origin=JFK"]
    assert {i.segment for i in found.incidents} == {"all"}
    assert found.health == "drifting"  # a segment does not make the model critical
    there = look(engine, segment="origin=JFK")
    assert {i.segment for i in there.elsewhere} == {"all"}
    assert [i.number for i in there.firing] == [i.number for i in found.elsewhere]


def test_versions_and_their_references_are_spans_over_the_windows_they_judged(
    engine: Engine,
) -> None:
    seed_database.seed(engine, days=20)
    change = start_ms(FIRST + timedelta(days=10))
    after = start_ms(FIRST + timedelta(days=20))
    with transaction(engine) as conn:
        conn.execute(
            sa.insert(t.reference).values(
                digest="b" * 64, gridset="9" * 64, rows=5, warnings="[]", body=b"", created_ms=0
            )
        )
        conn.execute(
            sa.insert(t.binding).values(
                version_id=1, reference_digest="b" * 64, effective_from_ms=change,
                registry_revision=2, created_ms=0,
            )
        )  # fmt: skip
        conn.execute(
            sa.insert(t.model_version).values(
                id=5, model_id=1, name="2", created_ms=seed_database.NOW_MS, replaces="1"
            )
        )
        conn.execute(
            sa.insert(t.binding).values(
                version_id=5, reference_digest="b" * 64, effective_from_ms=0,
                registry_revision=3, created_ms=0,
            )
        )  # fmt: skip
        conn.execute(
            sa.insert(t.window).values(**_window("day", after, version_id=5, digest="b" * 64))
        )
    found = look(engine, version="1")
    spans = [
        (s.version, s.is_scoped, s.from_ms, s.to_ms, s.reference and s.reference.digest[:1])
        for s in found.lived
    ]
    assert spans == [
        ("1", True, start_ms(FIRST), change, "c"),
        ("1", True, change, after, "b"),
        ("2", False, after, after + DAY_MS, "b"),
    ]


def test_the_window_that_is_not_over_says_how_full_it_is_and_when_it_closes(engine: Engine) -> None:
    seed_database.seed(engine, days=20)
    today = start_ms(FIRST + timedelta(days=20))
    with transaction(engine) as conn:
        for hour, segment in ((0, "all"), (1, "all"), (1, "origin=JFK")):
            for partition in (0, 1):
                conn.execute(
                    sa.insert(t.pane).values(
                        version_id=1, gridset="9" * 64, start_ms=today + hour * HOUR_MS,
                        segment=segment, stream_id=1, partition=partition, rev=1, rows=10, body=b"",
                    )
                )  # fmt: skip
    partial = look(engine).partial
    assert partial is not None
    assert (partial.start_ms, partial.end_ms) == (today, today + DAY_MS)
    assert partial.rows == 40
    assert partial.share == pytest.approx(4 / 24)
    assert partial.closes_ms == today + DAY_MS + 600_000
    assert look(engine, segment="origin=JFK").partial == replace(partial, rows=20)


def test_a_model_that_collects_has_no_columns_and_no_findings(seeded: Engine) -> None:
    found = look(seeded, "gate-hold")
    assert (len(found.columns), found.squares.features, found.latest) == (0, (), {})
    assert (found.health, found.calibration, found.partial) == ("collecting", "waiting", None)
    assert arranged(found.squares, (), Arrangement()).features == ()


def test_a_length_that_its_reference_did_not_teach_waits_for_eight_windows(engine: Engine) -> None:
    FeatureWorld(engine)  # four weeks of reference: many days, and few weeks
    with reading(engine) as conn:
        model = conn.execute(sa.select(t.model.c.name)).scalar_one()
        waits = {}
        for length in ("hour", "day", "week"):
            scope, _ = resolve(conn, model, length=length)
            waits[length] = windows_to_learn(conn, scope)
        assert importance(conn, scope) == {"x": 0.7, "c": 0.3}
    assert waits == {"hour": 0, "day": 0, "week": 8}


# -- how it is read ---------------------------------------------------------------------------


def plans(engine: Engine, **wishes: Any) -> list[tuple[str, list[str]]]:
    """Return every statement of a look with SQLite's plan of it."""
    said: list[tuple[str, Any]] = []

    def listen(*args: Any) -> None:
        said.append((args[2], args[3]))

    sa.event.listen(engine, "before_cursor_execute", listen)
    look(engine, "m", **wishes)
    sa.event.remove(engine, "before_cursor_execute", listen)
    with engine.connect() as conn:
        return [
            (
                statement,
                [row[3] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)],
            )
            for statement, values in said
            if statement.startswith(("SELECT", "WITH"))
        ]


@pytest.mark.parametrize("length", ["day", "hour"])
def test_the_rows_of_other_segments_are_stepped_over(engine: Engine, length: str) -> None:
    with transaction(engine) as conn:
        _model(conn)
        step = DAY_MS if length == "day" else HOUR_MS
        starts = [n * step for n in range(30 * (DAY_MS // step))]
        for segment in ("all", "s=1", "s=2"):
            for at in starts:
                _judged(conn, length, at, ratio=0.1, segment=segment)
            if length == "hour":
                rollup.refresh(conn, 1, "UTC", {segment: starts})
    whole = "version_id=? AND length=? AND start_ms=? AND segment=?"
    seen = plans(engine, length=length, from_ms=0)
    squares = [plan for text, plan in seen if "ratio" in text and "evidence" in text]
    assert len(squares) >= 1
    if length == "day":
        assert f"SEARCH finding USING PRIMARY KEY ({whole})" in squares[0]
    else:
        key = "version_id=? AND segment=? AND day_ms>? AND day_ms<?"
        assert squares[0] == [f"SEARCH finding_day USING PRIMARY KEY ({key})"]
    (volumes,) = [plan for text, plan in seen if "window.rows" in text]
    assert any(f"window USING PRIMARY KEY ({whole})" in step for step in volumes)
    assert any("ix_window_segment" in step for step in volumes)


def test_the_number_of_statements_is_fixed(engine: Engine) -> None:
    with transaction(engine) as conn:
        _model(conn)
        _judged(conn, "day", 0, ratio=0.1)
    few = len(plans(engine))
    with transaction(engine) as conn:
        for day in range(1, 40):
            for feature in ("a", "b", "c"):
                _judged(conn, "day", day * DAY_MS, ratio=0.1, feature=feature)
        for n in range(2, 9):
            conn.execute(
                sa.insert(t.model_version).values(id=n, model_id=1, name=f"v{n}", created_ms=-n)
            )
            conn.execute(
                sa.insert(t.binding).values(
                    version_id=n, reference_digest="d", effective_from_ms=0, registry_revision=1,
                    created_ms=0,
                )
            )  # fmt: skip
            conn.execute(sa.insert(t.window).values(**_window("day", 0, version_id=n)))
    assert len(plans(engine)) == few


# -- rows -------------------------------------------------------------------------------------


def _model(conn: sa.Connection) -> None:
    conn.execute(sa.insert(t.model).values(id=1, name="m", timezone="UTC", created_ms=0))
    conn.execute(sa.insert(t.model_version).values(id=1, model_id=1, name="1", created_ms=0))


def _window(
    length: str, at: int, *, version_id: int = 1, segment: str = "all", revision: int = 1,
    digest: str = "d",
) -> dict[str, Any]:  # fmt: skip
    return {
        "version_id": version_id, "length": length, "start_ms": at, "segment": segment,
        "end_ms": at + (DAY_MS if length == "day" else HOUR_MS), "rows": 100, "rev_sum": 1,
        "revision": revision, "closed_by": "watermark", "incomplete": None,
        "reference_digest": digest, "monitor_revision": 1, "fold": json.dumps({}), "judged_ms": 0,
    }  # fmt: skip


def _judged(
    conn: sa.Connection,
    length: str,
    at: int,
    *,
    ratio: float | None,
    feature: str = "x",
    segment: str = "all",
    evidence: str = "psi",
    verdict: str | None = None,
    alarm: bool = False,
    revision: int = 1,
) -> None:
    if feature in ("x", "a"):
        insert_rows(conn, t.window, [_window(length, at, segment=segment, revision=revision)])
    row: dict[str, Any] = {
        "version_id": 1, "length": length, "start_ms": at, "segment": segment, "feature": feature,
        "rows": 100, "n": 100, "psi": 0.05, "psi_limit": 1.0, "missing": 0.0,
        "missing_excess": 0.0, "missing_limit": 0.5, "ratio": ratio,
        "evidence": None if ratio is None else evidence, "marks": "", "exceeds": "",
        "verdict": verdict or ("critical" if ratio is not None and ratio > 1 else "ok"),
        "is_alarming": alarm,
    }  # fmt: skip
    if ratio is not None:
        row |= {"psi": ratio} if evidence == "psi" else {"missing_excess": -ratio * 0.5}
    insert_rows(conn, t.finding, [row])
