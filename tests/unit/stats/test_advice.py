"""What a reference leaves unjudged is said when it is registered."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from driftline.stats.advice import advice
from driftline.stats.calibration import from_reference
from driftline.stats.groups import psi_by_feature
from driftline.stats.profile import Column
from driftline.stats.reference import build_reference
from driftline.stats.visible import sight

ROWS_A_DAY = 240


def frame(days: int, **columns: np.ndarray) -> pd.DataFrame:
    n = days * ROWS_A_DAY
    at = pd.date_range("2024-01-01", periods=n, freq=f"{86400 // ROWS_A_DAY}s", tz="UTC")
    return pd.DataFrame({"at": at, "x": np.random.default_rng(1).normal(size=n), **columns})


def test_a_reference_without_times_says_that_nothing_goes_above_a_warning() -> None:
    (said,) = advice(build_reference(frame(10).drop(columns="at")))
    assert "no times" in said and "timestamp=" in said


def test_a_length_with_too_few_slices_says_that_it_waits() -> None:
    said = advice(build_reference(frame(10), timestamp="at"))
    assert said == (
        "Week windows wait for 8 live ones before they are judged: the reference has 0 full weeks.",
        "Few rows: usually 10 in 1 hour. Distributions need 100 values in a window, so these judge "
        "rates alone; days and weeks judge distributions.",
    )


def test_a_feature_whose_days_are_all_different_is_blind() -> None:
    days = 60
    level = np.repeat(np.random.default_rng(2).normal(size=days), ROWS_A_DAY)
    said = advice(build_reference(frame(days, weather=level), timestamp="at"))
    assert any(line.startswith("Blind at 1 day:") and "weather" in line for line in said)
    assert not any("x" in line.split("of", 1)[-1].split() for line in said if "Blind" in line)


def test_a_day_unlike_the_others_is_pointed_out() -> None:
    days = 60
    x = np.random.default_rng(3).normal(size=days * ROWS_A_DAY)
    x[20 * ROWS_A_DAY : 21 * ROWS_A_DAY] += 3
    said = advice(build_reference(frame(days).assign(x=x), timestamp="at"))
    (odd,) = [line for line in said if line.startswith("Odd day ")]
    assert "21 January 2024 (x)" in odd and "(exclude_slices=['2024-01-21'])" in odd
    mended = build_reference(frame(days).assign(x=x), timestamp="at", exclude_slices=["2024-01-21"])
    assert not any("Odd" in line for line in advice(mended))


def test_an_odd_week_is_pointed_out_where_days_have_too_few_rows() -> None:
    days = 40 * 7
    at = pd.date_range("2024-01-01", periods=days * 40, freq="36min", tz="UTC")
    x = np.random.default_rng(8).normal(size=len(at))
    odd_week = (at >= "2024-03-04") & (at < "2024-03-11")
    data = pd.DataFrame({"at": at, "x": np.where(odd_week, x + 4, x)})
    (odd,) = [s for s in advice(build_reference(data, timestamp="at")) if s.startswith("Odd")]
    assert odd.startswith("Odd week in the reference: from 4 March 2024 (x) lies over 10 times")
    assert odd.endswith("(exclude_slices=['2024-03-04/2024-03-10']).")
    mended = build_reference(data, timestamp="at", exclude_slices=["2024-03-04/2024-03-10"])
    assert not any("Odd" in line for line in advice(mended))


def test_windows_with_few_rows_are_said_with_the_length_that_judges() -> None:
    at = pd.date_range("2024-01-01", periods=900, freq="5h", tz="UTC")
    x = np.random.default_rng(1).normal(size=900)
    said = advice(build_reference(pd.DataFrame({"at": at, "x": x}), timestamp="at"))
    (few,) = [line for line in said if line.startswith("Few rows")]
    assert few.startswith("Few rows: usually 1 in 1 hour, 5 in 1 day, 34 in 1 week. ")
    assert "windows of 28 days judge distributions" in few
    assert "--windows hour,day,week,4weeks" in few


def test_a_feature_that_only_sees_large_shifts_is_nearly_blind() -> None:
    days = 60
    rng = np.random.default_rng(4)
    level = np.repeat(rng.normal(0, 0.5, days), ROWS_A_DAY)
    x = level + rng.normal(size=days * ROWS_A_DAY)
    said = advice(build_reference(frame(days, wobbly=x), timestamp="at"))
    (near,) = [line for line in said if line.startswith("Nearly blind at 1 day")]
    found = re.search(r"only from (\d\.\d) standard deviations on in wobbly\. Longer", near)
    assert found is not None and 0.8 <= float(found[1]) <= 2.5
    # The promise holds: a window that is shifted by less is not above the limit, one by more is.
    reference = build_reference(frame(days, wobbly=x), timestamp="at")
    calibration = from_reference(reference, "all", "day")
    assert calibration is not None
    seen = sight(reference, "all", "day", calibration)
    f = reference.gridset.names().index("wobbly")
    normal = rng.normal(0, np.sqrt(1.25), 20_000)
    for factor, exceeds in ((0.8, False), (1.25, True)):
        moved = normal + factor * seen.shift[f] * np.sqrt(1.25)
        column = {"wobbly": Column(moved, None)}
        (profile,) = reference.gridset.count(column, len(moved))
        groups = reference.gridset.sum_groups(profile.counts[None, :])
        own = reference.gridset.sum_groups(reference.profiles["all"].counts[None, :])
        psi = psi_by_feature(reference.gridset, own, groups)[0][0, f]
        assert (psi > seen.limit[f]) == exceeds


def test_a_rate_that_differs_wildly_is_blind_and_said() -> None:
    days = 60
    rng = np.random.default_rng(5)
    gone = np.repeat(rng.random(days) < 0.5, ROWS_A_DAY)
    x = np.where(gone, np.nan, rng.normal(size=len(gone)))
    said = advice(build_reference(frame(days, pressure=x), timestamp="at"))
    assert any(
        line.startswith("Blind at 1 day to missing values:") and "pressure" in line for line in said
    )
    steady = np.where(rng.random(len(gone)) < 0.5, np.nan, rng.normal(size=len(gone)))
    said = advice(build_reference(frame(days, pressure=steady), timestamp="at"))
    assert not any("missing values" in line for line in said)


def test_small_segments_are_said_once() -> None:
    days = 20
    n = days * ROWS_A_DAY
    team = np.where(np.arange(n) % 24 == 0, "few", "many")
    said = advice(build_reference(frame(days, team=team), timestamp="at", segments=["team"]))
    assert sum("team=few" in line for line in said) == 1
    assert not any("team=many" in line for line in said)


def test_heavy_tails_are_told_from_skewed_values() -> None:
    rng = np.random.default_rng(6)
    n = 20_000
    families = {
        "normal": rng.normal(size=n),
        "lognormal": rng.lognormal(0, 1, n),
        "uniform": rng.random(n),
        "zeros": np.where(rng.random(n) < 0.9, 0.0, rng.normal(5, 1, n)),
        "constant": np.full(n, 2.0),
        "cauchy": rng.standard_cauchy(n),
        "wild": rng.lognormal(0, 4, n),
    }
    (said,) = [s for s in advice(build_reference(pd.DataFrame(families))) if "tails" in s]
    assert said.startswith("Heavy tails: 1% of the values of cauchy, wild carry over half")
