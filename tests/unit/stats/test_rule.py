"""Profiles and fixed limits: what a user decides, and what the rule then says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from driftline.errors import StatisticError
from driftline.stats.calibration import Calibration, from_reference, unknown
from driftline.stats.evidence import KIND_OF, Judge
from driftline.stats.judgement import Judgement, Mark
from driftline.stats.profile import Column
from driftline.stats.reference import Reference, build_reference
from driftline.stats.rule import FIXED, PROFILES, FixedLimit, Rule, kinds_of
from driftline.stats.season import when
from driftline.stats.stack import Stack
from monitor.detect.spec import MonitorSpec

MONDAY = when(np.array([1_704_067_200_000]), "UTC")
EXCEEDS, CLEAR, BETWEEN, NONE = Mark.EXCEEDS, Mark.CLEAR, Mark.BETWEEN, Mark.NOT_EVALUABLE
DAYS, ROWS = 150, 300


@pytest.fixture(scope="module")
def reference() -> Reference:
    draw = np.random.default_rng(1)
    n = DAYS * ROWS
    at = pd.date_range("2024-01-01", periods=n, freq=f"{86_400_000 // ROWS}ms", tz="UTC")
    wobble = np.repeat(draw.normal(0, 0.03, DAYS), ROWS)
    return build_reference(
        pd.DataFrame(
            {"at": at, "x": draw.normal(wobble), "c": draw.choice(list("abc"), n), "y": 1.0}
        ),
        timestamp="at",
    )


@pytest.fixture(scope="module")
def calibration(reference: Reference) -> Calibration:
    found = from_reference(reference, "all", "day")
    assert found is not None
    return found


def judge(
    reference: Reference,
    known: Calibration | None,
    *limits: FixedLimit,
    n: int = 2_000,
    length: str = "day",
    profile: str = "standard",
    **columns: Any,
) -> Judgement:
    made = {name: Column(values) for name, values in columns.items()}
    windows = Stack.of(reference.gridset.count(made, n, with_sums=True))
    rule = Rule(profile, limits).validate(kinds_of([reference.gridset]))
    return Judge(reference, "all", length, known, rule).judge(windows, MONDAY)


def normal(n: int = 2_000, shift: float = 0.0) -> Any:
    return np.random.default_rng(2).normal(shift, size=n)


def marks(found: Judgement, reference: Reference, statistic: str, feature: str = "x") -> Any:
    place = reference.gridset.names().index(feature)
    return tuple(found.marks[statistic][0, place].tolist())


def test_quiet_never_falls_below_the_wildest_slice_and_sensitive_tolerates_less(
    reference: Reference, calibration: Calibration
) -> None:
    limits = {}
    for profile in PROFILES:
        found = judge(reference, calibration, profile=profile, n=20_000, x=normal(20_000))
        limits[profile] = found.psi_limit[0, 0], found.psi_critical[0, 0]
    assert calibration.guard_max[0] > calibration.guard[0]  # 150 days: the 99th percentile
    assert limits["quiet"][0] >= limits["standard"][0] > limits["sensitive"][0]
    assert limits["sensitive"][1] == pytest.approx(limits["standard"][0], rel=1e-6)
    wild = Calibration.from_json(calibration.to_json())
    wild.guard_max[:] = 0.9
    quiet = judge(reference, wild, profile="quiet", x=normal())
    standard = judge(reference, wild, x=normal())
    assert quiet.psi_limit[0, 0] == 0.9 and standard.psi_limit[0, 0] < 0.5


def test_a_shift_of_a_third_of_a_sigma_is_silent_under_standard_and_seen_under_sensitive(
    reference: Reference, calibration: Calibration
) -> None:
    x = normal(20_000, 0.32)
    for profile, expected in (("standard", False), ("sensitive", True)):
        found = judge(reference, calibration, profile=profile, n=20_000, x=x)
        assert (marks(found, reference, "psi")[0] == EXCEEDS) is expected


def test_a_fixed_limit_stands_in_the_place_of_the_learnt_one(
    reference: Reference, calibration: Calibration
) -> None:
    x = normal(shift=0.3)
    learnt = judge(reference, calibration, x=x)
    assert marks(learnt, reference, "psi")[0] != EXCEEDS
    found = judge(reference, calibration, FixedLimit("x", "psi", 0.05, 0.06), x=x)
    assert marks(found, reference, "psi") == (EXCEEDS, EXCEEDS)
    assert (found.psi_limit[0, 0], found.psi_critical[0, 0]) == (0.05, 0.06)
    assert found.verdict[0, 0] == "critical" and found.evidence[0, 0] == "psi"
    assert found.ratio[0, 0] == pytest.approx(found.psi[0, 0] / 0.05, rel=1e-8)
    # That of another feature, and other statistics of this one, are as they were.
    assert marks(found, reference, "psi", "c") == marks(learnt, reference, "psi", "c")
    assert found.rates["missing"].limit[0, 0] == learnt.rates["missing"].limit[0, 0]
    wide = judge(reference, calibration, FixedLimit("x", "psi", 5.0), x=normal(shift=1.0))
    assert marks(wide, reference, "psi") == (CLEAR, NONE)
    assert wide.verdict[0, 0] == "ok"


def test_a_features_own_limit_stands_before_that_of_all(
    reference: Reference, calibration: Calibration
) -> None:
    both = FixedLimit("x", "psi", 4.0), FixedLimit("*", "psi", 0.001)
    for limits in (both, both[::-1]):
        found = judge(reference, calibration, *limits, x=normal(), c=["a"] * 2_000)
        assert marks(found, reference, "psi")[0] == CLEAR
        assert marks(found, reference, "psi", "c")[0] == EXCEEDS


def test_ks_exceeds_by_its_lower_end_and_is_calm_below_its_upper_end(
    reference: Reference, calibration: Calibration
) -> None:
    x = normal(shift=0.4)
    plain = judge(reference, calibration, x=x)
    low, high = plain.ks_low[0, 0], plain.ks_high[0, 0]
    assert 0.1 < low < high
    seen = {}
    for name, limit in (("below", low - 0.001), ("inside", (low + high) / 2), ("above", high)):
        found = judge(reference, calibration, FixedLimit("x", "ks", limit), x=x)
        seen[name] = marks(found, reference, "ks")
    assert seen == {"below": (EXCEEDS, NONE), "inside": (BETWEEN, NONE), "above": (CLEAR, NONE)}


@pytest.mark.parametrize(
    ("statistic", "above", "below"),
    [
        ("w1_sigma", 0.3, 0.6), ("js", 0.1, 0.4), ("hellinger", 0.1, 0.4), ("tv", 0.1, 0.4),
        ("linf", 0.02, 0.5), ("mean_shift", 0.4, 0.7), ("negative", 0.5, 0.9),
    ],
)  # fmt: skip
def test_every_distance_can_have_a_limit(
    reference: Reference, calibration: Calibration, statistic: str, above: float, below: float
) -> None:
    x = normal(shift=-0.5)
    found = judge(reference, calibration, FixedLimit("x", statistic, above), x=x)
    assert marks(found, reference, statistic) == (EXCEEDS, NONE)
    assert KIND_OF[statistic] == "distribution"
    calm = judge(reference, calibration, FixedLimit("x", statistic, below), x=x)
    assert marks(calm, reference, statistic) == (CLEAR, NONE)


def test_shares_of_values_are_judged_from_twenty_on_and_distances_from_a_hundred(
    reference: Reference, calibration: Calibration
) -> None:
    limits = [FixedLimit("*", name, 0.0) for name in FIXED]
    for n, judged in (
        (19, set()),
        (20, {"missing", "type_error", "out_of_range", "infinite", "zero", "negative"}),
        (100, set(FIXED) - {"unseen"}),
    ):
        found = judge(reference, calibration, *limits, n=n, x=normal(n))
        here = {name for name in FIXED if marks(found, reference, name)[0] != NONE}
        assert here == judged


def test_a_limit_of_nothing_is_passed_by_anything(
    reference: Reference, calibration: Calibration
) -> None:
    x = normal()
    clean = judge(reference, calibration, FixedLimit("x", "missing", 0.0), x=x)
    assert marks(clean, reference, "missing") == (CLEAR, NONE)
    x[3] = np.nan
    found = judge(reference, calibration, FixedLimit("x", "missing", 0.0), x=x)
    assert marks(found, reference, "missing") == (EXCEEDS, NONE)
    assert found.evidence[0, 0] == "missing" and np.isfinite(found.ratio[0, 0])


def test_a_share_is_held_against_its_limit_itself(
    reference: Reference, calibration: Calibration
) -> None:
    x = normal()
    x[:120] = np.nan  # 6 %: its 99.9 % bound is below 5 %
    learnt = judge(reference, calibration, x=x)
    assert learnt.rates["missing"].excess[0, 0] < 0.05
    found = judge(reference, calibration, FixedLimit("x", "missing", 0.05, 0.5), x=x)
    assert marks(found, reference, "missing") == (EXCEEDS, CLEAR)
    rate = found.rates["missing"]
    assert (rate.value[0, 0], rate.excess[0, 0], rate.limit[0, 0]) == (0.06, 0.06, 0.05)
    assert found.fixed["missing"][0].tolist() == [True, False, False]


def test_out_of_range_has_a_limit_in_hours_and_beside_psi(
    reference: Reference, calibration: Calibration
) -> None:
    x = np.where(np.arange(2_000) < 100, 50.0, normal())
    for length in ("hour", "day"):
        limit = FixedLimit("x", "out_of_range", 0.02)
        found = judge(reference, calibration, limit, length=length, x=x)
        assert marks(found, reference, "out_of_range")[0] == EXCEEDS
        assert marks(found, reference, "psi")[0] != NONE


def test_fixed_limits_need_nothing_learnt_and_may_be_critical(reference: Reference) -> None:
    limits = FixedLimit("x", "psi", 0.1, 0.2), FixedLimit("x", "missing", 0.05)
    for known, calm in ((None, "collecting"), (unknown(reference), "uncalibrated")):
        found = judge(reference, known, *limits, x=normal(shift=1.0))
        assert found.verdict[0, 0] == "critical"
        assert marks(found, reference, "psi") == (EXCEEDS, EXCEEDS)
        assert marks(found, reference, "missing") == (CLEAR, NONE)
        still = judge(reference, known, *limits, x=normal())
        assert still.verdict[0, 0] == calm


def test_a_feature_that_is_blind_is_not_under_a_fixed_limit(
    reference: Reference, calibration: Calibration
) -> None:
    blind = Calibration.from_json(calibration.to_json())
    blind.tau2[:] = 10.0
    x = normal(shift=1.0)
    assert judge(reference, blind, x=x).verdict[0, 0] == "blind"
    found = judge(reference, blind, FixedLimit("x", "psi", 0.2), x=x)
    assert found.verdict[0, 0] == "warning"


def test_the_line_below_which_psi_is_clear_is_the_fixed_limit(
    reference: Reference, calibration: Calibration
) -> None:
    rule = Rule(limits=(FixedLimit("x", "psi", 0.3, 0.6),))
    values = np.full((1, 3), 2_000)
    fixed = Judge(reference, "all", "day", calibration, rule)
    learnt = Judge(reference, "all", "day", calibration)
    for level, line in (("warning", 0.3), ("critical", 0.6)):
        told = fixed.psi_clears_below(values, MONDAY, level)[0]
        assert told[0] == line
        assert told[1] == learnt.psi_clears_below(values, MONDAY, level)[0, 1]


def test_without_fixed_limits_nothing_but_the_five_is_marked(
    reference: Reference, calibration: Calibration
) -> None:
    found = judge(reference, calibration, x=normal(shift=2.0))
    for name in FIXED:
        if name not in ("psi", "missing", "type_error", "unseen", "out_of_range"):
            assert not found.marks[name].any()
        assert not found.fixed[name].any()


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (FixedLimit("x", "kss", 0.1), "did you mean 'ks'"),
        (FixedLimit("age", "ks", 0.1), "there is no feature 'age'"),
        (FixedLimit("", "ks", 0.1), "name a feature, or *"),
        (FixedLimit("x", "ks", float("nan")), "from 0 to 1, not nan"),
        (FixedLimit("x", "ks", 1.5), "from 0 to 1, not 1.5"),
        (FixedLimit("x", "psi", float("inf")), "from 0 up, not inf"),
        (FixedLimit("x", "psi", -0.1), "not -0.1"),
        (FixedLimit("x", "missing", 5), "0.05 is 5 %"),
        (FixedLimit("x", "psi", True), "not True"),
        (FixedLimit("x", "js", 0.9), "from 0 to 0.8326"),
        (FixedLimit("x", "psi", 0.2, 0.1), "critical (0.1) must not be below warning (0.2)"),
        (FixedLimit("x", "psi", 0.2, float("nan")), "critical must be a number"),
        (FixedLimit("c", "ks", 0.1), "c is a category, and has no ks; it has psi, js"),
        (FixedLimit("x", "unseen", 0.1), "x is a number, and has no unseen"),
        (
            FixedLimit("id", "psi", 0.1),
            "missing values are watched, and has no psi; it has missing",
        ),
    ],
)
def test_a_limit_that_cannot_be_is_refused_with_what_mends_it(
    limit: FixedLimit, words: str
) -> None:
    with pytest.raises(StatisticError) as refused:
        Rule(limits=(limit,)).validate(
            {"x": {"numeric"}, "y": {"numeric"}, "c": {"categorical"}, "id": {"presence"}}
        )
    assert words in str(refused.value)


def test_a_limit_for_all_is_of_what_has_the_statistic_and_kinds_of_all_references() -> None:
    kinds = {"c": {"categorical"}, "b": {"categorical", "numeric"}}
    limits = FixedLimit("*", "ks", 0.1), FixedLimit("b", "ks", 0.1), FixedLimit("b", "unseen", 0.1)
    assert Rule(limits=limits).validate(kinds).limits == limits


def test_an_unknown_profile_and_a_limit_twice_are_refused() -> None:
    with pytest.raises(StatisticError, match="quiet, standard, sensitive"):
        Rule("loud").validate()
    twice = FixedLimit("x", "psi", 0.1), FixedLimit("x", "psi", 0.2)
    with pytest.raises(StatisticError, match="x:psi is there twice"):
        Rule(limits=twice).validate()


def test_a_monitor_keeps_its_rule_and_one_from_before_is_read() -> None:
    spec = MonitorSpec(profile="quiet", limits=(FixedLimit("x", "ks", 0.15),))
    assert MonitorSpec.from_json(spec.to_json()) == spec
    assert spec.rule() == Rule("quiet", (FixedLimit("x", "ks", 0.15),))
    before = '{"lengths":["day"],"lateness_ms":600000,"horizon_ms":1,"max_hold_ms":3600000}'
    assert MonitorSpec.from_json(before).rule() == Rule()
