"""What is learnt from slices, computed once more from the raw rows by the written formulas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

from driftline.stats.calibration import Calibration, from_reference, from_windows
from driftline.stats.profile import Column
from driftline.stats.reference import Reference, build_reference

Floats = NDArray[np.float64]
DAY_MS = 86_400_000


def frame(days: int, seed: int) -> pd.DataFrame:
    """Days of 150 to 450 rows whose mean and whose share of missing values wobble."""
    draw = np.random.default_rng(seed)
    rows = draw.integers(150, 450, days)
    day = np.repeat(np.arange(days), rows)
    x = draw.normal(np.repeat(draw.normal(0, 0.15, days), rows))
    x[draw.random(len(x)) < np.repeat(draw.uniform(0.02, 0.10, days), rows)] = np.nan
    within = np.concatenate([np.arange(n) * (DAY_MS // n) for n in rows])
    at = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(day * DAY_MS + within, unit="ms")
    return pd.DataFrame({"at": at, "x": x, "day": day})


def learnt(data: pd.DataFrame) -> tuple[Reference, Calibration]:
    reference = build_reference(data[["at", "x"]], timestamp="at")
    found = from_reference(reference, "all", "day")
    assert found is not None and found.windows == data["day"].nunique()
    return reference, found


def psi(r: Floats, c: Floats) -> float:
    p, q = ((n + 0.5) / (n.sum() + len(n) / 2) for n in (r, c))
    return float(((q - p) * np.log(q / p)).sum())


def groups_by_day(reference: Reference, data: pd.DataFrame) -> Floats:
    """Values by day and group [days, B], through the grid that the reference has."""
    grids = reference.gridset
    made = [
        grids.sum_groups(grids.count({"x": Column(x.to_numpy())}, len(x))[0].counts)
        for _, x in data.groupby("day")["x"]
    ]
    return np.array(made, np.float64)


def distances(groups: Floats) -> tuple[Floats, Floats]:
    """PSI of each day against the others, and what is left of it beyond noise, by degree."""
    n, df = groups.sum(axis=1), groups.shape[1] - 1
    rest = groups.sum(axis=0) - groups
    found = np.array([psi(r, c) for r, c in zip(rest, groups, strict=True)])
    return found, found / df - 1 / n - 1 / (n.sum() - n)


@pytest.mark.parametrize("days", [60, 99, 100, 130])
def test_wobble_and_guard_are_those_of_each_day_against_the_others(days: int) -> None:
    data = frame(days, seed=days)
    reference, found = learnt(data)
    seen, excess = distances(groups_by_day(reference, data))
    assert found.tau2[0] == pytest.approx(max(0.0, excess.mean()), rel=1e-9)
    assert found.tau2[0] > 0
    assert found.guard_max[0] == pytest.approx(seen.max(), rel=1e-9)
    # Of a hundred windows on their 99th percentile, between two of them as a ruler has it.
    ordered, place = np.sort(seen), 0.99 * (days - 1)
    low, part = int(place), place - int(place)
    among = ordered[low] + part * (ordered[min(low + 1, days - 1)] - ordered[low])
    wanted = ordered[-1] if days < 100 else among
    assert found.guard[0] == pytest.approx(wanted, rel=1e-9)
    assert (found.guard[0] < found.guard_max[0]) == (days >= 100)


def prediction_bounds(excess: Floats) -> tuple[float, float]:
    j = len(excess)
    beyond = float(stats.t.ppf(0.999, j - 1)) * float(
        np.sqrt(((excess - excess.mean()) ** 2).sum() / (j - 1) * (1 + 1 / j))
    )
    up = max(0.0, excess.max(), excess.mean() + beyond)
    return up, max(0.0, -excess.min(), beyond - excess.mean())


@pytest.mark.parametrize("days", [8, 20, 60])
def test_the_tolerance_of_a_rate_is_the_bound_for_one_more_day(days: int) -> None:
    data = frame(days, seed=days)
    _, found = learnt(data)
    by_day = data.groupby("day")["x"]
    hits, n = by_day.apply(lambda x: x.isna().sum()).to_numpy(), by_day.size().to_numpy()
    excess = hits / n - (hits.sum() - hits) / (n.sum() - n)
    up, down = prediction_bounds(excess)
    assert found.up["missing"][0] == pytest.approx(up, rel=1e-9)
    assert found.down["missing"][0] == pytest.approx(down, rel=1e-9)
    # The bound and not the widest day decides here.
    assert up > excess.max() and down > -excess.min()


def test_one_day_that_is_far_off_is_the_tolerance_itself() -> None:
    data = frame(60, seed=3)
    far = (data["day"] == 17) & (np.arange(len(data)) % 10 < 9)
    data.loc[far, "x"] = np.nan
    _, found = learnt(data)
    by_day = data.groupby("day")["x"]
    hits, n = by_day.apply(lambda x: x.isna().sum()).to_numpy(), by_day.size().to_numpy()
    excess = hits / n - (hits.sum() - hits) / (n.sum() - n)
    assert found.up["missing"][0] == pytest.approx(float(excess[17]), rel=1e-9)


def test_values_outside_all_other_days_are_counted_against_those() -> None:
    """On the frozen grid nothing of the reference is out of range: it would be nought."""
    data = frame(20, seed=5)
    data.loc[data.index[data["day"] == 4][:30], "x"] = 60.0
    data.loc[data.index[data["day"] == 9][:12], "x"] = -60.0
    _, found = learnt(data)
    outside: list[float] = []
    for day in range(20):
        own, others = (
            data.loc[which, "x"].dropna() for which in (data["day"] == day, data["day"] != day)
        )
        outside.append(float(((own < others.min()) | (own > others.max())).mean()))
    up, down = prediction_bounds(np.array(outside))
    assert found.up["out_of_range"][0] == pytest.approx(up, rel=1e-9)
    assert found.down["out_of_range"][0] == pytest.approx(down, rel=1e-9)
    assert up > 0.05


def test_live_windows_teach_by_themselves_alone() -> None:
    """Half a sigma off the reference from the start: the distance from it plays no part."""
    reference, _ = learnt(frame(60, seed=1))
    draw = np.random.default_rng(8)
    counts, groups, missing, rows = [], [], [], []
    for by in draw.normal(0.5, 0.1, 9):
        x = draw.normal(by, 1.0, 400)
        x[: int(draw.integers(10, 40))] = np.nan
        profile = reference.gridset.count({"x": Column(x)}, len(x))[0]
        counts.append(profile.counts)
        groups.append(reference.gridset.sum_groups(profile.counts))
        missing.append(int(np.isnan(x).sum()))
        rows.append(len(x))
    found = from_windows(reference, np.stack(counts))
    seen, excess = distances(np.array(groups, np.float64))
    assert (found.source, found.windows) == ("live", 9)
    assert found.tau2[0] == pytest.approx(max(0.0, excess.mean()), rel=1e-9)
    assert found.guard[0] == found.guard_max[0] == pytest.approx(seen.max(), rel=1e-9)
    hits, n = np.array(missing), np.array(rows)
    up, down = prediction_bounds(hits / n - (hits.sum() - hits) / (n.sum() - n))
    assert found.up["missing"][0] == pytest.approx(up, rel=1e-9)
    assert found.down["missing"][0] == pytest.approx(down, rel=1e-9)
    own = reference.gridset.sum_groups(reference.profiles["all"].counts).astype(np.float64)
    assert psi(own, np.sum(groups, axis=0)) > found.guard[0]
