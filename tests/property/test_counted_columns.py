"""A column that is counted in slices counts as one that is coded as a whole, to the bit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from driftline import compare, profile
from driftline.stats import coding
from driftline.stats.coding import code_numbers, count_column, count_numbers
from driftline.stats.grid import CLIP_BITS, NumericGrid, canonical, numeric_grid
from driftline.stats.profile import COUNTERS, Column, State

Floats = NDArray[np.float64]

# Zeros, subnormals, NaN of several bits, the ends of float32 and of its whole numbers.
LARGEST = float(np.finfo(np.float32).max)
SMALL = (0, -0.0, 1e-45, -1e-45, 1e-39, -1e-39, 1e-320, -1e-320, 0.5, 1.5, -1.5)
LARGE = (2.0**24, 2.0**24 + 1, 2.0**36, -(2.0**36), 2.0**53, LARGEST, -LARGEST, 3.40282356e38)
ODD = np.array([*SMALL, *LARGE, 1e300, -1e300, np.inf, -np.inf])
NANS = np.array([0x7FF8 << 48, 0xFFF8 << 48, (0x7FF0 << 48) + 1, (0xFFF4 << 48) + 77], np.uint64)
SHAPES = ("normal", "wide", "integers", "constant", "offset", "bits", "odd", "two years", "large")


def numbers(shape: str, seed: int, n: int) -> Floats:
    """A column of some shape."""
    draw = np.random.default_rng(seed)
    if shape == "wide":
        return np.exp(draw.normal(size=n) * 30)
    if shape == "integers":
        return draw.integers(-5, 6, n).astype(np.float64)
    if shape == "constant":
        return np.full(n, draw.choice([0.0, 3.0, -2.5, 1e-40, 1e38]))
    if shape == "offset":
        return 1e9 + draw.normal(size=n) * 1e-3
    if shape == "bits":
        some = draw.integers(0, 1 << 32, n, np.uint32).view(np.float32)
        return some[np.isfinite(some)].astype(np.float64)
    if shape == "odd":
        return draw.choice(np.concatenate([ODD, NANS.view(np.float64)]), n)
    if shape == "two years":
        return draw.choice([2012.0, 2013.0, -1e-3], n)
    if shape == "large":
        return 2.0**50 + draw.integers(-(2**18), 2**18, n) * 2.0 ** draw.integers(0, 5)
    return draw.normal(size=n) * draw.choice([1e-42, 1.0, 1e37])


def around(grid: NumericGrid) -> Floats:
    """Where bins end and sums are clipped or rounded, and the neighbours of all that."""
    limit, quantum = 2.0 ** (CLIP_BITS + grid.quantum), 2.0**grid.quantum
    near = canonical(np.array([limit, -limit, quantum, quantum / 2, -quantum / 2, 0.0]))
    near = np.concatenate([near, grid.lasts, canonical(np.array([grid.low, grid.high]))])
    with np.errstate(over="ignore", under="ignore"):
        neighbours = [np.nextafter(near, np.float32(way)) for way in (-np.inf, np.inf)]
    wide = np.concatenate([near, *neighbours]).astype(np.float64)
    # Halves of a quantum are rounded to even ones; float64 differs where float32 does not.
    halves = quantum * (np.arange(-9, 10) / 2)
    return np.concatenate([wide, np.nextafter(wide, np.inf), halves])


@st.composite
def cases(draw: st.DrawFn) -> tuple[NumericGrid, Column]:
    """A grid, and a column that lies about it."""
    seed = draw(st.integers(0, 2**32 - 1))
    known = numbers(draw(st.sampled_from(SHAPES)), seed, draw(st.integers(1, 600)))
    known = known[np.isfinite(canonical(known))]
    grid = numeric_grid(
        known if len(known) else np.zeros(1), n_bins=draw(st.sampled_from([4, 256]))
    )
    parts = [numbers(draw(st.sampled_from(SHAPES)), seed + 1, draw(st.integers(0, 200)))]
    if draw(st.booleans()):
        parts.append(around(grid))
    parts.append(np.array(draw(st.lists(st.floats(), max_size=20)), np.float64))
    random = np.random.default_rng(seed)
    values = random.permutation(np.concatenate(parts))
    state = None
    if draw(st.booleans()):
        state = random.choice(4, len(values), p=[0.6, 0.1, 0.2, 0.1]).astype(np.uint8)
    elif draw(st.booleans()):
        state = np.full(len(values), draw(st.sampled_from(State)), np.uint8)
    column = Column(values, state, draw(st.sampled_from([State.VALUE, State.NULL])))
    if draw(st.booleans()):
        column = column._replace(values=canonical(values) * np.float32(-1))
    return grid, column


def empty(grid: NumericGrid) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    width = grid.n_bins + len(COUNTERS)
    return np.zeros(width, np.int64), np.zeros(width, np.int64)


def as_a_whole(grid: NumericGrid, column: Column) -> tuple[list[int], list[int], str]:
    counts, sums = empty(grid)
    coded = code_numbers(grid, column, len(column.values))
    count_numbers(grid, coded, counts, sums)
    # As text, in which -0.0 is not 0.0.
    return counts.tolist(), sums.tolist(), f"{coded.low} {coded.high}"


def in_slices(grid: NumericGrid, column: Column) -> tuple[list[int], list[int], str]:
    counts, sums = empty(grid)
    low, high = count_column(grid, column, len(column.values), counts, sums)
    return counts.tolist(), sums.tolist(), f"{low} {high}"


@pytest.mark.parametrize("rows_at_once", [7, 100, coding.SLICE_ROWS])
@settings(max_examples=100, deadline=None)
@given(cases())
def test_a_column_counts_alike_in_slices_of_any_size(
    rows_at_once: int, case: tuple[NumericGrid, Column]
) -> None:
    grid, column = case
    before = column.values.copy()
    whole = as_a_whole(grid, column)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coding, "SLICE_ROWS", rows_at_once)
        assert in_slices(grid, column) == whole
    assert column.values.tobytes() == before.tobytes()


@settings(max_examples=80, deadline=None)
@given(cases())
def test_a_bin_ends_where_its_last_value_is(case: tuple[NumericGrid, Column]) -> None:
    grid, column = case
    for values in (column.values, around(grid)):
        x = canonical(values)
        x = x[~np.isnan(x)]
        assert np.array_equal(grid.bins(x), grid.lasts.searchsorted(x, side="left"))
    lasts = grid.lasts
    # A bin of nothing but -0.0, which is no canonical value, ends where the one before it does.
    is_new = np.append(True, lasts[1:] > lasts[:-1])[: len(lasts)]
    bins = np.arange(grid.n_bins - 1)
    assert np.array_equal(grid.bins(lasts[is_new]), bins[is_new])
    for bin_ in bins[~is_new]:
        assert grid.ends[bin_] + grid.base == -1
        assert grid.shift == 0


def test_sums_do_not_overflow_where_all_values_are_clipped() -> None:
    grid = numeric_grid(np.array([1.0, 2.0]))
    column = Column(np.full(3 << 16, 1e30))
    assert in_slices(grid, column) == as_a_whole(grid, column)
    assert in_slices(grid, column)[1][grid.n_bins - 1] == (3 << 16) << CLIP_BITS


def test_a_pandas_null_is_null_in_long_frames_and_short_ones() -> None:
    draw = np.random.default_rng(6)
    x = draw.normal(size=60_000)
    reference = profile(pd.DataFrame({"x": x}))
    x[:700] = np.nan
    x[700:800] = np.inf
    long = compare(reference, pd.DataFrame({"x": x})).current
    short = [compare(reference, pd.DataFrame({"x": part})).current for part in np.split(x, 60)]
    assert sum(short[1:], start=short[0]) == long
    null, nan, pos_inf = reference.gridset.counters[0, 1:4]
    assert long.counts[[null, nan, pos_inf]].tolist() == [700, 0, 100]
    nullable = compare(reference, pd.DataFrame({"x": pd.array(x, dtype="Float64")})).current
    assert nullable.counts[null] + nullable.counts[nan] == 700
    assert nullable.counts[pos_inf] == 100
