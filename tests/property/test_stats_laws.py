"""Laws of counting: order and split do not matter, and neither do outliers or float32."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from driftline.stats import distance
from driftline.stats.grid import (
    canonical,
    categorical_grid,
    categorical_groups,
    numeric_grid,
    numeric_groups,
    ordered_bits,
    value_of_bits,
)
from driftline.stats.gridset import FeatureGrid, Gridset
from driftline.stats.profile import Column, Profile, add_many, dense


def one_feature(values):
    grid = numeric_grid(np.asarray(values, np.float64))
    mass = np.bincount(grid.bins(canonical(np.asarray(values, float))), minlength=grid.n_bins)
    return Gridset((FeatureGrid("x", "numeric", grid, numeric_groups(grid, mass)),))


def bins_of(gridset, values):
    [p] = gridset.count({"x": Column(np.asarray(values, np.float64))}, len(values))
    return p.counts[gridset.bins[0]]


def groups_of(gridset, values):
    [p] = gridset.count({"x": Column(np.asarray(values, np.float64))}, len(values))
    return gridset.sum_groups(p.counts)


rng_ = np.random.default_rng(11)
NUMERIC = one_feature(np.where(rng_.random(4000) < 0.3, 0, rng_.normal(size=4000) * 50))
LEVELS = categorical_grid({"a": 500, "b": 300, "c": 3})
GRIDSET = Gridset(
    (
        NUMERIC.features[0],
        FeatureGrid(
            "c", "categorical", LEVELS, categorical_groups(LEVELS, np.array([500, 300, 3, 0]))
        ),
    )
)

any_float = st.floats(allow_nan=True, allow_infinity=True)
row = st.tuples(any_float, st.sampled_from(["a", "b", "c", "d", ""]), st.integers(0, 3))
rows = st.lists(row, max_size=60)


def profile(data, with_sums=True):
    columns = {
        "x": Column(np.array([r[0] for r in data], np.float64)),
        "c": Column([r[1] for r in data], np.array([r[2] for r in data], np.uint8)),
    }
    return GRIDSET.count(columns, len(data), with_sums=with_sums)[0]


@given(rows, st.integers(0, 60), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_merged_parts_are_the_whole_in_any_order_and_split(data, cut, shuffler):
    whole = profile(data)
    mixed = list(data)
    shuffler.shuffle(mixed)
    parts = [profile(mixed[:cut]), profile(mixed[cut:])]
    assert parts[0] + parts[1] == whole
    assert parts[1] + parts[0] == whole
    assert add_many(GRIDSET, [p.to_bytes() for p in parts]) == whole
    assert whole + Profile.empty(GRIDSET, with_sums=True) == whole


@given(rows)
@settings(max_examples=100, deadline=None)
def test_every_row_is_in_exactly_one_place_of_each_feature(data):
    counted = profile(data, with_sums=False)
    for f, span in enumerate(GRIDSET.bins):
        places = counted.counts[span].sum() + counted.counts[GRIDSET.counters[f, :6]].sum()
        assert places == len(data) == counted.rows


@given(rows, st.lists(st.integers(0, 4), min_size=60, max_size=60))
@settings(max_examples=100, deadline=None)
def test_counting_by_pane_is_counting_each_pane(data, panes):
    pane = np.array(panes[: len(data)], np.int64)
    columns = {
        "x": Column(np.array([r[0] for r in data], np.float64)),
        "c": Column([r[1] for r in data], np.array([r[2] for r in data], np.uint8)),
    }
    together = GRIDSET.count(columns, len(data), pane, 5, with_sums=True)
    apart = [profile([r for r, p in zip(data, pane, strict=True) if p == i]) for i in range(5)]
    assert together == apart
    counts = dense(GRIDSET, [p.to_bytes() for p in together], [0] * 5, 1)[0]
    assert (counts == profile(data).counts).all()


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2))
@settings(max_examples=200, deadline=None)
def test_cells_order_as_values_do(values):
    x = np.sort(canonical(np.array(values)))
    assert (np.diff(ordered_bits(x).astype(np.int64)) >= 0).all()
    assert (value_of_bits(ordered_bits(x).astype(np.int64)) == x).all()
    grid = numeric_grid(x)
    cells = grid.encode(x)
    assert (np.diff(cells) >= 0).all()
    assert cells.min() >= 1 and cells.max() <= grid.n_cells - 2


def samples(seed):
    rng = np.random.default_rng(seed)
    return {
        "normal": (rng.normal(size=8000), rng.normal(0.3, 1.1, 3000)),
        "lognormal": (rng.lognormal(size=8000), rng.lognormal(0.2, 1, 3000)),
        "zeros": (
            np.where(rng.random(8000) < 0.7, 0, rng.lognormal(size=8000)),
            np.where(rng.random(3000) < 0.6, 0, rng.lognormal(size=3000)),
        ),
        "poisson": (rng.poisson(30, 8000), rng.poisson(32, 3000)),
        "cauchy": (rng.standard_cauchy(8000), rng.standard_cauchy(3000) * 1.3),
        "same": (rng.normal(size=8000), rng.normal(size=3000)),
        "apart": (rng.normal(size=8000), rng.normal(9, 1, 3000)),
    }


@pytest.mark.parametrize("name", list(samples(0)))
@pytest.mark.parametrize("seed", range(3))
def test_the_ks_interval_contains_scipy_s_statistic_on_cells(name, seed):
    reference, current = (np.asarray(v, np.float64) for v in samples(seed)[name])
    gridset = one_feature(reference)
    grid = gridset.features[0].grid
    low, high = distance.ks_interval(
        bins_of(gridset, reference), bins_of(gridset, current), grid.is_atom
    )
    exact = stats.ks_2samp(
        grid.encode(canonical(reference)), grid.encode(canonical(current)), method="asymp"
    ).statistic
    assert low - 1e-12 <= exact <= high + 1e-12
    widest = (bins_of(gridset, reference) * ~grid.is_atom).max() / len(reference)
    assert high - low <= widest + 1e-12 <= 1 / 256 + 1e-12 + 0.002


def test_an_outlier_moves_psi_by_less_than_a_percent():
    rng = np.random.default_rng(5)
    gridset = one_feature(rng.normal(size=50_000))
    r = groups_of(gridset, rng.normal(size=50_000))
    current = rng.normal(0.5, 1, 5000)
    before = float(distance.psi(r, groups_of(gridset, current)))
    for outlier in (1e4, -1e4, 1e6, 1e300):
        current[0] = outlier
        after = float(distance.psi(r, groups_of(gridset, current)))
        assert abs(after / before - 1) < 0.01


@pytest.mark.parametrize("decimals", [1, 2, 6])
def test_a_float32_round_trip_changes_nothing(decimals):
    rng = np.random.default_rng(decimals)
    reference = np.round(rng.normal(20, 5, 20_000), decimals)
    gridset = one_feature(reference)
    again = reference.astype(np.float32).astype(np.float64)
    assert (bins_of(gridset, reference) == bins_of(gridset, again)).all()
    assert one_feature(again).digest == gridset.digest
    low, _ = distance.ks_interval(
        bins_of(gridset, reference), bins_of(gridset, again), gridset.features[0].grid.is_atom
    )
    assert float(low) == 0.0


@pytest.mark.parametrize(
    "transform", [np.exp, lambda x: x**3, lambda x: 1000 + 7 * x, lambda x: -x, np.arctan]
)
def test_a_monotone_transform_leaves_psi_and_ks_unchanged_up_to_resolution(transform):
    rng = np.random.default_rng(8)
    reference, current = rng.normal(size=20_000), rng.normal(0.3, 1, 4000)
    results = []
    for f in (lambda x: x, transform):
        gridset = one_feature(f(reference))
        r, c = groups_of(gridset, f(reference)), groups_of(gridset, f(current))
        is_atom = gridset.features[0].grid.is_atom
        low, high = distance.ks_interval(
            bins_of(gridset, f(reference)), bins_of(gridset, f(current)), is_atom
        )
        results.append((float(distance.psi(r, c)), float(low), float(high)))
    assert results[0][0] == pytest.approx(results[1][0], rel=0.05)
    assert results[0][1] <= results[1][2] and results[1][1] <= results[0][2]


@given(st.lists(st.integers(0, 500), min_size=2, max_size=12), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_distances_are_symmetric_bounded_and_zero_for_the_same(counts, shuffler):
    r = np.array(counts) + 1
    mixed = list(counts)
    shuffler.shuffle(mixed)
    c = np.array(mixed) + 1
    assert float(distance.psi(r, r)) == 0.0
    for f, most in (
        (distance.js_distance, np.sqrt(np.log(2))),
        (distance.hellinger, 1.0),
        (distance.total_variation, 1.0),
        (distance.linf, 1.0),
    ):
        assert 0 <= float(f(r, c)) <= most + 1e-12
        assert float(f(r, c)) == pytest.approx(float(f(c, r)), abs=1e-12)
        assert float(f(r, r)) == pytest.approx(0.0, abs=1e-7)
    assert float(distance.psi(r, c)) == pytest.approx(float(distance.psi(c, r)), abs=1e-12)
    assert (distance.psi_contributions(r, c) >= 0).all()
