"""What a usual window would show, under each profile and under fixed limits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from driftline.stats.advice import advice
from driftline.stats.calibration import Calibration, from_reference
from driftline.stats.evidence import Judge
from driftline.stats.judgement import Mark
from driftline.stats.reference import Reference, build_reference
from driftline.stats.rule import PROFILES, FixedLimit, Rule
from driftline.stats.season import Season, When
from driftline.stats.stack import Stack
from driftline.stats.visible import Usual, sight, usual

DAYS, ROWS = 70, 240


@pytest.fixture(scope="module")
def reference() -> Reference:
    draw = np.random.default_rng(3)
    n = DAYS * ROWS
    at = pd.date_range("2024-01-01", periods=n, freq=f"{86_400 // ROWS}s", tz="UTC")
    level = np.repeat(draw.normal(size=DAYS), ROWS)
    gaps = np.repeat(draw.random(DAYS) * 0.1, ROWS)
    return build_reference(
        pd.DataFrame(
            {
                "at": at,
                "calm": draw.normal(size=n),
                "weather": level + 0.1 * draw.normal(size=n),
                "gappy": np.where(draw.random(n) < gaps, np.nan, draw.normal(size=n)),
                "weekly": draw.normal(size=n) + 2 * (at.day_of_week >= 5),
                "plan": draw.choice(["a", "b", "c"], n),
            }
        ),
        timestamp="at",
    )


@pytest.fixture(scope="module")
def calibration(reference: Reference) -> Calibration:
    found = from_reference(reference, "all", "day")
    assert found is not None
    return found


def at(reference: Reference, feature: str) -> int:
    return reference.gridset.names().index(feature)


def limits(rule: Rule, reference: Reference, calibration: Calibration) -> dict[str, float]:
    found = sight(reference, "all", "day", calibration, rule)
    return dict(zip(reference.gridset.names(), found.limit.tolist(), strict=True))


def test_limits_and_what_they_show_are_those_of_the_profile(
    reference: Reference, calibration: Calibration
) -> None:
    seen = {name: sight(reference, "all", "day", calibration, Rule(name)) for name in PROFILES}
    f = at(reference, "calm")
    assert seen["sensitive"].limit[f] < seen["standard"].limit[f] <= seen["quiet"].limit[f]
    assert seen["sensitive"].shift[f] < seen["standard"].shift[f] <= seen["quiet"].shift[f]
    assert seen["sensitive"].critical[f] < seen["standard"].critical[f]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_limit_is_that_of_a_window_of_the_usual_size(
    reference: Reference, calibration: Calibration, profile: str
) -> None:
    rule = Rule(profile, (FixedLimit("gappy", "psi", 0.2, 0.4),))
    found = sight(reference, "all", "day", calibration, rule)
    window = np.zeros((1, reference.gridset.size), np.int64)
    window[0, 0] = ROWS
    for f, span in enumerate(reference.gridset.bins):
        window[0, span.start + 1] = found.values[f]
    judge = Judge(reference, "all", "day", calibration, rule)
    stack = Stack.of_counts(window, len(reference.gridset.features))
    made = judge.judge(stack, When(np.zeros(1, np.int8), np.zeros(1, np.bool_)))
    for name in ("calm", "weather", "gappy", "plan"):
        f = at(reference, name)
        assert found.limit[f] == made.psi_limit[0, f]
        assert found.critical[f] == made.psi_critical[0, f]
        assert found.blind[f] == (made.marks["psi"][0, f, 0] == Mark.NOT_EVALUABLE)
    assert found.blind[at(reference, "weather")]


def test_a_fixed_limit_stands_in_the_place_of_the_learnt_one(
    reference: Reference, calibration: Calibration
) -> None:
    rule = Rule(limits=(FixedLimit("*", "psi", 0.2), FixedLimit("calm", "psi", 0.05, 0.3)))
    found = sight(reference, "all", "day", calibration, rule)
    calm, weather = at(reference, "calm"), at(reference, "weather")
    assert (found.limit[calm], found.critical[calm]) == (0.05, 0.3)
    assert found.limit[weather] == 0.2 and np.isnan(found.critical[weather])
    assert found.fixed.all() and not found.blind.any()
    assert 0.2 < found.shift[calm] < 0.25 < found.shift[weather]
    assert not any("Blind at 1 day:" in line for line in advice(reference, rule))


def test_what_is_said_at_registration_names_another_profile(reference: Reference) -> None:
    (usual_one,) = [line for line in advice(reference) if "weather puts" in line]
    assert usual_one.startswith("Blind at 1 day: the natural wobble")
    (quiet,) = [line for line in advice(reference, Rule("quiet")) if "weather puts" in line]
    assert quiet.startswith("Blind at 1 day under the profile quiet: the natural wobble")


def test_fixed_limits_judge_a_length_that_has_learnt_nothing(reference: Reference) -> None:
    rule = Rule(limits=(FixedLimit("calm", "psi", 0.2), FixedLimit("*", "missing", 0.3)))
    window = Usual(900, np.full(5, 900))
    found = sight(reference, "all", "week", None, rule, window)
    f = at(reference, "calm")
    assert found.limit[f] == 0.2 and found.fixed[f] and 0.4 < found.shift[f] < 0.6
    assert np.isnan(np.delete(found.limit, f)).all()
    assert found.missing[f] == 0.3
    assert 0.24 < found.missing[at(reference, "gappy")] < 0.26
    nothing = sight(reference, "all", "week", None, window=window)
    assert np.isnan([nothing.limit, nothing.shift, nothing.missing]).all()


def test_the_smallest_rise_of_missing_values_is_where_windows_begin_to_be_told(
    reference: Reference, calibration: Calibration
) -> None:
    found = sight(reference, "all", "day", calibration)
    f, counter = at(reference, "gappy"), reference.gridset.counters[at(reference, "gappy")]
    own = reference.profiles["all"].counts
    share = own[counter[:3]].sum() / own[0]
    hits = np.rint((share + found.missing[f] + np.array([-0.01, 0.01])) * found.rows)
    windows = np.zeros((2, reference.gridset.size), np.int64)
    windows[:, 0] = found.rows
    windows[:, counter[1]] = hits
    windows[:, reference.gridset.bins[f].start + 1] = found.rows - hits
    judge = Judge(reference, "all", "day", calibration)
    made = judge.judge(Stack.of_counts(windows, 5), When(np.zeros(2, np.int8), np.zeros(2, bool)))
    told = made.marks["missing"][:, f, 0] == Mark.EXCEEDS
    assert told.tolist() == [False, True]


def test_only_numbers_have_a_shift_and_a_blind_feature_shows_none(
    reference: Reference, calibration: Calibration
) -> None:
    found = sight(reference, "all", "day", calibration)
    assert found.limit[at(reference, "plan")] > 0
    assert np.isnan(found.shift[[at(reference, "plan"), at(reference, "weather")]]).all()


def test_under_a_season_the_limit_is_that_of_the_median_window(
    reference: Reference, calibration: Calibration
) -> None:
    f = at(reference, "weekly")
    assert calibration.season[f] == Season.WEEKEND
    window = usual(reference, "all", "day")
    assert window is not None
    judge = Judge(reference, "all", "day", calibration)
    days = When(np.zeros(2, np.int8), np.array([False, True]))
    weekday, weekend = judge.learnt_limit(np.tile(window.values, (2, 1)), days)[:, f]
    found = sight(reference, "all", "day", calibration)
    # Ten weeks have more weekdays than days of weekends, and fewer rows make a higher limit.
    assert found.limit[f] == weekday < weekend
