"""The rule, statistic by statistic: when it alarms, when it does not, when it cannot say."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from driftline.stats.calibration import Calibration, from_reference, from_windows, unknown
from driftline.stats.evidence import Judge, round_significant
from driftline.stats.judgement import Judgement, Mark
from driftline.stats.profile import Column
from driftline.stats.reference import Reference, build_reference
from driftline.stats.season import Season, When, when
from driftline.stats.stack import Stack

DAYS, ROWS_A_DAY = 60, 500
MONDAY_MS, DAY_MS = 1_704_067_200_000, 86_400_000
MONDAY = when(np.array([MONDAY_MS]), "UTC")
SATURDAY = when(np.array([MONDAY_MS + 5 * DAY_MS]), "UTC")


def mondays(n: int) -> When:
    return when(MONDAY_MS + 7 * DAY_MS * np.arange(n), "UTC")


def frame(seed: int = 1, **columns: Any) -> pd.DataFrame:
    """Sixty days from a Monday on: a normal feature, a category, and what a test adds."""
    draw = np.random.default_rng(seed)
    n = DAYS * ROWS_A_DAY
    at = pd.date_range("2024-01-01", periods=n, freq=f"{86_400_000 // ROWS_A_DAY}ms", tz="UTC")
    data = {"at": at, "x": draw.normal(size=n), "c": draw.choice(list("abc"), n, p=[0.5, 0.3, 0.2])}
    return pd.DataFrame(data | columns)


@pytest.fixture(scope="module")
def reference() -> Reference:
    x = np.random.default_rng(1).normal(size=DAYS * ROWS_A_DAY)
    gaps = np.random.default_rng(2).random(len(x)) < 0.3
    return build_reference(
        frame(gappy=np.where(gaps, np.nan, x), constant=np.full(len(x), 3.0)), timestamp="at"
    )


def counts(reference: Reference, rows: int, **columns: Column) -> Stack:
    return Stack.of(reference.gridset.count(columns, rows, with_sums=True))


def judge(
    reference: Reference, rows: int, *, length: str = "day", **columns: Column
) -> dict[str, Any]:
    """Judge one window and return what is said of each feature it names."""
    found = Judge(reference, "all", length, from_reference(reference, "all", length)).judge(
        counts(reference, rows, **columns), MONDAY
    )
    return {name: at(found, reference, name) for name in reference.gridset.names()}


def at(found: Judgement, reference: Reference, name: str) -> dict[str, Any]:
    f = reference.gridset.names().index(name)
    return {
        "psi": found.psi[0, f],
        "limit": found.psi_limit[0, f],
        "critical": found.psi_critical[0, f],
        "lower": found.psi_lower[0, f],
        "verdict": str(found.verdict[0, f]),
        "evidence": str(found.evidence[0, f]),
        "ratio": found.ratio[0, f],
        "marks": {name: tuple(marks[0, f]) for name, marks in found.marks.items()},
        "rates": {
            name: (rate.value[0, f], rate.excess[0, f], rate.limit[0, f])
            for name, rate in found.rates.items()
        },
    }


def normal(n: int, shift: float = 0.0, seed: int = 5) -> Column:
    return Column(np.random.default_rng(seed).normal(shift, size=n))


def test_a_window_like_the_reference_is_ok(reference: Reference) -> None:
    found = judge(reference, 2_000, x=normal(2_000))["x"]
    assert found["verdict"] == "ok"
    assert found["marks"]["psi"] == (Mark.CLEAR, Mark.CLEAR)
    assert found["psi"] < found["limit"] and found["lower"] == 0.0


def test_half_a_sigma_is_a_warning_and_three_quarters_are_critical(reference: Reference) -> None:
    assert judge(reference, 2_000, x=normal(2_000, 0.5))["x"]["verdict"] == "warning"
    assert judge(reference, 2_000, x=normal(2_000, 0.8))["x"]["verdict"] == "critical"


def test_a_fifth_of_a_sigma_is_silent_by_design(reference: Reference) -> None:
    assert judge(reference, 10_000, x=normal(10_000, 0.2))["x"]["verdict"] == "ok"


def test_the_lower_bound_is_the_delta_whose_limit_is_the_psi(reference: Reference) -> None:
    found = judge(reference, 2_000, x=normal(2_000, 0.5))["x"]
    calibration = from_reference(reference, "all", "day")
    assert calibration is not None
    f = reference.gridset.names().index("x")
    v = 1 / 2_000 + 1 / reference.rows + calibration.tau2[f]
    df = reference.gridset.B[f] - 1
    assert v * stats.ncx2.ppf(0.999, df, found["lower"] / v) == pytest.approx(
        found["psi"], rel=1e-6
    )
    assert 0.10 < found["lower"] < found["psi"]


def test_a_window_is_clear_below_the_line_that_is_told(reference: Reference) -> None:
    calibration = from_reference(reference, "all", "day")
    judge_day = Judge(reference, "all", "day", calibration)
    place = reference.gridset.names().index("x")
    marks = set()
    for n in range(30):
        window = counts(reference, 1_000, x=normal(1_000, shift=n / 60, seed=n))
        found = judge_day.judge(window, MONDAY)
        for level, name in enumerate(("warning", "critical")):
            line = judge_day.psi_clears_below(found.values, MONDAY, name)[0, place]
            is_clear = found.marks["psi"][0, place, level] == Mark.CLEAR
            assert is_clear == (found.psi[0, place] < line)
            marks.add((name, is_clear))
    assert len(marks) == 4


def test_limits_fall_as_windows_grow(reference: Reference) -> None:
    limits = [judge(reference, n, x=normal(n))["x"]["limit"] for n in (100, 300, 1_000, 10_000)]
    assert limits == sorted(limits, reverse=True)
    assert limits[-1] > 0.10


def test_under_a_hundred_rows_psi_is_not_judged_but_missing_values_are(
    reference: Reference,
) -> None:
    found = judge(reference, 60, x=Column(np.full(60, np.nan)))["x"]
    assert np.isnan(found["psi"])
    assert found["verdict"] == "critical" and found["evidence"] == "missing"


def test_under_twenty_rows_nothing_is_said(reference: Reference) -> None:
    assert judge(reference, 19, x=normal(19, 9.0))["x"]["verdict"] == "insufficient_data"


def test_a_window_without_rows_has_no_statistics(reference: Reference) -> None:
    found = judge(reference, 0)["x"]
    assert found["verdict"] == "insufficient_data"
    assert np.isnan(found["psi"]) and np.isnan(found["rates"]["missing"][0])


def test_a_column_that_goes_null_alarms_and_so_does_one_that_stops_being_null(
    reference: Reference,
) -> None:
    n = 500
    up = Column(np.where(np.arange(n) < 250, np.nan, normal(n).values))
    found = judge(reference, n, x=normal(n), gappy=up)["gappy"]
    assert found["rates"]["missing"][0] == 0.5 and found["rates"]["missing"][1] > 0.05
    assert found["marks"]["missing"] == (Mark.EXCEEDS, Mark.EXCEEDS)
    assert judge(reference, n, gappy=normal(n))["gappy"]["marks"]["missing"][0] == Mark.EXCEEDS
    assert judge(reference, n, gappy=normal(n))["gappy"]["rates"]["missing"][1] < 0


def test_ordinary_gaps_do_not_alarm(reference: Reference) -> None:
    n = 500
    gaps = Column(np.where(np.arange(n) % 10 < 3, np.nan, normal(n).values))
    assert judge(reference, n, gappy=gaps)["gappy"]["verdict"] == "ok"


def test_wrong_types_and_unseen_categories_alarm_by_their_own_name(reference: Reference) -> None:
    n = 500
    wrong = np.where(np.arange(n) < 50, 3, 0).astype(np.uint8)
    found = judge(reference, n, x=Column(normal(n).values, wrong))["x"]
    assert found["evidence"] == "type_error" and found["verdict"] == "critical"
    strange = Column(["new"] * 20 + ["a"] * 240 + ["b"] * 144 + ["c"] * 96)
    found = judge(reference, n, c=strange)["c"]
    assert found["marks"]["unseen"][0] == Mark.EXCEEDS
    assert found["rates"]["unseen"][0] == 0.04


def test_a_constant_reference_is_judged_by_the_share_that_differs(reference: Reference) -> None:
    n = 500
    moved = Column(np.where(np.arange(n) < 100, 4.0, 3.0))
    found = judge(reference, n, constant=moved)["constant"]
    assert found["marks"]["psi"] == (Mark.NOT_EVALUABLE, Mark.NOT_EVALUABLE)
    assert found["evidence"] == "out_of_range" and found["verdict"] == "critical"
    assert judge(reference, n, constant=Column(np.full(n, 3.0)))["constant"]["verdict"] == "ok"


def test_where_psi_is_judged_out_of_range_is_evidence_only(reference: Reference) -> None:
    n = 500
    far = Column(np.where(np.arange(n) < 100, 50.0, normal(n).values))
    found = judge(reference, n, x=far)["x"]
    assert found["rates"]["out_of_range"][0] >= 0.2
    assert found["marks"]["out_of_range"] == (Mark.NOT_EVALUABLE, Mark.NOT_EVALUABLE)


def test_a_feature_whose_days_all_differ_is_blind_and_its_range_judges_it() -> None:
    draw = np.random.default_rng(3)
    level = np.repeat(np.sin(np.arange(DAYS) * 0.7), ROWS_A_DAY)
    level += draw.normal(0, 0.05, DAYS * ROWS_A_DAY)
    weather = build_reference(frame(weather=level)[["at", "weather"]], timestamp="at")
    n = 500
    found = judge(weather, n, weather=Column(np.full(n, 0.5)))["weather"]
    assert found["verdict"] == "blind" and found["limit"] > found["psi"]
    beyond = judge(weather, n, weather=Column(np.full(n, 99.0)))["weather"]
    assert beyond["verdict"] == "critical" and beyond["evidence"] == "out_of_range"


def test_weekends_are_compared_with_weekends_where_they_differ() -> None:
    data = frame()
    data["x"] += np.where(data["at"].dt.day_of_week >= 5, 2.0, 0.0)
    seasonal = build_reference(data[["at", "x"]], timestamp="at")
    calibration = from_reference(seasonal, "all", "day")
    assert calibration is not None and calibration.season[0] == Season.WEEKEND
    window = counts(seasonal, 2_000, x=normal(2_000, 2.0))
    judge_day = Judge(seasonal, "all", "day", calibration)
    assert judge_day.judge(window, SATURDAY).verdict[0, 0] == "ok"
    assert judge_day.judge(window, MONDAY).verdict[0, 0] == "critical"


def test_while_a_length_collects_it_is_shown_and_not_judged(reference: Reference) -> None:
    window = counts(reference, 2_000, x=normal(2_000, 3.0))
    found = at(Judge(reference, "all", "week", None).judge(window, MONDAY), reference, "x")
    assert found["verdict"] == "collecting" and found["psi"] > 1
    assert set(found["marks"].values()) == {(Mark.NOT_EVALUABLE, Mark.NOT_EVALUABLE)}


def test_without_any_calibration_it_warns_and_never_goes_further(reference: Reference) -> None:
    judge_any = Judge(reference, "all", "day", unknown(reference))
    calm = judge_any.judge(counts(reference, 2_000, x=normal(2_000)), MONDAY)
    wild = judge_any.judge(counts(reference, 2_000, x=normal(2_000, 5.0)), MONDAY)
    assert at(calm, reference, "x")["verdict"] == "uncalibrated"
    assert at(wild, reference, "x")["verdict"] == "warning"


def test_live_windows_teach_their_wobble_and_not_their_distance(reference: Reference) -> None:
    windows = Stack.together(
        [counts(reference, 2_000, x=normal(2_000, 1.0, seed)) for seed in range(8)]
    )
    learnt = from_windows(reference, windows.counts)
    assert learnt.tau2[0] < 0.01 and learnt.guard[0] < 0.05
    again = Judge(reference, "all", "week", learnt).judge(windows.take([0]), MONDAY)
    assert at(again, reference, "x")["verdict"] == "critical"


def test_a_longer_length_is_never_wilder_than_a_shorter_one(reference: Reference) -> None:
    calm, wild = from_reference(reference, "all", "day"), unknown(reference)
    assert calm is not None
    capped = calm.no_wilder_than(wild)
    assert (capped.tau2 == 0).all() and (capped.guard == 0).all()
    nothing = Calibration("live", 0, calm.tau2 * np.nan, calm.guard * np.nan,
                          calm.guard_max * np.nan, calm.season,
                          {k: v * np.nan for k, v in calm.up.items()},
                          {k: v * np.nan for k, v in calm.down.items()})  # fmt: skip
    np.testing.assert_array_equal(calm.no_wilder_than(nothing).tau2, calm.tau2)


def test_a_calibration_survives_its_stored_form_to_the_bit(reference: Reference) -> None:
    known = from_reference(reference, "all", "day")
    assert known is not None
    again = Calibration.from_json(known.to_json())
    np.testing.assert_array_equal(again.tau2, known.tau2)
    np.testing.assert_array_equal(again.up["missing"], known.up["missing"])


def test_windows_judged_together_say_what_they_say_alone(reference: Reference) -> None:
    windows = [counts(reference, n, x=normal(n, s)) for n, s in ((50, 0), (400, 1), (9_000, 0.4))]
    judge_day = Judge(reference, "all", "day", from_reference(reference, "all", "day"))
    together = judge_day.judge(Stack.together(windows), mondays(3))
    for place, window in enumerate(windows):
        alone = judge_day.judge(window, MONDAY)
        np.testing.assert_array_equal(together.psi[place], alone.psi[0])
        np.testing.assert_array_equal(together.psi_limit[place], alone.psi_limit[0])
        assert together.verdict[place].tolist() == alone.verdict[0].tolist()


def test_without_drift_hardly_any_window_exceeds(reference: Reference) -> None:
    """At a true PSI of 0 the rule's .001 is far away: 400 windows of 300 rows, none above."""
    windows = Stack.together([counts(reference, 300, x=normal(300, 0.0, s)) for s in range(400)])
    judge_day = Judge(reference, "all", "day", from_reference(reference, "all", "day"))
    found = judge_day.judge(windows, mondays(400))
    f = reference.gridset.names().index("x")
    assert (found.marks["psi"][:, f, 0] == Mark.EXCEEDS).sum() == 0


def test_rounding_keeps_nine_significant_digits_and_what_is_no_number() -> None:
    values = np.array([1.23456789012, 1e-12, 0.0, -98765.4321098, np.nan, np.inf])
    rounded = round_significant(values)
    assert rounded[:4].tolist() == [1.23456789, 1e-12, 0.0, -98765.4321]
    assert np.isnan(rounded[4]) and np.isinf(rounded[5])


def calls_to_judge(n_features: int, n_windows: int) -> int:
    """How many functions of `driftline.stats` are called for windows of so many features."""
    draw = np.random.default_rng(11)
    columns = {f"x{place}": draw.normal(size=4_000) for place in range(n_features)}
    columns |= {f"c{place}": draw.choice(list("abc"), 4_000) for place in range(n_features)}
    known = build_reference(pd.DataFrame(columns))
    rows = {name: Column(values[:300].tolist()) for name, values in columns.items()}
    rows |= {name: Column(columns[name][:300]) for name in columns if name.startswith("x")}
    window = Stack.of(known.gridset.count(rows, 300, with_sums=True))
    judge_day = Judge(known, "all", "day", unknown(known))
    windows, at = Stack.together([window] * n_windows), mondays(n_windows)
    judge_day.judge(windows, at)  # what is kept of a reference is made once
    count = 0

    def called(frame: Any, event: str, _: object) -> None:
        nonlocal count
        count += event == "call" and "driftline/stats/" in frame.f_code.co_filename

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        found = judge_day.judge(windows, at)
    finally:
        sys.setprofile(before)
    place = known.gridset.names().index("x0")
    assert found.measures is not None and (found.measures.w1_low[:, place] >= 0).all()
    return count


def test_a_hundred_features_or_windows_are_judged_by_no_more_calls_than_one() -> None:
    assert calls_to_judge(1, 1) == calls_to_judge(20, 1) == calls_to_judge(5, 4) > 0
