"""How far `calibrate` is below the truth where days hang on one another, and that it says so.

Its months are put together from the days that the reference has. A mean that wanders goes on
where they end.
"""

from __future__ import annotations

from typing import NamedTuple

import alarm_worlds as worlds
import numpy as np
import pytest
from bench_alarms import clopper_pearson

from driftline import calibrate
from driftline.calibrating.persistence import hanging

pytestmark = pytest.mark.statistical

FEATURES, ROWS, SD = 20, 2_000, 0.3


class Found(NamedTuple):
    """Features whose daily mean is .3 sigma wide, and what 28 days of them said before."""

    # Feature-months with an episode: between, at 95 %.
    low: float
    high: float
    # Expected episodes a feature-month, and the upper end of their interval, on average.
    expected: float
    most: float
    # Share of the features that hang on the day before, as told, and reports with such a note.
    hanging: float
    notes: int


def found(phi: float, seeds: tuple[int, ...]) -> Found:
    hit, expected, most, hang, notes = 0, [], [], [], 0
    for seed in seeds:
        made = worlds.month(worlds.persistent(SD, phi), ROWS, FEATURES, seed, length="day")
        told = worlds.told(worlds.by_the_rule(made), made.when, "day")
        hit += int((told.episodes > 0).sum())
        report = calibrate(made.reference, lengths=["day"], sizes=[], months=4)
        expected += [row.false_episodes_per_month for row in report]
        most += [row.high for row in report]
        hang += (~np.isnan(hanging(made.reference, "day", made.calibration))).tolist()
        notes += any("days hang on one another" in note for note in report.notes)
    low, high = clopper_pearson(hit, len(seeds) * FEATURES)
    return Found(low, high, *(float(np.mean(each)) for each in (expected, most, hang)), notes)


def test_days_that_stand_alone_tell_as_often_as_is_expected() -> None:
    """The control, as wide but without memory: 2 of 40 had an episode, .014 of each expected."""
    alone = found(0.0, (7_001, 7_002))
    assert alone.low <= alone.expected <= alone.high < 0.2
    assert alone.hanging <= 0.1


def test_a_mean_that_wanders_for_days_is_told_ten_times_as_often_and_the_report_says_so() -> None:
    """AR(1), phi .9: 23 % to 54 % of the feature-months have one, where .0003 was expected."""
    wandering = found(0.9, (7_001, 7_002))
    assert wandering.low > 10 * wandering.expected
    assert wandering.low > 2 * wandering.most
    assert wandering.hanging >= 0.6 and wandering.notes == 2
