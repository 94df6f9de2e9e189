"""Laws of counting: neither order nor split matter, and every row is counted once."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

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
from driftline.stats.profile import Column, Profile, add_many
from driftline.stats.stack import stack


def one_feature(values):
    grid = numeric_grid(np.asarray(values, np.float64))
    mass = np.bincount(grid.bins(canonical(np.asarray(values, float))), minlength=grid.n_bins)
    return Gridset((FeatureGrid("x", "numeric", grid, numeric_groups(grid, mass)),))


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
    counts = stack(GRIDSET, [p.to_bytes() for p in together], [0] * 5, 1).counts[0]
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
