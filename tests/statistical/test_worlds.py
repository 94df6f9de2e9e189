"""The simulation is no story of its own: its counts and references are what real rows give."""

from __future__ import annotations

import alarm_worlds as worlds
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from driftline.stats.calibration import from_reference
from driftline.stats.profile import Column, State
from driftline.stats.reference import build_reference

pytestmark = pytest.mark.statistical

ROWS = 40


@pytest.fixture(scope="module")
def real() -> tuple[pd.DataFrame, list[Column]]:
    """Ten days of hours of two features, one of them with gaps."""
    rng = np.random.default_rng(3)
    n = 10 * 24 * ROWS
    at = pd.date_range("2024-01-01", periods=n, freq=f"{3_600_000 // ROWS}ms", tz="UTC")
    gaps = rng.random(n) < 0.1
    frame = pd.DataFrame(
        {"at": at, "x": rng.normal(size=n), "y": np.where(gaps, np.nan, rng.lognormal(size=n))}
    )
    y_state = np.where(gaps, State.NULL, State.VALUE).astype(np.uint8)
    return frame, [Column(frame["x"].to_numpy()), Column(frame["y"].to_numpy(), y_state)]


@pytest.mark.parametrize(("length", "days"), [("hour", 10), ("day", 10)])
def test_a_reference_of_windows_is_the_reference_of_their_rows(
    real: tuple[pd.DataFrame, list[Column]], length: str, days: int
) -> None:
    """What is not made up: groups, rows, missing, weekends, and so the calibration."""
    frame, (x, y) = real
    registered = build_reference(frame, timestamp="at")
    n = days * (24 if length == "hour" else 1)
    when = worlds.windows(length, 0, n)
    pane = np.repeat(np.arange(n), len(frame) // n)
    profiles = registered.gridset.count({"x": x, "y": y}, len(frame), pane, n)
    made = worlds.reference_of(
        registered.gridset, np.stack([p.counts for p in profiles]), when, length
    )
    theirs, ours = registered.slices["all"][length], made.slices["all"][length]
    for name in ("starts_ms", "is_weekend", "rows", "groups", "missing", "type_error"):
        np.testing.assert_array_equal(getattr(theirs, name), getattr(ours, name), err_msg=name)
    np.testing.assert_array_equal(registered.profiles["all"].counts, made.profiles["all"].counts)
    for bucket in ("weekday", "weekend"):
        np.testing.assert_array_equal(
            registered.buckets["all"][bucket].counts, made.buckets["all"][bucket].counts
        )
    one, other = (from_reference(r, "all", length) for r in (registered, made))
    assert one is not None and other is not None
    np.testing.assert_array_equal(one.tau2, other.tau2)
    np.testing.assert_array_equal(one.up["missing"], other.up["missing"])


def test_drawn_counts_are_spread_as_counted_rows_are() -> None:
    """Normal rows through the grid against drawn counts: chi-square of the sums, p > 1e-4.

    By luck it would fail once in 10,000 seeds.
    """
    rng = np.random.default_rng(17)
    grids = worlds.gridset(1, rng)
    when = worlds.windows("hour", 0, 48)
    drawn = worlds.draw(grids, worlds.daily, when, 2_000, rng).sum(axis=0)[grids.bins[0]]
    mean = np.repeat(0.6 * np.sin(when.hour * np.pi / 12), 2_000)
    rows = rng.normal(mean)
    counted = grids.count({"x0": Column(rows)}, len(rows))[0].counts[grids.bins[0]]
    use = drawn + counted > 10
    found = stats.chi2_contingency(np.stack([drawn[use], counted[use]]), correction=False)
    assert found.pvalue > 1e-4
    assert drawn.sum() == counted.sum() == 96_000


def test_what_wobbles_wobbles_as_much_as_is_said() -> None:
    """AR(1): variance 1 and correlation .9; missing shares: mean and overdispersion.

    Tolerances are over four standard errors wide: once in 10,000 seeds by luck.
    """
    rng = np.random.default_rng(5)
    many = np.stack([worlds.autoregressive(0.9, 400, rng) for _ in range(400)])
    assert many[:, 0].var() == pytest.approx(1, abs=0.3)
    assert many.var() == pytest.approx(1, abs=0.06)
    assert np.mean(many[:, 1:] * many[:, :-1]) == pytest.approx(0.9, abs=0.06)
    gaps = np.stack([worlds.overdispersed(0.11, 0.01, 0.5, 100, rng) for _ in range(200)])
    assert gaps.mean() == pytest.approx(0.11, abs=0.002)
    assert gaps.var() / (0.11 * 0.89) == pytest.approx(0.01, rel=0.1)


def test_the_worlds_are_normal_shares_that_add_up() -> None:
    rng = np.random.default_rng(2)
    grid = worlds.gridset(1, rng).features[0].grid
    when = worlds.windows("hour", 0, 24 * 7)
    for shares in (worlds.calm, worlds.dirichlet, worlds.daily, worlds.weekly):
        drawn = shares(grid, when, rng)
        assert drawn.shape == (len(when), grid.n_bins)
        np.testing.assert_allclose(drawn.sum(axis=1), 1, atol=1e-12)
        assert (drawn >= 0).all()
    assert when.is_weekend.sum() == 48 and when.is_weekend[-48:].all()
