"""The smallest shift and the smallest rise that a limit lets be seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from driftline.stats.calibration import unknown
from driftline.stats.distance import newcombe
from driftline.stats.evidence import Judge, Z
from driftline.stats.explain import (
    psi_of_shift,
    shifted,
    visible,
    visible_points,
    visible_shift,
)
from driftline.stats.profile import Column
from driftline.stats.reference import Reference, build_reference
from driftline.stats.rule import Rule
from driftline.stats.season import When
from driftline.stats.stack import Stack


@pytest.fixture(scope="module")
def reference() -> Reference:
    draw = np.random.default_rng(0)
    n = 5_000
    return build_reference(
        {
            "x": draw.normal(size=n).tolist(),
            "zeros": np.where(draw.random(n) < 0.7, 0.0, draw.lognormal(size=n)).tolist(),
            "plan": draw.choice(["a", "b", "c"], n, p=[0.6, 0.3, 0.1]).tolist(),
            "same": [1.0] * n,
        }
    )


@pytest.mark.parametrize("by", [0.2, 0.5, 0.75])
def test_a_shift_moves_groups_as_it_moves_a_normal_sample(by: float) -> None:
    edges = stats.norm.ppf(np.arange(1, 10) / 10)
    draw = np.random.default_rng(1).normal(by, 1, 400_000)
    counted = np.bincount(np.searchsorted(edges, draw), minlength=10) / len(draw)
    assert shifted(np.full(10, 0.1), by) == pytest.approx(counted, abs=0.003)


def test_shares_stay_shares_and_empty_groups_empty() -> None:
    shares = np.array([0.7, 0.0, 0.2, 0.1, 0.0])
    after = shifted(shares, 0.5)
    assert after.sum() == pytest.approx(1.0, abs=1e-12)
    assert after[[1, 4]].tolist() == [0.0, 0.0]
    assert after[0] < 0.7 < after[0] + after[2]


def test_the_smallest_shift_is_the_one_whose_psi_is_the_limit(reference: Reference) -> None:
    grids = reference.gridset
    own = grids.sum_groups(reference.profiles["all"].counts[None, :])
    limit = np.full((2, 4), 0.2)
    limit[1] = [0.05, np.nan, 40.0, 0.2]
    found = visible_shift(grids, own, limit)
    for window, feature in ((0, 0), (0, 1), (0, 2), (1, 0)):
        counts = own[0, grids.groups[feature]]
        psi = float(psi_of_shift(counts / counts.sum(), found[window, feature]))
        assert psi == pytest.approx(limit[window, feature], rel=0.01)
    assert found[1, 0] < found[0, 0]
    # What is always the same has no sigma; no shift reaches 40; not judged is not known.
    assert np.isnan([found[0, 3], found[1, 1], found[1, 2], found[1, 3]]).all()


def test_what_windows_could_have_shown_is_told_of_numbers_alone_and_at_best(
    reference: Reference,
) -> None:
    draw = np.random.default_rng(2)
    kept = {"x": draw.normal(size=200), "plan": draw.choice(["a", "b", "c"], 200).astype(object)}
    windows = []
    for n in (0, 40, 90, 200):
        columns = {
            "x": Column(kept["x"][:n], None),
            "plan": Column(kept["plan"][:n].tolist(), None),
        }
        (profile,) = reference.gridset.count(columns, n)
        windows.append(profile)
    stack = Stack.of(windows)
    at = When(np.zeros(4, np.int8), np.zeros(4, np.bool_))
    calm = unknown(reference)
    # Nothing is known of the wobble: of hours that never have the values, say.
    nothing = replace(calm, tau2=np.full(4, np.nan), guard=np.full(4, np.nan))
    for rule in (Rule(), Rule("sensitive")):
        judge = Judge(reference, "all", "hour", nothing, rule)
        found = visible(judge, judge.judge(stack, at), at)
        best = Judge(reference, "all", "hour", calm, rule).learnt_limit(
            np.array([[1], [40], [90], [200]]) * np.ones((1, 4), np.int64), at
        )
        own = reference.gridset.sum_groups(reference.profiles["all"].counts[None, :])
        seen = visible_shift(reference.gridset, own, best)
        assert found[1:3, 0] == pytest.approx(seen[1:3, 0], rel=1e-8)
        assert found[1, 0] > found[2, 0] > 0
        assert np.isnan(found[0]).all() and np.isnan(found[1:3, 2]).all()
    judge = Judge(reference, "all", "hour", calm)
    made = judge.judge(stack, at)
    found = visible(judge, made, at)
    assert made.psi_limit[3, 2] > 0 and np.isnan(found[:, 2]).all() and found[3, 0] > 0


def test_every_window_is_asked_about_what_it_is_compared_with(reference: Reference) -> None:
    grids = reference.gridset
    own = grids.sum_groups(reference.profiles["all"].counts[None, :])
    other = own.copy()
    other[0, grids.groups[0]] = [5_000] + [1] * (grids.B[0] - 1)
    found = visible_shift(grids, np.concatenate([own, other, own]), np.full((3, 4), 0.3))
    assert found[0, 0] == found[2, 0] != found[1, 0]


def test_the_smallest_rise_is_where_newcombes_bound_meets_the_limit() -> None:
    n, hits, m, limit = (np.array(a) for a in ([50, 5_000], [30, 0], [1_000, 1_000], [0.05, 0.01]))
    found = visible_points(n, hits, m, limit)
    rises = (hits / m + found) * n
    assert newcombe(rises, n, hits, m, Z)[0] == pytest.approx(limit, abs=1e-6)
    assert found[1] < found[0]


def test_a_limit_without_room_shows_no_rise_at_all() -> None:
    found = visible_points(
        np.array([100, 100, 0]), np.array([30, 30, 30]), np.array([1_000, 1_000, 1_000]),
        np.array([0.98, np.nan, 0.01]),
    )  # fmt: skip
    assert np.isnan(found).all()


def test_shifts_are_asked_about_up_to_four_sigma(reference: Reference) -> None:
    grids = reference.gridset
    own = grids.sum_groups(reference.profiles["all"].counts[None, :])
    x = grids.names().index("x")
    shares = own[0, grids.groups[x]] / own[0, grids.groups[x]].sum()
    for by, seen in ((3.0, 3.0), (3.9, 3.9), (4.1, np.nan)):
        limit = np.full((1, len(grids.features)), float(psi_of_shift(shares, by)))
        found = visible_shift(grids, own, limit)[0, x]
        assert found == pytest.approx(seen, abs=0.01, nan_ok=True)
