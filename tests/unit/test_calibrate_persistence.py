"""Windows that hang on their neighbours: the simulation cannot know how far they wander."""

from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from driftline import calibrate
from driftline.calibrating import persistence
from driftline.calibrating.persistence import correlation, hanging
from driftline.stats.calibration import from_reference
from driftline.stats.reference import build_reference

DAY_MS, PER_DAY, DAYS = 86_400_000, 150, 120
MONDAY_MS = 1_767_571_200_000


def wandering(days: int, seed: int, phi: float) -> NDArray[np.float64]:
    """AR(1) of variance 1."""
    draw = np.random.default_rng(seed)
    level = [draw.normal()]
    while len(level) < days:
        level.append(phi * level[-1] + np.sqrt(1 - phi * phi) * draw.normal())
    return np.array(level)


def rows(days: int = DAYS, seed: int = 0) -> dict[str, Any]:
    """Features that wander, that are each day somewhere else, and that know weekends."""
    draw = np.random.default_rng(seed)
    day = np.arange(days).repeat(PER_DAY)
    n = len(day)
    noise = draw.normal(size=(4, n))
    weekend = np.arange(days) % 7 >= 5
    share = 1 / (1 + np.exp(2 - wandering(days, seed + 1, 0.9)))
    letters = np.where(draw.random(n) < share[day], "rare", "usual")
    return {
        "at": MONDAY_MS + day * DAY_MS + np.tile(np.arange(PER_DAY) * (DAY_MS // PER_DAY), days),
        "wanders": noise[0] + 0.4 * wandering(days, seed + 2, 0.9)[day],
        "jumps": noise[1] + draw.normal(0, 0.4, days)[day],
        "weekends": noise[2] + 2.0 * weekend[day],
        "letters": letters,
        "gaps": np.where(draw.random(n) < share[day], np.nan, noise[3]),
        "calm": draw.normal(size=n),
    }


def test_the_correlation_is_that_of_each_window_with_the_next() -> None:
    level = wandering(4_000, 5, 0.7)
    hours = 3_600_000 * np.arange(len(level))
    r, chance = correlation(level[:, None], hours, 3_600_000)
    assert r == pytest.approx(float(np.corrcoef(level[1:], level[:-1])[0, 1]), abs=1e-3)
    assert chance == pytest.approx(2.326 / np.sqrt(3_999))
    # What does not follow makes no pair: every other hour is missing.
    assert np.isnan(correlation(level[::2, None], hours[::2], 3_600_000)).all()
    assert np.isnan(correlation(np.ones((9, 1)), hours[:9], 3_600_000)).all()
    assert np.isnan(correlation(np.empty((0, 1)), hours[:0], 3_600_000)).all()


def test_chance_is_passed_once_in_a_hundred_features() -> None:
    """4,000 features of 100 independent windows: more than 65 come once in 10,000 seeds."""
    draw = np.random.default_rng(1)
    days = DAY_MS * np.arange(100)
    passed = 0
    for _ in range(4_000):
        r, chance = correlation(draw.normal(size=(100, 1)), days, DAY_MS)
        passed += r > chance
    assert 5 < passed <= 65


def test_what_hangs_on_the_day_before_is_named_and_nothing_else() -> None:
    data = rows()
    reference = build_reference(data, timestamp="at")
    known = from_reference(reference, "all", "day")
    assert known is not None
    found = dict(zip(reference.gridset.names(), hanging(reference, "day", known), strict=True))
    assert {name for name, r in found.items() if r > 0} == {"wanders", "letters", "gaps"}
    assert all(0.4 < found[name] < 1 for name in ("wanders", "letters", "gaps"))


def test_the_report_says_so_in_a_note() -> None:
    some = ("at", "wanders", "jumps", "gaps")
    data = {name: values for name, values in rows().items() if name in some}
    found = calibrate(data, timestamp="at", lengths=["day"], sizes=[], months=2)
    (note,) = [note for note in found.notes if "hang on one another" in note]
    assert note.startswith("days hang on one another, a day is like the day before (correlation):")
    assert "wanders (0." in note and "gaps (0." in note and "jumps" not in note
    assert note.endswith("so expect more false episodes than are shown")
    assert f"note: {note}"[:70] in repr(found).replace("\n", " ")
    calm = {name: rows()[name] for name in ("at", "jumps", "calm")}
    found = calibrate(calm, timestamp="at", lengths=["day"], sizes=[], months=2)
    assert not [note for note in found.notes if "hang on one another" in note]


def test_the_examples_give_what_they_say() -> None:
    assert doctest.testmod(persistence).failed == 0
