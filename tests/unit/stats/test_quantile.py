"""Limits of PSI come from a quicker search than SciPy's, and are the same to the last digit."""

from __future__ import annotations

import numpy as np
import pytest
import scipy
from scipy import special

from driftline.stats.distance import psi_limit, round_significant
from driftline.stats.quantile import noncentral_chi_square

# Before Boost did it, SciPy's own functions were right to 10 digits: nothing to compare with.
pytestmark = pytest.mark.skipif(
    tuple(map(int, scipy.__version__.split(".")[:2])) < (1, 17), reason="an older SciPy"
)
N = 10_000
P = 0.999


def _asked(seed: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    df = np.rint(np.exp(draw.uniform(0, np.log(400), N)))
    nc = np.exp(draw.uniform(np.log(1e-3), np.log(1e7), N))
    return df, nc


def test_the_quantile_is_scipys_to_twelve_digits() -> None:
    df, nc = _asked(1)
    np.testing.assert_allclose(
        noncentral_chi_square(P, df, nc), special.chndtrix(P, df, nc), rtol=5e-13
    )


def test_it_is_one_of_the_right_probability() -> None:
    df, nc = (part[:2_000] for part in _asked(2))
    np.testing.assert_allclose(special.chndtr(noncentral_chi_square(P, df, nc), df, nc), P, 1e-11)


def test_a_limit_has_the_nine_digits_that_scipys_has() -> None:
    """Also where the tenth is all but a half: a stored limit, recomputed, is the stored one."""
    df, nc = _asked(3)
    # Three of 400,000 usual ones, where the two searches themselves round to two numbers.
    rare = np.array([(30, 678, 1001), (27, 492, 2127), (6, 387, 2094)], np.float64)
    df = np.concatenate([rare[:, 0], df])
    v = np.concatenate([1 / rare[:, 1] + 1 / rare[:, 2], 0.1 / nc])
    exact = v * special.chndtrix(P, df, 0.1 / v)
    np.testing.assert_array_equal(
        round_significant(psi_limit(v, df, 0.1)), round_significant(exact)
    )
