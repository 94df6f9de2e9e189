"""Grids: which cell and bin a value belongs to, and which group a bin."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from driftline.stats.grid import (
    HASH_BUCKETS,
    MAX_CELLS,
    CategoricalGrid,
    canonical,
    categorical_grid,
    categorical_groups,
    numeric_grid,
    numeric_groups,
    ordered_bits,
)


def masses(grid, values):
    return np.bincount(grid.bins(canonical(np.asarray(values, float))), minlength=grid.n_bins)


def test_integers_with_a_small_span_have_a_cell_each():
    grid = numeric_grid(np.array([3, 5, 5, 9]))
    assert grid.cells == "integers"
    assert grid.encode(np.float32([3, 4, 5, 9])).tolist() == [1, 2, 3, 7]


def test_a_value_between_two_integers_belongs_to_the_cell_above():
    grid = numeric_grid(np.array([3, 5, 9]))
    assert grid.encode(np.float32([4.1])) == grid.encode(np.float32([5]))


def test_values_outside_the_reference_range_are_underflow_and_overflow():
    for reference in ([3, 5, 9], [0.5, 0.75, 1.9], [-1.5, 2012, 2013, 1e9]):
        grid = numeric_grid(np.array(reference))
        low, high = np.float32(reference[0]), np.float32(reference[-1])
        outside = np.float32([low - abs(low) * 0.1 - 1e-3, high * 1.1, -3e38, 3e38])
        assert grid.bins(outside).tolist() == [0, grid.n_bins - 1, 0, grid.n_bins - 1]
        assert (grid.bins(np.float32([low, high])) % (grid.n_bins - 1) != 0).all()


def test_a_value_just_below_an_integer_range_is_underflow():
    grid = numeric_grid(np.array([3, 5, 9]))
    assert grid.bins(np.float32([2.5, 9.5])).tolist() == [0, grid.n_bins - 1]


def test_floats_are_told_apart_by_their_bits():
    grid = numeric_grid(np.random.default_rng(1).lognormal(size=20_000))
    assert grid.cells == "floats"
    assert grid.n_cells <= MAX_CELLS
    width, how = grid.resolution
    assert how == "relative" and width < 1e-3


def test_two_years_stay_apart_even_when_the_range_starts_below_zero():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.choice([2012, 2013], 1000), -rng.random(100) * 1e-20, [3e30]])
    grid = numeric_grid(values)
    assert grid.cells == "edges"
    bins = grid.bins(np.float32([2012, 2013]))
    assert bins[0] != bins[1]


def test_a_value_between_two_edges_belongs_to_the_cell_above():
    grid = numeric_grid(np.array([-1e-30, 2012, 2012.125, 1e30]))
    assert grid.cells == "edges"
    cells = grid.encode(np.float32([-1e-30, 5, 2012, 2012.0625, 2012.125, 1e30]))
    assert cells.tolist() == [1, 2, 2, 3, 3, 4]


def test_with_few_distinct_values_every_value_is_an_atom():
    values = np.array([0.0, 0.1, 0.2, 0.2, 7.5])
    grid = numeric_grid(values)
    assert grid.is_atom.sum() == 4
    assert grid.is_atom[grid.bins(canonical(values))].all()


def test_a_value_with_a_large_share_is_a_bin_of_its_own():
    rng = np.random.default_rng(2)
    values = np.where(rng.random(20_000) < 0.7, 0.0, rng.lognormal(size=20_000))
    grid = numeric_grid(values)
    zero = grid.bins(np.float32([0.0]))[0]
    assert grid.is_atom[zero]
    assert masses(grid, values)[zero] == (values == 0).sum()


def test_a_bin_that_is_no_atom_holds_at_most_its_share():
    values = np.random.default_rng(3).normal(size=50_000)
    grid = numeric_grid(values)
    mass = masses(grid, values)
    assert mass[~grid.is_atom].max() <= len(values) / 256
    assert 256 <= grid.n_bins < 600
    assert mass[0] == mass[-1] == 0


def test_the_gap_between_two_atoms_is_a_bin():
    grid = numeric_grid(np.array([1, 1, 10, 10]))
    between = grid.bins(np.float32([5]))[0]
    assert not grid.is_atom[between]
    assert between not in grid.bins(np.float32([1, 10]))


def test_beyond_float32_is_overflow_and_not_infinity():
    with np.errstate(all="raise"):
        x = canonical(np.array([1e300, -1e300]))
    assert numeric_grid(np.array([1.0, 2.0])).bins(x).tolist()[1] == 0


def test_negative_zero_is_zero():
    x = canonical(np.array([-0.0, 0.0]))
    assert ordered_bits(x).tolist() == [0, 0]


@pytest.mark.parametrize("constant", [0.0, 7.0, -2.5, 1e38, 2.0**60])
def test_a_constant_has_one_atom_and_whatever_differs_is_out_of_range(constant):
    grid = numeric_grid(np.full(10, constant))
    near = np.float32([constant, constant + abs(constant) * 0.01 + 1, constant * 0.9 - 1])
    assert grid.bins(near).tolist() == [1, 2, 0]
    assert grid.is_atom.tolist() == [False, True, False]


def test_integers_beyond_float64_precision_use_float_bits():
    assert numeric_grid(np.full(5, 2.0**60)).cells == "floats"


def test_upper_ends_are_the_largest_value_of_each_bin():
    for values in (
        np.random.default_rng(4).normal(size=3000),
        np.arange(500.0) % 400,
        np.array([-1e-30, 2012, 2012.125, 1e30]),
    ):
        grid = numeric_grid(values)
        x = canonical(values)
        upper = grid.upper()
        assert len(upper) == grid.n_bins and np.isinf(upper[-1])
        assert (np.diff(upper) > 0).all()
        bins = grid.bins(x)
        assert (x <= upper[bins]).all() and (x > upper[bins - 1]).all()


def test_ten_groups_hold_about_a_tenth_each():
    values = np.random.default_rng(5).normal(size=30_000)
    grid = numeric_grid(values)
    mass = masses(grid, values)
    groups = numeric_groups(grid, mass)
    shares = np.bincount(groups, weights=mass) / len(values)
    assert len(shares) == 10
    assert shares.min() > 0.09 and shares.max() < 0.11
    assert groups[0] == 0 and groups[-1] == 9
    assert (np.diff(groups) >= 0).all()


def test_a_large_atom_is_a_group_of_its_own():
    rng = np.random.default_rng(6)
    values = np.where(rng.random(20_000) < 0.7, 0.0, rng.lognormal(size=20_000))
    grid = numeric_grid(values)
    mass = masses(grid, values)
    groups = numeric_groups(grid, mass)
    zero = groups[grid.bins(np.float32([0]))[0]]
    assert mass[groups == zero].sum() == (values == 0).sum()
    assert groups.max() + 1 == 4  # zero, and three tenths of the rest


def test_a_bin_without_mass_joins_the_next_with_mass():
    grid = numeric_grid(np.array([1, 10, 10]))
    mass = masses(grid, [1, 10, 10])
    groups = numeric_groups(grid, mass)
    assert grid.n_bins == 5
    assert groups.tolist() == [0, 0, 1, 1, 1]


def test_every_group_has_mass():
    rng = np.random.default_rng(7)
    for values in (
        rng.poisson(0.3, 5000),
        rng.poisson(40, 5000),
        rng.zipf(1.5, 5000),
        rng.choice([1.0, 2.0, 1e6], 300),
        rng.standard_cauchy(5000),
    ):
        grid = numeric_grid(values)
        mass = masses(grid, values)
        assert (np.bincount(numeric_groups(grid, mass), weights=mass) > 0).all()


def test_levels_are_the_categories_with_a_percent():
    grid = categorical_grid({"a": 900, "b": 99, "c": 10, "d": 1, "e": 9})
    assert grid.levels == ("a", "b")
    assert grid.rare == ("c", "d", "e")
    assert [grid.index[x] for x in ("a", "b", "c", "d", "zzz")] == [0, 1, 2, 2, 3]


def test_ties_among_levels_are_ordered_by_name():
    assert categorical_grid({"b": 5, "a": 5, "c": 6}).levels == ("c", "a", "b")


def test_a_lookup_does_not_make_the_grid_grow():
    grid = categorical_grid({"a": 1})
    before = len(grid.index)
    for i in range(100):
        assert grid.index[f"new{i}"] == grid.unseen
    assert len(grid.index) == before


def test_many_categories_are_hashed_and_the_unknown_still_unseen():
    grid = categorical_grid({f"v{i}": 1 for i in range(5000)})
    assert grid.is_hashed and grid.other == -1 and grid.unseen == HASH_BUCKETS
    bins = [grid.index[f"v{i}"] for i in range(5000)]
    assert max(bins) < HASH_BUCKETS and len(set(bins)) == HASH_BUCKETS
    assert grid.index["never"] == grid.unseen
    again = CategoricalGrid((), (), grid.hashes)
    assert [again.index[f"v{i}"] for i in range(5000)] == bins


def test_categories_that_are_mostly_rare_are_hashed_and_not_one_bin():
    steep = {"a": 600} | {f"v{i}": 1 for i in range(400)}
    grid = categorical_grid(steep)
    assert grid.levels == ("a",) and len(grid.rare) == 400
    mostly = categorical_grid({"a": 60} | {f"v{i}": 1 for i in range(400)})
    assert mostly.levels == ("a",), "what has a name keeps it"
    flat = categorical_grid({"a": 30} | {f"v{i}": 1 for i in range(400)})
    assert flat.is_hashed
    assert len({flat.index[f"v{i}"] for i in range(400)}) > 150
    assert flat.index["never"] == flat.unseen


def test_categorical_groups_are_ten_levels_the_rest_and_unseen():
    counts = Counter({f"v{i:02}": 1000 - i for i in range(15)}) + Counter({"rare": 1})
    grid = categorical_grid(counts)
    mass = np.array([*(counts[level] for level in grid.levels), 1, 0])
    groups = categorical_groups(grid, mass)
    assert groups.tolist() == [*range(10), *[10] * 5, 10, 11]


def test_without_rare_categories_other_is_in_no_group():
    grid = categorical_grid({"a": 3, "b": 2})
    assert categorical_groups(grid, np.array([3, 2, 0, 0])).tolist() == [0, 1, -1, 2]


def groups_by_the_text(counts: dict[int, int]) -> dict[int, int]:
    """The group of each value: large ones alone, what lies between them cut by midpoints."""
    total, key = sum(counts.values()), 0
    made: dict[int, tuple[int, int]] = {}
    run: list[int] = []

    def close() -> None:
        mass = sum(counts[value] for value in run)
        k = max(1, math.floor(Fraction(10 * mass, total) + Fraction(1, 2)))
        before = 0
        for value in run:
            middle = Fraction(2 * before + counts[value], 2)
            made[value] = (key, math.floor(k * middle / mass))
            before += counts[value]
        run.clear()

    for value in sorted(counts):
        if 10 * counts[value] >= total:
            close()
            made[value], key = (key + 1, 0), key + 2
        else:
            run.append(value)
    close()
    order = {group: n for n, group in enumerate(sorted(set(made.values())))}
    return {value: order[group] for value, group in made.items()}


@pytest.mark.parametrize(
    "counts",
    [
        # One in ten exactly, a row fewer, and a large one at either end.
        {0: 100, 2: 300, 3: 250, 5: 200, 9: 150},
        {0: 999, 1: 1_000, 2: 1_001, 3: 999, 4: 1_001, 7: 5_000},
        {0: 5_000, **{value: 30 + 7 * (value % 5) for value in range(3, 90)}},
        {**dict.fromkeys(range(100), 40), 120: 700, **dict.fromkeys(range(130, 180), 25)},
        {value: 1 + value * value % 37 for value in range(200)},
    ],
)
def test_groups_are_cut_as_it_is_written(counts: dict[int, int]) -> None:
    values = np.repeat(list(counts), list(counts.values())).astype(float)
    grid = numeric_grid(values)
    mass = np.bincount(grid.bins(canonical(values)), minlength=grid.n_bins)
    groups = numeric_groups(grid, mass)
    wanted = groups_by_the_text(counts)
    distinct = np.array(sorted(counts), float)
    found = groups[grid.bins(canonical(distinct))]
    assert found.tolist() == [wanted[int(value)] for value in distinct]
    # What no row has joins the next that one has; beyond the range the ends.
    among = np.arange(min(counts) - 3, max(counts) + 4)
    nearest = [next((v for v in sorted(counts) if v >= x), max(counts)) for x in among.tolist()]
    assert groups[grid.bins(canonical(among.astype(float)))].tolist() == [
        wanted[value] for value in nearest
    ]
