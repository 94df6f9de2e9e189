"""Two sides of a feature, on panes that were counted for real."""

from __future__ import annotations

import doctest
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from driftline.stats.calibration import from_reference
from driftline.stats.evidence import Judge
from driftline.stats.lengths import HOUR_MS
from driftline.stats.reference import build_reference
from driftline.stats.season import when
from monitor.storage import reads
from monitor.storage import schema as t
from monitor.storage.engine import reading
from monitor.views import bars as bar_views
from monitor.views import distribution as views
from monitor.views.compared import Distribution, Incomparable
from monitor.views.scope import NoSuch
from monitor.windows.calendar import DAY_MS
from tests.feature_world import DRIFT_MS, START_MS, FeatureWorld, Statements, drifted, reference

LAST = (DRIFT_MS + 3 * DAY_MS, DRIFT_MS + 4 * DAY_MS)
CALM = (START_MS + 2 * DAY_MS, START_MS + 3 * DAY_MS)


@pytest.fixture
def world(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureWorld]:
    made = drifted(tmp_path_factory.getbasetemp(), tmp_path, is_judged=False)
    yield made
    made.engine.dispose()


def shown(
    world: FeatureWorld, feature: str, window: tuple[int, int] = LAST, **asked: object
) -> Distribution:
    with reading(world.engine) as conn:
        found = views.distribution(
            conn,
            world.found("1"),
            feature,
            "all",
            window,
            length="day",
            **asked,  # type: ignore[arg-type]
        )
    assert isinstance(found, Distribution)
    return found


def test_an_hour_is_shown_against_the_hours_that_it_was_judged_by() -> None:
    starts = START_MS + HOUR_MS * np.arange(28 * 24)
    times = np.repeat(starts, 120) + np.tile(np.arange(120), len(starts))
    hour = (times // HOUR_MS) % 24
    x = np.random.default_rng(1).normal(np.sin(2 * np.pi * hour / 24))
    own = build_reference(
        pd.DataFrame({"at": pd.to_datetime(times, unit="ms", utc=True), "x": x}), timestamp="at"
    )
    judge = Judge(own, "all", "hour", from_reference(own, "all", "hour"))
    for start in starts[:24].tolist():
        at = when(np.array([start]), "UTC")
        words, counts = views._season(own, "all", 0, "hour", at)
        assert words == f"{start // HOUR_MS % 24}h hour" and counts is not None
        by_group = np.bincount(own.gridset.features[0].groups, weights=counts)
        assert by_group.tolist() == judge.compared(at)[0].tolist()
    assert views._season(own, "all", 0, "week", at) == (None, None)


def test_an_open_vocabulary_is_shown_against_the_new_values_that_were_to_be_expected() -> None:
    draw = np.random.default_rng(1)
    n = 30 * 300
    at = pd.date_range("2026-01-01", periods=n, freq="288s", tz="UTC")
    towns = [f"t{i}" for i in np.minimum(draw.zipf(1.7, n), 10**6)]
    own = build_reference(pd.DataFrame({"at": at, "town": towns}), timestamp="at")
    judge = Judge(own, "all", "day", from_reference(own, "all", "day"))
    day = when(np.array([START_MS]), "UTC")
    words, counts = views._season(own, "all", 0, "day", day)
    assert words is None
    assert counts is not None
    by_group = np.bincount(own.gridset.features[0].groups, weights=counts)
    assert by_group.tolist() == judge.compared(day)[0].tolist()
    assert by_group[-1] > 0


def test_it_says_of_every_window_what_was_judged_of_it(world: FeatureWorld) -> None:
    world.judge()
    version = world.found("1")
    compared = 0
    with reading(world.engine) as conn:
        for length, from_ms in (("day", START_MS), ("day", LAST[0]), ("week", START_MS)):
            (window,) = reads.windows(
                conn, version.id, length=length, from_ms=from_ms, to_ms=from_ms + 1
            )
            for stored in reads.findings(
                conn, version.id, length=length, from_ms=from_ms, to_ms=from_ms + 1
            ):
                found = views.distribution(
                    conn, version, stored["feature"], "all", (window.start_ms, window.end_ms),
                    length=length,
                )  # fmt: skip
                assert isinstance(found, Distribution)
                if stored["psi"] is not None:
                    compared += 1
                    assert found.psi == stored["psi"]
                if stored["ks_low"] is not None:
                    assert (found.ks_low, found.ks_high) == (stored["ks_low"], stored["ks_high"])
                for rate in ("missing", "type_error", "unseen", "out_of_range"):
                    assert getattr(found.current, rate) == stored[rate]
    assert compared >= 12


def test_a_day_of_added_hours_is_shown_and_a_part_of_it_is_said_not_to_be(
    world: FeatureWorld,
) -> None:
    before = shown(world, "x", CALM)
    assert world.add_up(CALM[0]) == 24
    assert shown(world, "x", CALM) == before
    assert before.notes == () and before.current.rows == 720

    hour = (CALM[0] + 5 * HOUR_MS, CALM[0] + 6 * HOUR_MS)
    empty = shown(world, "x", hour)
    assert empty.is_empty and empty.current.rows == 0
    assert empty.notes == (views.ADDED_UP,)
    # A range that cuts the day has the whole days in it, and is told once.
    cut = shown(world, "x", (hour[0], CALM[1] + DAY_MS))
    assert cut.current.rows == 720
    assert cut.notes == (views.ADDED_UP,)
    both = shown(world, "x", hour, against=(hour[0] + HOUR_MS, hour[1] + HOUR_MS))
    assert both.notes == (views.ADDED_UP,)
    against = shown(world, "x", LAST, against=hour)
    assert against.current.rows == 720 and against.reference.rows == 0
    assert against.notes == (views.ADDED_UP,)
    # Of a day beside it nothing is said.
    assert shown(world, "x", (CALM[1] + HOUR_MS, CALM[1] + 2 * HOUR_MS)).notes == ()


def test_groups_add_up_and_say_where_it_moved(world: FeatureWorld) -> None:
    found = shown(world, "x")
    assert sum(group.psi for group in found.groups) == pytest.approx(found.psi)
    assert sum(group.psi_share for group in found.groups) == pytest.approx(1)
    assert sum(group.current for group in found.groups) == found.current.values == 720
    assert found.groups[-1].is_more and not found.groups[0].is_more
    assert found.groups[-1].high is None and found.groups[0].low is None
    assert found.groups[-1].words.startswith("values above ")
    assert all(a.high == b.low for a, b in zip(found.groups, found.groups[1:], strict=False))


def test_quantiles_hold_the_true_ones_and_the_mean_is_exact(world: FeatureWorld) -> None:
    from tests.feature_world import frame

    rows = frame(DRIFT_MS, 24 * 4, 8)["x"].to_numpy()[-720:] + 12.0
    side = shown(world, "x").current
    assert side.mean == pytest.approx(rows.mean(), abs=1e-4)
    for quantile, share in ((side.p5, 0.05), (side.median, 0.5), (side.p95, 0.95)):
        assert quantile is not None
        assert (
            quantile.low - 1e-6 <= np.quantile(rows, share, method="lower") <= quantile.high + 1e-4
        )
        assert quantile.low <= quantile.value <= quantile.high
    assert (side.low, side.high) == pytest.approx((rows.min(), rows.max()), rel=1e-6)


def test_values_outside_the_reference_are_counted_by_side(world: FeatureWorld) -> None:
    side = shown(world, "x").current
    assert side.below == 0 and side.above > 0
    assert side.out_of_range == pytest.approx(side.above / 720, abs=1e-8)


def test_categories_have_their_share_and_the_new_ones_their_first_sight(
    world: FeatureWorld,
) -> None:
    found = shown(world, "c")
    rows = {level.name: level for level in found.levels}
    assert rows["unseen"].kind == "unseen" and rows["unseen"].reference == 0
    assert rows["unseen"].points == pytest.approx(0.05, abs=0.01)
    assert rows["unseen"].psi_share == max(
        level.psi_share for level in found.levels if level.psi_share is not None
    )
    assert rows["other"].kind == "other"
    (new,) = found.new_values
    assert (new.value, new.first_ms) == ("new", DRIFT_MS)
    assert found.chi_square is not None and found.ks_low is None and found.bins is None


def test_levels_that_the_range_lacks_have_vanished(world: FeatureWorld) -> None:
    later = DRIFT_MS + 8 * DAY_MS
    world.write(later, 24, unseen=1.0)
    found = shown(world, "c", (later, later + DAY_MS))
    assert found.vanished == ("a", "b", "c")


def test_booleans_are_two_categories(world: FeatureWorld) -> None:
    assert [level.name for level in shown(world, "flag").levels] == ["false", "true", "unseen"]


def test_a_constant_reference_says_which_share_differs(world: FeatureWorld) -> None:
    found = shown(world, "same")
    assert found.constant == "7" and found.psi is None
    assert found.differs == pytest.approx(0.03, abs=0.005)
    assert shown(world, "x").constant is None


def test_a_range_without_panes_has_no_distance_and_no_value(world: FeatureWorld) -> None:
    found = shown(world, "x", (DRIFT_MS + 20 * DAY_MS, DRIFT_MS + 21 * DAY_MS))
    assert found.is_empty and found.psi is None and found.groups == ()
    assert found.current.median is None and found.current.missing is None


def test_any_two_ranges_are_compared(world: FeatureWorld) -> None:
    found = shown(world, "x", LAST, against=CALM)
    assert found.reference.from_ms == CALM[0] and found.reference.rows == 720
    assert found.psi is not None and found.psi > 0.5
    same = shown(world, "x", CALM, against=CALM)
    assert same.psi == 0 and same.ks_low == 0


def test_a_long_range_is_the_sum_of_its_days(world: FeatureWorld) -> None:
    days = [
        shown(world, "x", (START_MS + i * DAY_MS, START_MS + (i + 1) * DAY_MS)) for i in range(3)
    ]
    whole = shown(world, "x", (START_MS, START_MS + 3 * DAY_MS))
    assert whole.bins is not None
    for place, count in enumerate(whole.bins.current):
        assert count == sum(day.bins.current[place] for day in days if day.bins)


def test_a_range_of_too_many_panes_is_cut_and_says_so(world: FeatureWorld) -> None:
    with reading(world.engine) as conn:
        added = reads.pane_sum(
            conn, 1, world.reference.gridset, segment="all", from_ms=START_MS,
            to_ms=START_MS + DAY_MS, at_most=5,
        )  # fmt: skip
    assert added.panes == 5 and added.from_ms == START_MS + 19 * 3_600_000
    assert added.profile.rows == 5 * 30


def test_references_on_other_bins_are_not_compared(world: FeatureWorld) -> None:
    other = reference(seed=3, shift=12.0)
    world.register(other, "2")
    with reading(world.engine) as conn:
        versions = [world.found("1"), world.found("2")]
        found = views.distribution(conn, versions[0], "x", "all", LAST, "2", others=versions)
        same = views.distribution(conn, versions[0], "flag", "all", LAST, "2", others=versions)
    assert isinstance(found, Incomparable)
    assert found.left != found.right and "another grid" in found.reason
    # Booleans have the same two bins in every reference.
    assert isinstance(same, Distribution) and same.reference.name == "2"


def test_unknown_names_are_answered_with_the_nearest(world: FeatureWorld) -> None:
    with reading(world.engine) as conn:
        with pytest.raises(NoSuch) as feature:
            views.distribution(conn, world.found("1"), "cuont", "all", LAST)
        with pytest.raises(NoSuch) as version:
            views.distribution(conn, world.found("1"), "x", "all", LAST, "99")
    assert feature.value.nearest[0] == "count" and version.value.kind == "version"


def test_a_segment_without_a_reference_of_its_own_says_so(world: FeatureWorld) -> None:
    with reading(world.engine) as conn:
        found = views.distribution(conn, world.found("1"), "x", "c=zz", LAST)
    assert isinstance(found, Distribution)
    assert any("too few rows of c=zz" in note for note in found.notes)


def test_the_database_is_asked_a_fixed_number_of_times(world: FeatureWorld) -> None:
    shown(world, "c")
    version = world.found("1")
    with reading(world.engine) as conn:
        counts = []
        for window in (CALM, (START_MS, START_MS + 14 * DAY_MS)):
            for feature, against in (("x", None), ("c", None), ("c", CALM)):
                with Statements(world.engine) as asked:
                    views.distribution(conn, version, feature, "all", window, against)
                counts.append(len(asked))
    assert counts == [1, 2, 3, 1, 2, 3]


def test_a_pane_of_another_partition_is_added(world: FeatureWorld) -> None:
    before = shown(world, "x", CALM).current.rows
    with world.engine.begin() as conn:
        row = conn.execute(sa.select(t.pane).where(t.pane.c.start_ms == CALM[0])).one()
        conn.execute(sa.insert(t.pane).values(**{**row._mapping, "partition": 1}))
    assert shown(world, "x", CALM).current.rows == before + 30


def test_bars_hold_every_value_and_the_ends_are_open(world: FeatureWorld) -> None:
    for feature in ("x", "zeros", "count"):
        found = shown(world, feature)
        made = bar_views.bars(found)
        assert len(made.bars) <= bar_views.MAX_BARS
        assert sum(bar.reference for bar in made.bars) == pytest.approx(1)
        assert sum(bar.current for bar in made.bars) == pytest.approx(1)
        inner = [bar for bar in made.bars if bar.low is not None and bar.high is not None]
        widths = [bar.high - bar.low for bar in inner]  # type: ignore[operator]
        assert widths == pytest.approx([widths[0]] * len(widths))
    last = bar_views.bars(shown(world, "x")).bars[-1]
    assert last.high is None and last.current >= shown(world, "x").current.above / 720


def test_integers_have_a_bar_each(world: FeatureWorld) -> None:
    made = bar_views.bars(shown(world, "count", CALM))
    inner = [bar for bar in made.bars if bar.low is not None and bar.high is not None]
    assert all(bar.high - bar.low == pytest.approx(1) for bar in inner)  # type: ignore[operator]
    assert all(bar.low % 1 == 0.5 for bar in inner)  # type: ignore[operator]


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(views).failed == 0
