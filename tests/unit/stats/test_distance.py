"""Distances: the golden values, scipy as the oracle, and the edges."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from driftline.stats import distance as d

R = np.full(10, 1000)
C = np.array([40, 55, 70, 85, 95, 105, 115, 130, 145, 160])
V = 1 / 1000 + 1 / 10_000


@pytest.mark.parametrize(
    ("value", "golden"),
    [
        (d.psi(R, C), 0.1487286143),
        (d.psi(R, C) - 9 * V, 0.1388286143),
        (d.psi_variance(10_000, 1000), 0.0011),
        (d.psi_limit(V, 9, 0.10), 0.1854217439),
        (d.psi_limit(V, 9, 0.25), 0.3726445610),
        (d.psi_lower_bound(d.psi(R, C), V, 9), 0.0726701554),
        (d.js_distance(R, C), 0.1358911981),
        (d.hellinger(R, C), 0.1364951132),
        (d.total_variation(R, C), 0.155),
        (d.linf(R, C), 0.06),
        (d.chi_square(R, C), 123.4518112),
        (d.psi(R, [0, 100, 100, 100, 100, 100, 100, 100, 100, 200]), 0.59641407),
    ],
)
def test_golden_values_hold(value, golden):
    digits = len(str(golden).split(".")[1])
    assert float(value) == pytest.approx(golden, abs=0.5 * 10.0 ** -min(digits, 10) + 1e-12)


def test_the_golden_ks_interval_holds():
    low, high = d.ks_interval(R, C, np.zeros(10, bool))
    assert (float(low), float(high)) == (pytest.approx(0.155), pytest.approx(0.255))


def counts(rng, groups=10, n=5000):
    return rng.multinomial(n, rng.dirichlet(np.ones(groups)))


@pytest.mark.parametrize("seed", range(5))
def test_js_and_chi_square_agree_with_scipy(seed):
    rng = np.random.default_rng(seed)
    r, c = counts(rng), counts(rng, n=700)
    assert float(d.js_distance(r, c)) == pytest.approx(
        jensenshannon(r / r.sum(), c / c.sum()), abs=1e-12
    )
    used = (r + c) > 0
    oracle = stats.chi2_contingency(np.array([r[used], c[used]]), correction=False)[0]
    assert float(d.chi_square(r, c)) == pytest.approx(oracle, rel=1e-12)


@pytest.mark.parametrize("df", [1, 2, 4, 9, 11, 60])
@pytest.mark.parametrize("v", [1.0, 0.05, 0.0011, 1e-5, 1e-6])
@pytest.mark.parametrize("alpha", [0.001, 0.01])
def test_limit_and_lower_bound_agree_with_ncx2(df, v, alpha):
    for delta in (0.05, 0.1, 0.25):
        limit = float(d.psi_limit(v, df, delta, alpha))
        assert limit == pytest.approx(v * stats.ncx2.ppf(1 - alpha, df, delta / v), rel=1e-9)
        bound = float(d.psi_lower_bound(limit, v, df, alpha))
        assert bound == pytest.approx(delta, rel=1e-9, abs=1e-9)


def test_the_limit_without_tolerance_is_a_chi_square_quantile():
    assert float(d.psi_limit(0.01, 9, 0.0)) == pytest.approx(0.01 * stats.chi2.ppf(0.999, 9))


def test_the_limit_comes_down_to_delta_as_windows_grow():
    limits = [float(d.psi_limit(1 / n + 1 / 20_000, 9, 0.1)) for n in (100, 200, 1e3, 1e4, 1e5)]
    assert [round(limit, 2) for limit in limits] == [0.50, 0.34, 0.18, 0.13, 0.12]


def test_the_lower_bound_is_zero_below_the_limit_of_no_drift():
    below = float(d.psi_limit(V, 9, 0.0)) * 0.999
    assert float(d.psi_lower_bound(below, V, 9)) == 0.0


def test_one_group_can_never_exceed_its_limit():
    assert np.isinf(d.psi_limit(0.01, 0, 0.1))


def test_psi_limits_that_are_asked_for_together_are_those_of_each_alone():
    v = np.array([[V, 0.01, V, 0.0], [np.inf, V, np.nan, 0.01], [0.01, 1e-9, V, V]])
    df = np.array([9, 3, 9, 9])
    alone = [[float(d.psi_limit(one, k, 0.1)) for one, k in zip(row, df, strict=True)] for row in v]
    assert d.psi_limit(v, df, 0.1).tolist() == alone
    assert float(d.psi_lower_bound(0.5, 0.01, 0)) == 0.0


def test_no_rows_make_no_distance():
    nothing = np.zeros(10, int)
    for distance in (d.psi, d.js_distance, d.hellinger, d.total_variation, d.linf, d.chi_square):
        assert np.isnan(distance(R, nothing))
        assert np.isnan(distance(nothing, C))


def test_windows_are_computed_all_at_once():
    windows = np.stack([C, R, C[::-1]])
    many = d.psi(R, windows)
    assert many.tolist() == [float(d.psi(R, w)) for w in windows]
    assert d.psi_contributions(R, windows).sum(axis=-1) == pytest.approx(many)
    low, high = d.ks_interval(R, windows, np.zeros(10, bool))
    assert low.shape == high.shape == (3,)
    assert d.psi_limit(np.full(3, V), 9, 0.1).shape == (3,)


def test_an_atom_adds_nothing_to_the_width_of_a_ks_interval():
    low, high = d.ks_interval(R, C, np.ones(10, bool))
    assert float(low) == float(high)


def test_ks_p_value_is_kolmogorov_s_limit():
    assert float(d.ks_p_value(0.1, 1000, 1000)) == pytest.approx(
        stats.kstwobign.sf(0.1 * np.sqrt(500)), rel=1e-9
    )


@pytest.mark.parametrize(("x", "n"), [(0, 10), (10, 10), (3, 7), (15, 1000), (1, 1)])
def test_wilson_agrees_with_scipy(x, n):
    z = 3.09
    oracle = stats.binomtest(x, n).proportion_ci(1 - 2 * stats.norm.sf(z), method="wilson")
    low, high = d.wilson(x, n, z)
    assert float(low) == pytest.approx(oracle.low, abs=1e-12)
    assert float(high) == pytest.approx(oracle.high, abs=1e-12)


def test_newcombe_of_nothing_is_everything():
    low, high = d.newcombe(0, 0, 3, 10, 3.09)
    assert (float(low), float(high)) == (-1.0, 1.0)


def test_newcombe_is_antisymmetric():
    low, high = d.newcombe(5, 100, 40, 200, 3.09)
    low2, high2 = d.newcombe(40, 200, 5, 100, 3.09)
    assert (float(low), float(high)) == pytest.approx((-float(high2), -float(low2)))


def test_newcombe_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    p1, p2, n1, n2 = 0.12, 0.1, 300, 5000
    low, high = d.newcombe(rng.binomial(n1, p1, 40_000), n1, rng.binomial(n2, p2, 40_000), n2, 3.09)
    missed = int(((low > p1 - p2) | (high < p1 - p2)).sum())
    interval = stats.binomtest(missed, 40_000).proportion_ci(0.999)
    assert interval.low <= 0.003 and missed / 40_000 < 0.006


@pytest.mark.parametrize(("m", "n"), [(10_000, 500), (50_000, 2_000)])
def test_the_size_of_the_psi_p_value_is_a_tenth_of_a_percent(m, n):
    rng = np.random.default_rng(m)
    draws = 200_000
    r = rng.multinomial(m, np.full(10, 0.1), draws)
    c = rng.multinomial(n, np.full(10, 0.1), draws)
    p = d.psi_p_value(d.psi(r, c), d.psi_variance(m, n), 9)
    interval = stats.binomtest(int((p < 0.001).sum()), draws).proportion_ci(0.999)
    assert interval.low >= 0.0005 and interval.high <= 0.002


@pytest.mark.parametrize("shape", ["shift", "widening"])
@pytest.mark.parametrize("n", [1_000, 5_000])
def test_a_true_psi_at_the_tolerance_alarms_at_most_once_in_seven_hundred_windows(shape, n):
    rng = np.random.default_rng(n)
    edges = stats.norm.ppf(np.arange(1, 10) / 10)

    def shares(by):
        loc, scale = (by, 1.0) if shape == "shift" else (0.0, 1.0 + by)
        return np.diff(stats.norm.cdf(edges, loc, scale), prepend=0, append=1)

    def true_psi(by):
        q = shares(by)
        return float(((q - 0.1) * np.log(q / 0.1)).sum())

    low, high = 0.0, 2.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if true_psi(middle) < 0.1 else (low, middle)
    m, draws = 50_000, 100_000
    r = rng.multinomial(m, np.full(10, 0.1), draws)
    c = rng.multinomial(n, shares(low), draws)
    over = d.psi(r, c) > d.psi_limit(float(d.psi_variance(m, n)), 9, 0.1)
    interval = stats.binomtest(int(over.sum()), draws).proportion_ci(0.999)
    assert interval.low <= 0.0015
    assert over.mean() <= 0.002


def test_ends_are_rounded_away_from_what_they_hold() -> None:
    """One in 84 rows' shares: twelve digits that end in 1904..., which nearest would raise."""
    exact = Fraction(373, 1344)
    low, high = float(d.round_down(float(exact))), float(d.round_up(float(exact)))
    assert (low, high) == (0.277529761, 0.277529762)
    assert Fraction(low) < exact < Fraction(high)
    values = np.random.default_rng(3).normal(0, 10.0 ** np.arange(-12, 12), (500, 24))
    low, high = d.round_down(values), d.round_up(values)
    slack = 1e-12 * np.abs(values)  # the error of the arithmetic that is let pass
    assert (low <= values + slack).all() and (values - slack <= high).all()
    # A step of the ninth digit lies between, and no more.
    assert ((high - low) / np.abs(values) <= 1.0001e-8).all()
    assert (d.round_down(low) == low).all() and (d.round_up(high) == high).all()


def test_the_error_of_the_arithmetic_moves_no_end() -> None:
    for value in (0.155, 1 - 0.845, 0.1 + 0.2, 1.0, 0.0, -0.25, 123456789.0):
        assert d.round_down(value) == d.round_up(value) == pytest.approx(value, abs=1e-15)
    assert not np.signbit(d.round_up(np.array([0.0]))).any()
    assert np.isnan(d.round_down(np.nan)) and np.isinf(d.round_up(np.inf))
