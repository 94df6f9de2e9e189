"""Numbers become sentences in one place; these are the sentences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from driftline.stats.grid import categorical_grid, categorical_groups
from driftline.stats.gridset import FeatureGrid
from driftline.stats.reference import build_reference
from driftline.stats.words import (
    NBSP,
    Evidence,
    Part,
    all_group_words,
    ending,
    group_words,
    number,
    part_of,
    percent,
    sentence,
    summary,
)

ZONE = "America/New_York"
DAY = Evidence(
    feature="temp", statistic="psi", length="day", start_ms=1360299600000, end_ms=1360386000000,
    rows=930, value=0.88, limit=0.64,
)  # fmt: skip
HOUR = replace(
    DAY, feature="airport_delay", statistic="missing", length="hour", start_ms=1360364400000,
    rows=60, value=0.767, reference=0.003, excess=0.6, limit=0.04,
)  # fmt: skip


def plain(text: str) -> str:
    return text.replace(NBSP, " ")


def test_a_distribution_that_moved_names_its_psi_its_limit_and_the_part_that_moved() -> None:
    moved = replace(DAY, is_honest=True, part=Part("values up to 36.5", 0.43, 0.22, 0.03))
    assert plain(sentence(moved, ZONE)) == (
        "temp: 99.9 % sure that PSI is above 0.10 (0.88, limit 0.64 on 8 February 2013), in 2 of "
        "the last 3 days; 43 % of it from values up to 36.5, now 3.0 % of rows instead of 22 %."
    )


def test_where_the_bound_is_not_honest_it_does_not_say_how_sure_it_is() -> None:
    assert plain(sentence(DAY, ZONE)) == (
        "temp: PSI 0.88, limit 0.64, on 8 February 2013, in 2 of the last 3 days."
    )


def test_a_critical_one_is_sure_of_more() -> None:
    said = sentence(replace(DAY, is_honest=True, critical=True), ZONE)
    assert "PSI is above 0.25" in said


def test_missing_values_are_told_from_what_was_usual() -> None:
    assert plain(sentence(HOUR, ZONE)) == (
        "airport_delay: missing 0.3 % → 77 % of 60 rows at 18h on 8 February 2013, limit 4 points, "
        "in 2 of the last 3 hours."
    )


def test_unseen_values_are_told_with_the_bound_that_decided_and_the_first_of_them() -> None:
    unseen = replace(
        DAY, feature="dest", statistic="unseen", length="week", value=0.021, excess=0.011,
        limit=0.005, values=("BGR", "ACK"),
    )  # fmt: skip
    assert plain(sentence(unseen, ZONE)) == (
        "dest: 2.1 % of rows have values the reference never saw in the week of 8 February 2013 "
        "(at least 1.1 %, limit 0.5 %), in 2 of the last 3 weeks; the first were BGR, ACK."
    )


def test_values_out_of_range_name_the_range() -> None:
    outside = replace(
        DAY, statistic="out_of_range", value=0.7, excess=0.66, limit=0.16, low=10.94, high=64.4
    )
    assert "outside the reference's range 10.94 to 64.4" in sentence(outside, ZONE)


def test_a_summary_adds_the_worst_window_only_where_it_is_another_one() -> None:
    assert summary(DAY, DAY, ZONE) == sentence(DAY, ZONE)
    worse = replace(DAY, value=2.0, start_ms=1360386000000)
    assert summary(DAY, worse, ZONE).endswith(
        " At its worst: PSI 2.00, limit 0.64, on 9 February 2013."
    )


def test_the_worst_names_its_measure_where_it_is_another_one() -> None:
    outside = replace(DAY, statistic="out_of_range", value=1.0, start_ms=1360386000000)
    assert plain(summary(DAY, outside, ZONE)).endswith(
        " At its worst: 100 % of values outside the range on 9 February 2013."
    )


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0, "0.00"), (0.005, "0.005"), (0.25, "0.25"), (-3.5, "\u22123.50"), (12_345.6, "12,346")],
)
def test_numbers_have_two_decimals_or_two_digits(value: float, said: str) -> None:
    assert number(value) == said


def test_shares_below_a_tenth_have_a_decimal() -> None:
    assert [plain(percent(share)) for share in (0.0, 0.0061, 0.0994, 0.5)] == [
        "0 %", "0.6 %", "9.9 %", "50 %",
    ]  # fmt: skip


def grids() -> tuple[FeatureGrid, FeatureGrid]:
    draw = np.random.default_rng(1)
    frame = {"x": draw.normal(size=4_000), "c": draw.choice(list("abcde"), 4_000)}
    import pandas as pd

    first, second = build_reference(pd.DataFrame(frame)).gridset.features
    return (first, second) if first.name == "x" else (second, first)


def test_groups_are_named_by_the_values_they_hold() -> None:
    numeric, category = grids()
    said = [group_words(numeric, group) for group in range(numeric.n_groups)]
    assert said[0].startswith("values up to \u22121.2")
    assert said[-1].startswith("values above 1.2")
    assert all(" up to " in middle for middle in said[1:-1])
    named = {group_words(category, group) for group in range(category.n_groups)}
    assert "\u201ca\u201d" in named
    assert "values the reference never saw" in named


def test_of_categories_that_are_too_many_to_be_named_the_new_ones_are() -> None:
    names = {f"v{n}": 3 for n in range(2_000)}
    grid = categorical_grid(names)
    bins = [grid.index[name] for name in names]
    mass = np.bincount(bins, minlength=grid.n_bins).astype(np.int64)
    feature = FeatureGrid("c", "categorical", grid, categorical_groups(grid, mass))
    said = [group_words(feature, group) for group in range(feature.n_groups)]
    assert set(said[:-1]) == {"some of its many categories"}
    assert said[-1] == "values the reference never saw"


def test_the_part_that_moved_is_the_group_with_the_largest_share() -> None:
    numeric, _ = grids()
    parts = np.zeros(numeric.n_groups)
    parts[:2] = 0.3, 0.1
    before, now = np.full(numeric.n_groups, 10), np.full(numeric.n_groups, 5)
    found = part_of(numeric, parts, before, now)
    assert found is not None and found.share == pytest.approx(0.75)
    assert part_of(numeric, np.zeros(numeric.n_groups), before, now) is None


def test_what_ended_it_names_the_windows_that_did() -> None:
    psi = ending("temp", "psi", "week", (0.34, 0.21, 0.1))
    assert psi == "temp: 3 calm weeks in a row ended it, with PSI 0.34, 0.21 and 0.10."
    rate = ending("temp", "missing", "hour", (0.02, 0.0, -0.01))
    assert rate == (
        "temp: 3 calm hours in a row ended it, "
        "with at least 2 points, 0 points and 0 points more missing than in the reference."
    )
    assert ending("temp", "psi", "day", (), is_expired=True) == (
        "temp: no day could be judged for too long, so it expired."
    )


def test_the_bin_of_zero_ends_at_zero_in_words() -> None:
    """Its cell ends at a number of 1e-41, which says nothing to anybody."""
    draw = np.random.default_rng(0)
    x = np.where(draw.random(5_000) < 0.4, 0.0, draw.lognormal(size=5_000))
    grid = build_reference({"x": x}).gridset.features[0]
    first, second, *_ = all_group_words(grid)
    assert first == "values up to 0" and second.startswith("values above 0 up to ")
    assert all_group_words(grid) == tuple(group_words(grid, g) for g in range(grid.n_groups))
