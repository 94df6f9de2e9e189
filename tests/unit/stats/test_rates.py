"""Rates by the written rule, computed once more: bounds, tolerances, levels, least rows, both ways.

Every number of hits from none to all is judged, so a limit that is off by one row is seen.
"""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from typing import Any

import numpy as np
import pandas as pd
import pytest

from driftline.stats.calibration import Calibration, from_reference, unknown
from driftline.stats.evidence import Judge
from driftline.stats.judgement import Mark, Rate
from driftline.stats.profile import Column, State
from driftline.stats.reference import Reference, build_reference
from driftline.stats.season import when
from driftline.stats.stack import Stack

DAYS, PER_DAY = 20, 200
MONDAY_MS = 1_704_067_200_000
RATES = ("missing", "type_error", "unseen", "out_of_range")


@pytest.fixture(scope="module")
def reference() -> Reference:
    """A number with 30 % gaps, a category, and a number that is always 3."""
    draw = np.random.default_rng(1)
    n = DAYS * PER_DAY
    data = {
        "at": pd.date_range("2024-01-01", periods=n, freq="432s", tz="UTC"),
        "x": np.where(np.arange(n) % 10 < 3, np.nan, draw.normal(size=n)),
        "c": draw.choice(list("abc"), n),
        "same": np.full(n, 3.0),
    }
    return build_reference(pd.DataFrame(data), timestamp="at")


def tolerating(reference: Reference, up: float, down: float) -> Calibration:
    found = from_reference(reference, "all", "day")
    assert found is not None
    every = len(reference.gridset.features)
    return replace(
        found,
        up=dict.fromkeys(RATES, np.full(every, up)),
        down=dict.fromkeys(RATES, np.full(every, down)),
    )


def wilson(x: int, n: int) -> tuple[float, float]:
    z, p = 3.09, x / n
    middle, half = p + z * z / (2 * n), z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def difference(x: int, n: int, y: int, m: int) -> tuple[float, float]:
    """Newcombe's interval of x/n - y/m."""
    (low, high), (own_low, own_high) = wilson(x, n), wilson(y, m)
    p, own = x / n, y / m
    return (
        p - own - sqrt((p - low) ** 2 + (own_high - own) ** 2),
        p - own + sqrt((high - p) ** 2 + (own - own_low) ** 2),
    )


def window(reference: Reference, rate: str, hits: int, n: int) -> Stack:
    """`n` rows (of which values are n) with so many hits of a rate."""
    odd = np.arange(n) < hits
    x: Any = np.random.default_rng(2).normal(size=n)
    columns = {"x": Column(x), "c": Column(list("abc") * (n // 3) + ["a"] * (n % 3))}
    columns["same"] = Column(np.full(n, 3.0))
    if rate == "missing":
        columns["x"] = Column(np.where(odd, np.nan, x))
    elif rate == "type_error":
        columns["x"] = Column(x, np.where(odd, State.TYPE_ERROR, State.VALUE).astype(np.uint8))
    elif rate == "unseen":
        columns["c"] = Column(["new" if new else "a" for new in odd])
    else:
        columns["same"] = Column(np.where(odd, 4.0, 3.0))
    return Stack.of(reference.gridset.count(columns, n, with_sums=True))


PLACE = {"missing": "x", "type_error": "x", "unseen": "c", "out_of_range": "same"}
OWN = {"missing": 0.3, "type_error": 0.0, "unseen": 0.0, "out_of_range": 0.0}
LEAST = {"missing": 0.01, "type_error": 0.01, "unseen": 0.005, "out_of_range": 0.01}


def judged(
    reference: Reference, calibration: Calibration, rate: str, n: int, length: str = "day"
) -> tuple[Rate, Any]:
    """The rate and its marks [hits from 0 to n, 2 levels]."""
    stack = Stack.together([window(reference, rate, hits, n) for hits in range(n + 1)])
    at = when(np.full(n + 1, MONDAY_MS), "UTC")
    found = Judge(reference, "all", length, calibration).judge(stack, at)
    f = reference.gridset.names().index(PLACE[rate])
    made = found.rates[rate]
    one = Rate(*(part[:, f] for part in (made.value, made.excess, made.limit)))
    return one, found.marks[rate][:, f]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(("up", "down"), [(0.0, 0.0), (0.03, 0.12)])
def test_a_rate_is_held_against_its_tolerance_and_five_points_more(
    reference: Reference, rate: str, up: float, down: float
) -> None:
    n, m = 150, DAYS * PER_DAY
    own = round(OWN[rate] * m)
    found, marks = judged(reference, tolerating(reference, up, down), rate, n)
    for hits in range(n + 1):
        low, high = (wilson(hits, n)[0], 0.0) if rate == "unseen" else difference(hits, n, own, m)
        fell = -high > max(low, 0.0)
        excess = high if fell else max(low, 0.0)
        limit = max(down if fell else up, LEAST[rate])
        assert found.value[hits] == pytest.approx(hits / n, rel=1e-8)
        assert found.excess[hits] == pytest.approx(excess, rel=1e-7, abs=1e-12)
        assert found.limit[hits] == pytest.approx(limit, rel=1e-8)
        over = [abs(excess) > line for line in (limit, limit + 0.05)]
        wanted = [Mark.EXCEEDS if above else Mark.CLEAR for above in over]
        assert marks[hits].tolist() == wanted, hits
    told = (marks[:, 0] == Mark.EXCEEDS).sum()
    assert 0 < (marks[:, 1] == Mark.EXCEEDS).sum() < told < n + 1
    if rate == "missing":  # somebody filled it
        assert marks[0, 0] == Mark.EXCEEDS


@pytest.mark.parametrize(
    ("rate", "least"), [("missing", 20), ("type_error", 20), ("unseen", 100), ("out_of_range", 20)]
)
def test_a_rate_is_judged_from_its_least_rows_on(
    reference: Reference, rate: str, least: int
) -> None:
    known = tolerating(reference, 0.0, 0.0)
    _, few = judged(reference, known, rate, least - 1)
    _, enough = judged(reference, known, rate, least)
    assert (few == Mark.NOT_EVALUABLE).all()
    assert (enough != Mark.NOT_EVALUABLE).all() and (enough[-1] == Mark.EXCEEDS).all()


def test_a_tolerance_that_leaves_no_room_judges_nothing(reference: Reference) -> None:
    """30 % are missing: up to 70 points more, or 30 fewer, can be."""
    for up, down, is_judged in ((0.7, 0.3, False), (0.69, 0.3, True), (0.7, 0.29, True)):
        _, marks = judged(reference, tolerating(reference, up, down), "missing", 100)
        assert (marks != Mark.NOT_EVALUABLE).all() == is_judged
        assert (marks == Mark.NOT_EVALUABLE).all() != is_judged


def test_hours_do_not_judge_what_is_out_of_range(reference: Reference) -> None:
    known = tolerating(reference, 0.0, 0.0)
    found, marks = judged(reference, known, "out_of_range", 60, "hour")
    assert (marks == Mark.NOT_EVALUABLE).all()
    assert found.value[60] == 1.0 and np.isnan(found.limit).all()


def test_without_any_wobble_known_nothing_is_critical(reference: Reference) -> None:
    for rate in RATES:
        _, marks = judged(reference, unknown(reference), rate, 120)
        assert marks[-1].tolist() == [Mark.EXCEEDS, Mark.NOT_EVALUABLE]
