"""Gridsets and profiles: where a value is counted, and how counts travel."""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from driftline.errors import DecodeError, GridMismatch
from driftline.stats.grid import (
    canonical,
    categorical_grid,
    categorical_groups,
    numeric_grid,
    numeric_groups,
)
from driftline.stats.gridset import FeatureGrid, Gridset
from driftline.stats.profile import COUNTERS, Column, Profile, State, add_many, canonical_category
from driftline.stats.reference import Reference, build_reference
from driftline.stats.stack import Stack, stack


def numeric(name, values):
    grid = numeric_grid(np.asarray(values))
    mass = np.bincount(grid.bins(canonical(np.asarray(values))), minlength=grid.n_bins)
    return FeatureGrid(name, "numeric", grid, numeric_groups(grid, mass))


def categorical(name, values):
    counts = Counter(values)
    grid = categorical_grid(counts)
    mass = np.zeros(grid.n_bins, np.int64)
    for value, count in counts.items():
        mass[grid.index[value]] += count
    return FeatureGrid(name, "categorical", grid, categorical_groups(grid, mass))


@pytest.fixture(scope="module")
def gridset():
    rng = np.random.default_rng(0)
    return Gridset(
        (
            numeric("x", rng.normal(size=5000)),
            categorical("c", ["a"] * 700 + ["b"] * 299 + ["rare"]),
            FeatureGrid("note", "presence", None, np.empty(0, np.int32)),
            numeric("k", rng.poisson(4, 3000)),
        )
    )


def counter(gridset, profile, feature, name):
    f = gridset.names().index(feature)
    return int(profile.counts[gridset.counters[f, COUNTERS.index(name)]])


def test_each_feature_has_bins_and_counters_and_the_first_place_counts_rows(gridset):
    places = [0]
    for f, span in enumerate(gridset.bins):
        places += [*range(span.start, span.stop), *gridset.counters[f].tolist()]
    assert places == list(range(gridset.size))
    assert gridset.group_of[0] == -1
    assert gridset.B.tolist() == [10, 4, 0, gridset.features[3].n_groups]
    assert gridset.n_groups == gridset.B.sum()
    assert [s.stop - s.start for s in gridset.groups] == gridset.B.tolist()
    assert gridset.group_of[gridset.under[0]] == gridset.groups[0].start
    assert gridset.group_of[gridset.over[0]] == gridset.groups[0].stop - 1
    assert gridset.under[1] == gridset.unseen[0] == gridset.other[2] == -1


def test_every_oddity_has_a_counter_of_its_own(gridset):
    x = np.array([0.0, -1.0, np.nan, np.inf, -np.inf, 1e300, -1e300, 9e9, 0.5, 0.5, 0.5])
    state = np.array([0] * 8 + [State.ABSENT, State.NULL, State.TYPE_ERROR], np.uint8)
    [profile] = gridset.count({"x": Column(x, state)}, len(x))
    seen = {name: counter(gridset, profile, "x", name) for name in COUNTERS}
    assert seen == {
        "absent": 1,
        "null": 1,
        "nan": 1,
        "pos_inf": 1,
        "neg_inf": 1,
        "type_error": 1,
        "zero": 1,
        "negative": 2,
    }
    assert profile.counts[gridset.over[0]] == 2
    assert profile.counts[gridset.under[0]] == 1
    assert profile.counts[gridset.bins[0]].sum() == 5


def test_a_feature_without_a_column_is_absent_in_every_row(gridset):
    [profile] = gridset.count({}, 7)
    assert profile.rows == 7
    for name in gridset.names():
        assert counter(gridset, profile, name, "absent") == 7
    assert profile.counts.sum() == 7 * 5


def test_a_presence_feature_counts_only_what_is_missing(gridset):
    state = np.array([State.VALUE, State.ABSENT, State.NULL, State.VALUE], np.uint8)
    [profile] = gridset.count({"note": Column(["free", None, None, ["a"]], state)}, 4)
    assert counter(gridset, profile, "note", "absent") == 1
    assert counter(gridset, profile, "note", "null") == 1
    assert profile.rows == 4


def test_categories_are_levels_other_or_unseen(gridset):
    [profile] = gridset.count({"c": Column(["a", "b", "rare", "new", "a"])}, 5)
    assert profile.counts[gridset.bins[1]].tolist() == [2, 1, 1, 1]
    assert profile.counts[gridset.other[1]] == profile.counts[gridset.unseen[1]] == 1


def test_what_stands_where_no_value_is_is_ignored_even_unhashable(gridset):
    state = np.array([State.VALUE, State.TYPE_ERROR, State.NULL], np.uint8)
    [profile] = gridset.count({"c": Column(["a", {"deep": []}, None], state)}, 3)
    assert profile.counts[gridset.bins[1]].tolist() == [1, 0, 0, 0]
    assert counter(gridset, profile, "c", "type_error") == 1


def test_unseen_values_are_kept_for_display_at_most_twenty(gridset):
    values = ["a", "zz", "zz", *(f"n{i:02}" for i in range(40))]
    state = np.zeros(len(values), np.uint8)
    state[-1] = State.NULL
    columns = {"c": Column(values, state)}
    found = gridset.unseen_values(columns)
    assert found["c"]["zz"] == 2 and len(found["c"]) == 20 and "a" not in found["c"]
    assert found == gridset.unseen_values(columns, gridset.codes(columns, len(values)))


def test_rows_are_counted_into_their_pane_and_minus_one_is_left_out(gridset):
    x = np.array([1.0, 2.0, -3.0, 4.0, 0.0])
    pane = np.array([0, 2, 2, -1, 0])
    columns = {"x": Column(x), "c": Column(list("aabba"))}
    profiles = gridset.count(columns, 5, pane, 3, with_sums=True)
    assert [p.rows for p in profiles] == [2, 0, 2]
    for i, profile in enumerate(profiles):
        rows = np.flatnonzero(pane == i)
        part = {"x": Column(x[rows]), "c": Column([columns["c"].values[j] for j in rows])}
        assert profile == gridset.count(part, len(rows), with_sums=True)[0]
    assert np.isinf(profiles[1].low).all()


def test_sums_are_in_quanta_and_the_clipped_are_counted(gridset):
    quantum = 2.0 ** gridset.features[0].grid.quantum
    x = np.array([0.5, 0.5, -1.25, 1e300, 1e30])
    [profile] = gridset.count({"x": Column(x)}, 5, with_sums=True)
    bins = gridset.bins[0]
    inside = profile.sums[bins][1:-1].sum() * quantum
    assert inside == pytest.approx(-0.25, abs=3 * quantum)
    assert profile.sums[gridset.over[0]] == 2 << 36
    assert profile.sums[gridset.counters[0, 0]] == 2


def test_the_range_is_kept(gridset):
    state = np.array([0, 0, 0, State.NULL], np.uint8)
    [p] = gridset.count({"x": Column(np.array([1.0, -2.0, np.nan, 99.0]), state)}, 4)
    assert (p.low[0], p.high[0]) == (-2.0, 1.0)
    assert np.isinf(p.low[1:]).all()


def test_profiles_of_two_gridsets_do_not_add(gridset):
    other = Gridset((numeric("x", [1.0, 2.0]),))
    with pytest.raises(GridMismatch):
        _ = Profile.empty(gridset) + Profile.empty(other)
    with pytest.raises(GridMismatch):
        Profile.from_bytes(other, Profile.empty(gridset).to_bytes())


def rows_of(gridset, n, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "x": Column(np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n) * 2)),
        "c": Column(rng.choice(["a", "b", "rare", "new"], n).tolist()),
        "k": Column(rng.poisson(4, n).astype(float)),
    }


@pytest.mark.parametrize("n", [0, 1, 15, 400, 100_000])
@pytest.mark.parametrize("with_sums", [False, True])
def test_a_profile_comes_back_from_its_bytes(gridset, n, with_sums):
    [profile] = gridset.count(rows_of(gridset, n), n, with_sums=with_sums)
    assert Profile.from_bytes(gridset, profile.to_bytes()) == profile


@pytest.mark.parametrize("n", [0, 1, 15, 100_000])
@pytest.mark.parametrize("has_sums", [(True, True), (True, False), (False, True), (False, False)])
def test_bytes_are_added_as_the_profile_that_they_are(gridset, n, has_sums):
    [stored] = gridset.count(rows_of(gridset, n), n, with_sums=has_sums[0])
    [added] = gridset.count(rows_of(gridset, 20, seed=1), 20, with_sums=has_sums[1])
    before = added.to_bytes()
    assert added.with_bytes(gridset, stored.to_bytes()) == stored + added
    assert added.to_bytes() == before
    with pytest.raises(GridMismatch):
        Profile.empty(Gridset((numeric("x", [1.0, 2.0]),))).with_bytes(gridset, before)


def test_a_pane_of_fifteen_rows_is_small(gridset):
    [profile] = gridset.count(rows_of(gridset, 15), 15)
    assert len(profile.to_bytes()) < 200


def test_large_counts_come_back_from_their_bytes(gridset):
    profile = Profile.empty(gridset, with_sums=True)
    for power in range(48):
        profile.counts[power] = 1 << power
        profile.sums[power] = -(1 << power)
    assert Profile.from_bytes(gridset, profile.to_bytes()) == profile


def test_damaged_bytes_are_refused(gridset):
    [profile] = gridset.count(rows_of(gridset, 5000), 5000)
    good = profile.to_bytes()
    newer = bytes([9]) + good[1:]
    for damaged in (b"", good[:4], good[:-9], newer, good[:8] + b"\xff" * 10):
        with pytest.raises(DecodeError):
            Profile.from_bytes(gridset, damaged)
        with pytest.raises(DecodeError):
            profile.with_bytes(gridset, damaged)
        with pytest.raises(DecodeError):
            stack(gridset, [damaged], [0], 1)


def test_bytes_that_would_unpack_to_more_than_the_gridset_are_refused(gridset):
    head = Profile.empty(gridset).to_bytes()[:8]
    bomb = head[:1] + bytes([2]) + head[2:] + zlib.compress(b"\0" * 50_000_000)
    with pytest.raises(DecodeError):
        Profile.from_bytes(gridset, bomb)


def test_places_beyond_the_gridset_are_refused(gridset):
    body = Profile.empty(gridset).to_bytes()
    head = body[: 8 + 8 * len(gridset.features)]
    far = head + (40).to_bytes(4, "little") + b"\0" + b"\xff" * 40 + b"\1" * 40
    with pytest.raises(DecodeError):
        Profile.from_bytes(gridset, far)
    with pytest.raises(DecodeError):
        stack(gridset, [far], [0], 1)


def test_many_bodies_become_windows(gridset):
    parts = [gridset.count(rows_of(gridset, 50, s), 50, with_sums=True)[0] for s in range(6)]
    bodies = [p.to_bytes() for p in parts]
    windows = [0, 0, 2, 2, 2, 0]
    total = stack(gridset, bodies, windows, 3)
    first = parts[0] + parts[1] + parts[5]
    for name in ("counts", "sums", "low", "high"):
        assert (getattr(total, name)[0] == getattr(first, name)).all()
    assert not total.counts[1].any() and np.isinf(total.low[1]).all()
    assert total.has_sums.all()
    # The same from panes that are added up later; one without sums leaves its window without.
    ordered = Stack.of([parts[i] for i in (0, 1, 5, 2, 3, 4)])
    again = ordered.added(np.array([[0, 3], [3, 3], [3, 6]]))
    for name in ("counts", "sums", "low", "high", "has_sums"):
        assert (getattr(again, name) == getattr(total, name)).all()
    bare = [replace(parts[0], sums=None).to_bytes(), *bodies[1:]]
    assert stack(gridset, bare, windows, 3).has_sums.tolist() == [False, True, True]
    assert not stack(gridset, bare, windows, 3).sums[0].any()
    assert add_many(gridset, bodies) == sum(parts[1:], parts[0])
    assert add_many(gridset, []) == Profile.empty(gridset)
    assert add_many(gridset, [replace(parts[0], sums=None).to_bytes(), bodies[1]]).sums is None


def test_the_digest_names_the_content(gridset):
    again = Gridset(gridset.features)
    assert again.digest == gridset.digest
    renamed = Gridset((replace(gridset.features[0], name="y"), *gridset.features[1:]))
    assert renamed.digest != gridset.digest


def test_group_sums_add_up_bins(gridset):
    [p] = gridset.count(rows_of(gridset, 300), 300)
    groups = gridset.sum_groups(np.stack([p.counts, 2 * p.counts]))
    assert groups.shape == (2, gridset.n_groups)
    for span, bins in zip(gridset.groups, gridset.bins, strict=True):
        assert groups[0, span].sum() == p.counts[bins].sum()
    assert (groups[1] == 2 * groups[0]).all()


@pytest.mark.parametrize(
    ("value", "category"),
    [
        ("UA", "UA"),
        (True, "true"),
        (np.False_, "false"),
        (7, "7"),
        (np.int64(-3), "-3"),
        (3.0, "3"),
        (2.5, None),
        (float("nan"), None),
        (float("inf"), None),
        (None, None),
        ([1], None),
        pytest.param(10**5000, None, id="a number of 5,000 digits"),
        ("x" * 200, "x" * 200),
        # The hash is of the whole value, and the same in every process and release.
        ("x" * 500, "x" * 183 + "…0899ce90ce1624a9"),
        ("", ""),
    ],
)
def test_categories_have_one_spelling(value, category):
    assert canonical_category(value) == category


def test_long_categories_that_begin_alike_are_told_apart():
    alike = ["漢" * 200 + tail for tail in ("", "a", "b", "\N{CAT FACE}")]
    spelt = [canonical_category(value) for value in alike]
    assert len(set(spelt)) == 4
    assert max(map(len, spelt)) == 200
    made = build_reference({"x": alike * 50, "y": [1.0, 2.0] * 100})
    counts = made.profiles["all"].counts[made.gridset.bins[0]]
    assert counts.tolist() == [50, 50, 50, 50, 0, 0]
    assert Reference.from_document(made.to_document()).digest == made.digest


def test_the_resolution_of_a_number_is_told_and_others_have_none():
    made = build_reference(
        {
            "whole": list(range(50)) * 4,
            "real": [1 + i / 777 for i in range(200)],
            "two": [-1.0, 2012.25, 2012.5, 2013.0] * 50,
            "word": ["a", "b"] * 100,
        },
        categorical=["word"],
    ).gridset
    of = dict(zip(made.names(), map(made.resolution, range(4)), strict=True))
    assert of["whole"] == (1.0, "absolute") and of["word"] is None
    width, kind = of["real"]
    assert kind == "relative" and 0 < width < 1e-5
    # Two values that far apart are two cells.
    grid = made.features[made.names().index("real")].grid
    pair = grid.encode(np.array([1.1, 1.1 * (1 + 2 * width)], np.float32))
    assert pair[0] < pair[1]
    assert of["two"] == (0.25, "absolute")


@pytest.mark.parametrize("n", [209, 210, 211, 212, 213, 400])
def test_rows_of_more_places_than_16_bits_are_counted_where_they_belong(n: int) -> None:
    """Wrong were: to wrap around into the first features, and to fail from 212 features on."""
    rng = np.random.default_rng(7)
    rows = 600
    frame = pd.DataFrame({f"x{i}": rng.normal(size=rows) for i in range(n)})
    frame["few"] = rng.integers(0, 9, rows)
    frame["word"] = rng.choice(list("abc"), rows)
    gridset = build_reference(frame).gridset
    frame.loc[3, "x200"] = np.inf  # such a feature is coded by itself
    columns = {
        name: Column(frame[name].tolist() if name == "word" else frame[name].to_numpy(np.float64))
        for name in frame
    }
    whole = gridset.count_codes(gridset.codes(columns, rows))[0]
    for f in (0, 1, n // 2, 200, n - 1, n, n + 1):
        alone = Gridset((gridset.features[f],))
        found = alone.count_codes(alone.codes(columns, rows))[0]
        np.testing.assert_array_equal(whole.counts[gridset.span(f)], found.counts[1:])
