"""What a reference leaves unjudged is said when it is registered."""

from __future__ import annotations

import numpy as np
import pandas as pd

from driftline.stats.advice import advice
from driftline.stats.reference import build_reference

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
    assert any("21 January 2024 (x)" in line for line in said)
