"""Every other distance: the published oracle or the exact value lies inside what is told."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from scipy import stats
from scipy.spatial.distance import jensenshannon

from driftline.stats.calibration import unknown
from driftline.stats.evidence import Judge
from driftline.stats.grid import canonical, numeric_grid, numeric_groups
from driftline.stats.gridset import FeatureGrid, Gridset
from driftline.stats.judgement import Judgement
from driftline.stats.measures import MEASURES, Measures, moments
from driftline.stats.profile import Column, Profile
from driftline.stats.reference import Reference, build_reference
from driftline.stats.season import when
from driftline.stats.stack import Stack
from driftline.stats.transport import (
    Ruler,
    sample,
    sd_interval,
    tail_share,
    w1_interval,
    w1_parts,
)

Floats = Any
Draw = Callable[[np.random.Generator, int, float], Floats]
MONDAY = when(np.array([1_704_067_200_000]), "UTC")

FAMILIES: dict[str, Draw] = {
    "normal": lambda g, n, s: g.normal(s, 1, n),
    "lognormal": lambda g, n, s: g.lognormal(s, 1.5, n),
    "cauchy": lambda g, n, s: g.standard_cauchy(n) + s,
    "poisson": lambda g, n, s: g.poisson(3 + s, n).astype(float),
    "zero-inflated": lambda g, n, s: np.where(g.random(n) < 0.7, 0, g.exponential(1 + s, n)),
    "Kelvin": lambda g, n, s: np.round(g.normal(290 + s, 5, n), 1),
    "epoch ms": lambda g, n, s: 1.7e12 + g.random(n) * 1e9 * (1 + s),
    "two values": lambda g, n, s: (g.random(n) < 0.3 + s / 5).astype(float),
    "one value": lambda g, n, s: np.full(n, 3.3) + s,
    "whole, then halves": lambda g, n, s: g.integers(0, 1_000, n) + 0.5 * (g.random(n) < s),
    "below the range by less than a cell": lambda g, n, s: g.integers(5, 9, n) - s / 2,
    "negative": lambda g, n, s: -g.gamma(2, 3, n) - s,
    "nearly the largest floats": lambda g, n, s: g.normal(0, 1e37, n) * (1 + s),
}


def gridset_of(x: Floats) -> Gridset:
    grid = numeric_grid(x)
    mass = np.bincount(grid.bins(canonical(x)), minlength=grid.n_bins)
    return Gridset((FeatureGrid("x", "numeric", grid, numeric_groups(grid, mass)),))


def profile_of(gridset: Gridset, x: Floats) -> Profile:
    return gridset.count({"x": Column(x)}, len(x), with_sums=True)[0]


def transport(x: Floats, y: Floats) -> tuple[float, float, float, float, float]:
    """W1 from, to; its tail's share; the standard deviation of y from, to."""
    gridset = gridset_of(x)
    grid, span = gridset.features[0].grid, gridset.bins[0]
    before, now = profile_of(gridset, x), profile_of(gridset, y)
    assert before.sums is not None and now.sums is not None
    ruler = Ruler.of([grid])  # type: ignore[list-item]
    r = sample(ruler, before.counts[None, span], before.sums[None, span])
    c = sample(ruler, now.counts[None, span], now.sums[None, span])
    parts, _ = w1_parts(ruler, r, c)
    ends = (end[None, :].astype(float) for end in (now.low, now.high))
    sd = sd_interval(ruler, c.counts, c.sums, *ends)
    found = (*w1_interval(ruler, r, c), tail_share(ruler, parts, r, c), *sd)
    low, high, tail, sd_low, sd_high = (float(value[0, 0]) for value in found)
    return low, high, tail, sd_low, sd_high


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("m", "n", "shift"),
    [(300, 10, 0.0), (5_000, 300, 0.0), (60_000, 2_000, 0.5), (20_000, 50_000, 0.2)],
)
def test_the_exact_distance_and_deviation_lie_inside_their_intervals(
    family: str, m: int, n: int, shift: float
) -> None:
    draw = np.random.default_rng(sum(map(ord, family)) + n)
    x, y = FAMILIES[family](draw, m, 0.0), FAMILIES[family](draw, n, shift)
    low, high, _, sd_low, sd_high = transport(x, y)
    a, b = canonical(x).astype(float), canonical(y).astype(float)
    exact, sd = stats.wasserstein_distance(a, b), b.std()
    assert low <= exact * (1 + 1e-6) and exact <= high * (1 + 1e-6) + 1e-300
    assert sd_low <= sd * (1 + 1e-6) and sd <= sd_high * (1 + 1e-6) + 1e-12 * np.abs(b).max()


def test_intervals_are_narrow_where_nothing_is_heavy() -> None:
    draw = np.random.default_rng(4)
    x, y = draw.normal(size=60_000), draw.normal(0.5, 1.1, 20_000)
    low, high, tail, sd_low, sd_high = transport(x, y)
    assert high - low < 0.02 * low and tail < 0.1
    assert (sd_high - sd_low) / sd_low < 0.005


def test_of_a_few_values_everything_is_exact() -> None:
    draw = np.random.default_rng(5)
    low, high, _, sd_low, sd_high = transport(draw.poisson(3, 9_000), draw.poisson(4, 500))
    assert high == pytest.approx(low, rel=1e-9) and sd_high == pytest.approx(sd_low, rel=1e-9)


def test_a_shift_of_all_values_is_its_own_wasserstein_distance() -> None:
    x = np.random.default_rng(6).normal(size=30_000)
    low, high, _, _, _ = transport(x, x + 10.0)
    assert low == pytest.approx(10.0, rel=1e-5) and high == pytest.approx(10.0, rel=1e-5)
    same, most, _, _, _ = transport(x, x)
    assert same == 0.0 and most < 0.05


def test_of_cauchy_values_the_tail_dominates() -> None:
    draw = np.random.default_rng(7)
    x = draw.standard_cauchy(60_000)
    shares = [transport(x, draw.standard_cauchy(20_000))[2] for _ in range(9)]
    assert np.median(shares) > 0.5
    calm = draw.normal(size=60_000)
    assert transport(calm, draw.normal(0.5, 1, 20_000))[2] < 0.05


def frame_of(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(columns)


def judged(reference: Reference, windows: list[Profile], **kw: Any) -> Judgement:
    at = when(1_704_067_200_000 + 86_400_000 * np.arange(len(windows)), "UTC")
    return Judge(reference, "all", "day", unknown(reference), **kw).judge(Stack.of(windows), at)


def measured(reference: Reference, windows: list[Profile]) -> Measures:
    found = judged(reference, windows).measures
    assert found is not None
    return found


C = [40, 55, 70, 85, 95, 105, 115, 130, 145, 160]


def test_the_golden_vector_through_the_whole_pipeline() -> None:
    digits, letters = np.arange(10), np.array(list("abcdefghij"))
    reference = build_reference(frame_of(x=np.repeat(digits, 1_000), c=np.repeat(letters, 1_000)))
    window = reference.gridset.count(
        {
            "x": Column(np.repeat(digits, C).astype(float)),
            "c": Column(np.repeat(letters, C).tolist()),
        },
        1_000,
        with_sums=True,
    )
    found, judgement = measured(reference, window), judged(reference, window)
    x, c = (reference.gridset.names().index(name) for name in "xc")
    assert judgement.psi[0, x] == pytest.approx(0.1487286143, abs=1e-9)
    assert found.psi_star[0, x] == pytest.approx(0.1388286143, abs=1e-9)
    for place in (x, c):
        assert found.js[0, place] == pytest.approx(0.1358911981, abs=1e-9)
        assert found.hellinger[0, place] == pytest.approx(0.1364951132, abs=1e-9)
        assert found.tv[0, place] == pytest.approx(0.155, abs=1e-12)
        assert found.linf[0, place] == pytest.approx(0.06, abs=1e-12)
    assert found.chi_square[0, c] == pytest.approx(123.4518112, abs=1e-6)
    assert found.chi_square_df[0, c] == 9
    assert np.isnan(found.chi_square[0, x])
    # Ten values, each of its own: KS is exact.
    assert judgement.ks_low[0, x] == judgement.ks_high[0, x] == pytest.approx(0.155, abs=1e-9)


def test_what_is_told_of_whole_numbers_holds_the_exact_truth_in_fractions() -> None:
    """Every value is a bin of its own, so each interval is one number, which both ends hold."""
    draw = np.random.default_rng(12)
    m = 1_344
    x = np.repeat([0, 1, 2, 5], [400, 500, 333, 111]).astype(float)
    reference = build_reference(frame_of(x=x, c=np.array(["a", "b"] * (m // 2))))
    place = reference.gridset.names().index("x")
    before = [Fraction(int((x <= at).sum()), m) for at in (0, 1, 2)]
    slack, unlike = Fraction(1, 10**12), 0
    for n in range(101, 181):
        y = draw.choice([0.0, 1.0, 2.0, 5.0], n, p=[0.2, 0.4, 0.3, 0.1])
        window = reference.gridset.count({"x": Column(y)}, n, with_sums=True)
        judgement, found = judged(reference, window), measured(reference, window)
        now = [Fraction(int((y <= at).sum()), n) for at in (0, 1, 2)]
        apart = [abs(a - b) for a, b in zip(before, now, strict=True)]
        ks, w1 = max(apart), apart[0] + apart[1] + 3 * apart[2]
        total, squares = int(y.sum()), int((y * y).sum())
        variance = Fraction(squares, n) - Fraction(total, n) ** 2
        ends = {
            "ks": (judgement.ks_low, judgement.ks_high, ks, 1),
            "w1": (found.w1_low, found.w1_high, w1, 1),
            "sd": (found.sd_low, found.sd_high, variance, 2),
        }
        for low, high, truth, power in ends.values():
            least, most = (Fraction(float(end[0, place])) ** power for end in (low, high))
            assert least <= truth * (1 + slack) and truth <= most * (1 + slack)
            assert most - least <= truth * Fraction(3, 10**8)
            unlike += least != most
    assert unlike > 100


def test_measures_are_those_of_their_oracles() -> None:
    draw = np.random.default_rng(8)
    levels = np.array(list("abcdefg"))
    p, q = draw.dirichlet(np.full(7, 3.0)), draw.dirichlet(np.full(7, 3.0))
    reference = build_reference(
        frame_of(x=draw.normal(size=20_000), c=draw.choice(levels, 20_000, p=p))
    )
    n = 1_500
    y, letters = draw.normal(0.3, 1.2, n), draw.choice(levels, n, p=q)
    window = reference.gridset.count(
        {"x": Column(y), "c": Column(letters.tolist())}, n, with_sums=True
    )
    found, judgement = measured(reference, window), judged(reference, window)
    x, c = (reference.gridset.names().index(name) for name in "xc")
    own = reference.profiles["all"].counts
    r, now = (counts[reference.gridset.bins[c]] for counts in (own, window[0].counts))
    assert found.js[0, c] == pytest.approx(jensenshannon(r, now), rel=1e-8)
    table = np.array([r, now])[:, r + now > 0]
    oracle = stats.chi2_contingency(table, correction=False)
    assert found.chi_square[0, c] == pytest.approx(oracle.statistic, rel=1e-8)
    assert found.chi_square_df[0, c] == oracle.dof
    assert found.chi_square_p[0, c] == pytest.approx(oracle.pvalue, rel=1e-6)
    v0 = 1 / n + 1 / 20_000
    df = reference.gridset.B[x] - 1
    assert found.psi_p[0, x] == pytest.approx(stats.chi2.sf(judgement.psi[0, x] / v0, df), rel=1e-6)
    ks = judgement.ks_low[0, x] * np.sqrt(n * 20_000 / (n + 20_000))
    assert found.ks_p[0, x] == pytest.approx(stats.kstwobign.sf(ks), rel=1e-6)
    mine = moments(reference)
    sample = canonical(y).astype(float)
    assert found.mean[0, x] == pytest.approx(sample.mean(), rel=1e-6)
    shift = (sample.mean() - mine.mean[x]) / mine.sd[x]
    assert found.mean_shift[0, x] == pytest.approx(shift, rel=1e-6)
    assert found.sd_low[0, x] <= sample.std() <= found.sd_high[0, x]
    assert found.sd_ratio[0, x] == pytest.approx(sample.std() / mine.sd[x], rel=2e-3)
    assert found.w1_sigma[0, x] == pytest.approx(found.w1_low[0, x] / mine.sd[x], rel=1e-8)
    assert not mine.is_heavy[x]
    assert np.isnan([found.mean[0, c], found.w1_low[0, c], found.zero[0, c]]).all()


@pytest.fixture(scope="module")
def reference() -> Reference:
    draw = np.random.default_rng(9)
    return build_reference(
        frame_of(
            x=draw.normal(size=9_000), same=np.full(9_000, 5.0), word=np.full(9_000, "on"),
            c=draw.choice(list("abc"), 9_000),
        )
    )  # fmt: skip


def one(reference: Reference, n: int, **columns: Any) -> list[Profile]:
    made = {name: Column(values) for name, values in columns.items()}
    return reference.gridset.count(made, n, with_sums=True)


def test_shares_of_what_no_distance_sees(reference: Reference) -> None:
    x = np.concatenate([np.zeros(10), np.full(30, -1.0), np.full(50, 2.0), [np.inf, -np.inf] * 5])
    same = np.where(np.arange(100) < 7, 4.5, 5.0)
    found = measured(reference, one(reference, 100, x=x, same=same, word=["on"] * 96 + ["off"] * 4))
    place = reference.gridset.names().index
    assert found.infinite[0, place("x")] == 0.1
    assert found.zero[0, place("x")] == pytest.approx(10 / 90, rel=1e-8)
    assert found.negative[0, place("x")] == pytest.approx(30 / 90, rel=1e-8)
    assert found.differs[0, place("same")] == 0.07 and found.differs[0, place("word")] == 0.04
    assert np.isnan(found.differs[0, place("x")])
    # A constant has no deviation that anything could be measured in.
    assert np.isnan(found.mean_shift[0, place("same")])
    assert found.mean[0, place("same")] == pytest.approx(4.965, rel=1e-8)


def test_below_a_hundred_values_there_are_means_and_no_distances(reference: Reference) -> None:
    found = measured(reference, one(reference, 99, x=np.linspace(-1, 1, 99)))
    x = reference.gridset.names().index("x")
    assert found.mean[0, x] == pytest.approx(0.0, abs=1e-6) and found.sd_low[0, x] > 0.5
    for name in ("psi_star", "ks_p", "w1_low", "w1_sigma", "js", "hellinger", "tv", "linf"):
        assert np.isnan(getattr(found, name)[0, x])


def test_a_window_without_values_has_no_measures(reference: Reference) -> None:
    empty = measured(reference, [Profile.empty(reference.gridset, with_sums=True)])
    nothing = measured(reference, one(reference, 200, x=np.full(200, np.nan)))
    for name in MEASURES:
        assert np.isnan(getattr(empty, name)).all()
        if name != "infinite":
            assert np.isnan(getattr(nothing, name)[0, reference.gridset.names().index("x")])


def test_a_value_that_was_clipped_leaves_no_mean_to_tell(reference: Reference) -> None:
    x = np.random.default_rng(10).normal(size=500)
    x[3] = 1e30
    found = measured(reference, one(reference, 500, x=x))
    place = reference.gridset.names().index("x")
    for name in ("mean", "mean_shift", "sd_low", "sd_ratio", "w1_low", "w1_sigma", "w1_tail"):
        assert np.isnan(getattr(found, name)[0, place])
    assert not np.isnan(found.js[0, place])


@pytest.mark.parametrize(
    ("window", "ratio"),
    [
        # All of them in one bin, where one value and two lie within the same interval.
        (np.repeat([20.0, 24.0], 100), None),
        (np.linspace(-1.7, 1.7, 200), 1.0),
        (np.full(200, 0.25), 0.0),
        (np.full(200, 30.0), 0.0),
    ],
)
def test_a_ratio_of_deviations_is_told_only_where_both_are_known(
    reference: Reference, window: Floats, ratio: float | None
) -> None:
    found, x = measured(reference, one(reference, 200, x=window)), 0
    assert reference.gridset.names()[x] == "x"
    slack = 1e-6
    assert found.sd_low[0, x] - slack <= window.std() <= found.sd_high[0, x] + slack
    told = found.sd_ratio[0, x]
    assert np.isnan(told) if ratio is None else told == pytest.approx(ratio, abs=0.05)


def test_without_sums_there_is_no_mean_and_the_rest_stays(reference: Reference) -> None:
    x = np.random.default_rng(11).normal(size=500)
    bare = reference.gridset.count({"x": Column(x)}, 500)
    whole = one(reference, 500, x=x)
    found, other = measured(reference, [*bare, *whole]), measured(reference, whole)
    place = reference.gridset.names().index("x")
    assert np.isnan(found.mean[0, place]) and np.isnan(found.w1_low[0, place])
    for name in MEASURES:
        np.testing.assert_array_equal(getattr(found, name)[1], getattr(other, name)[0])
    np.testing.assert_array_equal(found.tv[0], found.tv[1])


def test_what_is_not_asked_for_is_not_measured(reference: Reference) -> None:
    judge = Judge(reference, "all", "day", unknown(reference))
    windows = Stack.of(one(reference, 200, x=np.zeros(200)))
    assert judge.judge(windows, MONDAY, with_measures=False).measures is None


def test_a_table_has_a_column_for_each_measure() -> None:
    from monitor.storage import schema

    assert (*MEASURES, "parts") == schema.DISTANCES
    assert isinstance(schema.finding.c.chi_square_df.type, sa.Integer)


def test_a_sigma_is_the_middle_of_what_the_deviation_lies_between() -> None:
    """So many values outside of each other's bins that both ends are told apart."""
    x = np.random.default_rng(2).lognormal(0, 3, 5_000)
    mine = moments(build_reference(frame_of(x=x, c=np.array(["a", "b"] * 2_500))))
    low, high = mine.sd_low[0], mine.sd_high[0]
    assert low < canonical(x).astype(float).std() < high and high > 1.001 * low
    assert mine.sd[0] == pytest.approx((low + high) / 2, rel=1e-12)
