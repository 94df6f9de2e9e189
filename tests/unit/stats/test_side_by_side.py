"""Stretches side by side give what each gives alone, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftline.stats.distance import ks_interval
from driftline.stats.side_by_side import SideBySide, portions

SIZES = st.lists(st.integers(1, 300), min_size=1, max_size=12)


def apart(values: Any, sizes: list[int]) -> list[Any]:
    return np.split(values, np.cumsum(sizes)[:-1], axis=1)


@given(SIZES, st.integers(1, 4), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_sums_are_those_of_each_stretch_alone_to_the_bit(
    sizes: list[int], windows: int, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    values = draw.lognormal(0, 8, (windows, sum(sizes))) * draw.choice([-1, 1], sum(sizes))
    side = SideBySide.of(sizes)
    alone = apart(values, sizes)
    np.testing.assert_array_equal(side.sum(values), np.stack([x.sum(axis=1) for x in alone], 1))
    np.testing.assert_array_equal(side.largest(values), np.stack([x.max(axis=1) for x in alone], 1))


@given(SIZES, st.integers(1, 4), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_shares_and_ks_are_those_of_each_stretch_alone_to_the_bit(
    sizes: list[int], windows: int, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    total = sum(sizes)
    r, c = draw.integers(0, 50, (1, total)), draw.integers(0, 9, (windows, total))
    r[:, 0] = 1
    is_atom = draw.random(total) < 0.3
    side = SideBySide.of(sizes)
    until, before, n = side.cumulated(c)
    low, high = side.ks(is_atom, side.sample(r), side.sample(c))
    for place, (own, now, atom) in enumerate(
        zip(apart(r, sizes), apart(c, sizes), apart(is_atom[None], sizes), strict=True)
    ):
        here = slice(side.firsts[place], side.lasts[place] + 1)
        assert n[:, place].tolist() == now.sum(axis=1).tolist()
        with np.errstate(invalid="ignore"):
            share = now.cumsum(axis=1) / now.sum(axis=1, keepdims=True)
        np.testing.assert_array_equal(until[:, here], share)
        filled = n[:, place] > 0
        np.testing.assert_array_equal(before[filled, here][:, 1:], share[filled, :-1])
        assert not before[filled, here][:, 0].any()
        alone = ks_interval(own[0], now, atom[0])
        np.testing.assert_array_equal(low[:, place], alone[0])
        np.testing.assert_array_equal(high[:, place], alone[1])


@pytest.mark.parametrize("n", [0, 1, 7, 1_000])
def test_portions_are_all_rows_once_and_fit_a_cache(n: int) -> None:
    rows = np.arange(n)
    some = [rows[part] for part in portions(n, 20_000)]
    assert np.concatenate([rows[:0], *some]).tolist() == rows.tolist()
    assert all(len(part) * 20_000 <= 1 << 17 for part in some)
    # A row wider than that goes alone.
    assert [len(rows[part]) for part in portions(n, 1 << 20)] == [1] * n
