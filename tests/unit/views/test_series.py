"""A feature through time, on windows that the evaluator judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from dashboard.sentences import evidence
from dashboard.words import two
from driftline.stats.rule import FixedLimit
from monitor.storage import engine as storage
from monitor.storage import schema as t
from monitor.storage.engine import reading, transaction
from monitor.storage.models import set_monitor
from monitor.views import series as views
from monitor.views.heat import SOURCES
from monitor.views.history import history as read_history
from monitor.views.scope import NoSuch, Scope, resolve
from monitor.views.timeline import timeline
from monitor.windows.calendar import DAY_MS
from tests.feature_world import DRIFT_MS, START_MS, FeatureWorld, Statements, drifted, reference


@pytest.fixture
def world(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureWorld]:
    made = drifted(tmp_path_factory.getbasetemp(), tmp_path)
    yield made
    made.engine.dispose()


def scope_of(conn: sa.Connection, **asked: object) -> Scope:
    scope, _ = resolve(conn, "m", **asked)  # type: ignore[arg-type]
    return scope


def shown(world: FeatureWorld, feature: str, stat: str | None = None, **asked: object):  # type: ignore[no-untyped-def]
    with reading(world.engine) as conn:
        return views.series(conn, scope_of(conn, **asked), feature, stat)


def test_a_window_has_its_value_its_bound_and_the_limit_of_its_rows(world: FeatureWorld) -> None:
    found = shown(world, "x", "psi")
    (run,) = found.runs
    assert len(run.points) == 14
    calm, moved = run.points[3], run.points[11]
    assert calm.value is not None and calm.limit is not None and calm.value < calm.limit
    assert not calm.is_over and not calm.is_alarming
    assert moved.is_over and moved.value > moved.critical > moved.limit  # type: ignore[operator]
    assert 0 < moved.low < moved.value == moved.high  # type: ignore[operator]
    assert run.usual is None


def test_the_first_window_over_its_limit_is_no_alarm_and_the_second_is(world: FeatureWorld) -> None:
    points = shown(world, "x", "psi").points
    assert [(p.is_over, p.is_alarming) for p in points[9:12]] == [
        (False, False), (True, False), (True, True),
    ]  # fmt: skip


def test_an_alarm_belongs_to_the_statistic_that_raised_it(world: FeatureWorld) -> None:
    assert not any(point.is_alarming for point in shown(world, "c", "type_error").points)
    assert any(point.is_alarming for point in shown(world, "c", "unseen").points)


def test_alarms_by_statistic_add_up_to_what_the_finding_stores(world: FeatureWorld) -> None:
    with reading(world.engine) as conn:
        history = read_history(conn, scope_of(conn), "x")
    by_window = {window.start_ms: False for window in history.windows}
    for statistic in history.statistics:
        for point in views.series_of(history, statistic).points:
            by_window[point.start_ms] |= point.is_alarming
    stored = {w.start_ms: bool(w.found["is_alarming"]) for w in history.windows if w.found}
    assert by_window == stored


def test_a_rate_is_drawn_on_its_own_scale_with_the_tolerance_on_the_reference(
    world: FeatureWorld,
) -> None:
    found = shown(world, "zeros", "missing")
    last = found.points[-1]
    assert found.runs[0].usual == 0.0
    assert last.value == pytest.approx(0.1, abs=0.01)
    assert last.low < last.value and last.limit < last.low  # type: ignore[operator]


def test_ks_is_an_interval_and_has_no_limit(world: FeatureWorld) -> None:
    for point in shown(world, "x", "ks").points:
        assert point.low == point.value <= point.high  # type: ignore[operator]
        assert point.limit is None and not point.is_over


def test_what_fired_is_shown_first(world: FeatureWorld) -> None:
    assert shown(world, "x").standing == "psi"
    assert shown(world, "c").standing == "unseen"
    assert shown(world, "zeros").standing == "missing"
    assert shown(world, "count").standing == "psi"


def test_what_fired_by_a_fixed_limit_is_shown_first_whatever_statistic_it_is_of(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    world = drifted(tmp_path_factory.getbasetemp(), tmp_path, is_judged=False)
    limits = (FixedLimit("count", "ks", 0.001), FixedLimit("flag", "tv", 0.0001))
    with transaction(world.engine) as conn:
        set_monitor(conn, "m", {"limits": limits}, actor="test", now_ms=world.now_ms)
    world.judge()
    assert shown(world, "count").standing == "ks"
    assert shown(world, "flag").standing == "tv"
    with reading(world.engine) as conn:
        made = timeline(conn, scope_of(conn))
    squares = made.squares
    newest = {
        name: SOURCES[squares.source[squares.features.index(name), -1]]
        for name in ("count", "flag")
    }
    assert newest == {"count": "ks", "flag": "tv"}
    # Beside the heatmap stands the value that is held, and the limit.
    told, moved = (
        evidence(made.latest["flag"]),
        shown(world, "flag", "tv").runs[-1].points[-1].value,
    )
    assert moved is not None and moved > 0
    assert (told.value, told.limit) == (two(moved), two(0.0001))
    assert told.ratio == pytest.approx(moved / 0.0001)
    world.engine.dispose()


def test_a_feature_offers_the_statistics_it_has(world: FeatureWorld) -> None:
    assert shown(world, "x").statistics == (
        "psi", "ks", "w1_sigma", "js", "hellinger", "tv", "linf", "missing", "type_error",
        "out_of_range", "infinite", "zero", "negative", "mean", "mean_shift", "sd",
    )  # fmt: skip
    assert shown(world, "c").statistics == (
        "psi", "js", "hellinger", "tv", "linf", "chi_square", "missing", "type_error", "unseen",
    )  # fmt: skip
    assert "differs" in shown(world, "same").statistics
    assert "psi" not in shown(world, "same").statistics
    assert shown(world, "x", "unseen").statistic == "psi"


def test_hours_too_thin_for_psi_show_a_rate(world: FeatureWorld) -> None:
    found = shown(world, "count", length="hour")
    assert found.statistic == "missing"
    assert all(p.value is None for p in shown(world, "count", "psi", length="hour").points)


def test_a_name_that_is_no_feature_is_answered_with_the_nearest(world: FeatureWorld) -> None:
    with pytest.raises(NoSuch) as raised:
        shown(world, "cuont")
    assert raised.value.kind == "feature"
    assert raised.value.nearest[0] == "count"


def test_another_version_breaks_the_line_and_has_its_own_reference(world: FeatureWorld) -> None:
    second = reference(seed=3, shift=12.0)
    world.register(second, "2")
    world.write(DRIFT_MS + 4 * DAY_MS, 24 * 3, seed=9, shift=12.0, reference=second, version_id=2)
    world.judge()
    found = shown(world, "x", "psi", from_ms=START_MS, to_ms=START_MS + 30 * DAY_MS)
    assert [(run.version, len(run.points)) for run in found.runs] == [("1", 14), ("2", 3)]
    assert found.runs[0].reference_digest != found.runs[1].reference_digest
    assert found.beside == ()
    assert not any(point.is_over for point in found.runs[1].points)


def test_windows_that_two_versions_share_are_the_chosen_versions(world: FeatureWorld) -> None:
    second = reference(seed=3)
    world.register(second, "2")
    world.write(START_MS + 5 * DAY_MS, 24 * 3, reference=second, version_id=2)
    world.judge()
    asked = {"from_ms": START_MS, "to_ms": START_MS + 30 * DAY_MS}
    old = shown(world, "x", "psi", version="1", **asked)
    assert [(run.version, len(run.points)) for run in old.runs] == [("1", 14)]
    assert old.beside == ("2",)
    new = shown(world, "x", "psi", version="2", **asked)
    assert [(run.version, len(run.points)) for run in new.runs] == [("1", 5), ("2", 3), ("1", 6)]


def test_a_pause_breaks_the_line(world: FeatureWorld) -> None:
    world.write(DRIFT_MS + 5 * DAY_MS, 24 * 2, seed=9)
    world.judge()
    (run,) = shown(world, "x", "psi").runs
    assert run.pauses == (14,)
    (hours,) = shown(world, "x", "missing", length="hour").runs
    assert len(hours.pauses) == 1


def test_the_worst_features_come_first(world: FeatureWorld) -> None:
    with reading(world.engine) as conn:
        ranking = read_history(conn, scope_of(conn), "x").ranking
    assert {name for name, _ in ranking[:3]} == {"x", "c", "zeros"}
    assert {name for name, _ in ranking} == set(world.reference.gridset.names())


def test_the_database_is_asked_a_fixed_number_of_times(world: FeatureWorld) -> None:
    with reading(world.engine) as conn:
        scope = scope_of(conn)
        read_history(conn, scope, "x")
        with Statements(world.engine) as short:
            read_history(conn, replace(scope, from_ms=DRIFT_MS), "x")
        with Statements(world.engine) as long:
            read_history(conn, scope, "c")
    assert len(short) == len(long) == 4


def test_a_long_range_is_thinned_and_keeps_its_peaks_and_its_alarms(world: FeatureWorld) -> None:
    whole = shown(world, "x", "psi").points
    point = whole[0]
    draw = np.random.default_rng(0)
    many = [
        replace(point, start_ms=i, value=float(v), is_over=False)
        for i, v in enumerate(draw.random(9_000))
    ]
    many[4_321] = replace(many[4_321], value=9.0)
    many[4_400] = replace(many[4_400], value=0.5, is_alarming=True)
    kept = views.thinned(many, 1_500)
    assert len(kept) <= 1_500
    assert many[4_321] in kept and many[4_400] in kept
    assert [p.start_ms for p in kept] == sorted(p.start_ms for p in kept)


def test_of_more_alarms_than_pixels_every_stretch_keeps_its_ends(world: FeatureWorld) -> None:
    point = shown(world, "x", "psi").points[0]
    many = [replace(point, start_ms=i, is_alarming=100 <= i < 4_000) for i in range(9_000)]
    kept = views.thinned(many, 1_500)
    alarming = [p.start_ms for p in kept if p.is_alarming]
    assert len(kept) <= 1_500 and (alarming[0], alarming[-1]) == (100, 3_999)


def test_a_window_without_a_finding_is_there_with_its_rows(world: FeatureWorld) -> None:
    with storage.transaction(world.engine) as conn:
        conn.execute(
            sa.delete(t.finding).where(
                t.finding.c.length == "day", t.finding.c.start_ms == DRIFT_MS
            )
        )
    point = shown(world, "x", "psi").points[10]
    assert point.value is None and point.verdict is None and point.rows == 720
