"""28 days: learnt where the reference is long enough, and nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from driftline.stats.calibration import from_reference
from driftline.stats.evidence import Judge
from driftline.stats.judgement import Mark
from driftline.stats.lengths import (
    DAY_MS,
    DEFAULT_LENGTHS,
    LENGTHS,
    LONGEST,
    NOMINAL_MS,
    SPAN,
    WORDS,
)
from driftline.stats.profile import Column
from driftline.stats.reference import Reference, build_reference
from driftline.stats.season import Season, when
from driftline.stats.stack import Stack

MONDAY_MS = 4 * DAY_MS + 700 * 28 * DAY_MS  # where windows of 28 days begin
A_DAY = 8


def reference_of(days: int, sigma: float = 0.1) -> Reference:
    """Eight rows a day, the mean of which wobbles from month to month."""
    n = days * A_DAY
    at = MONDAY_MS + np.arange(n) * (DAY_MS // A_DAY)
    draw = np.random.default_rng(1)
    wobble = np.repeat(draw.normal(0, sigma, days // 28 + 1), 28 * A_DAY)[:n]
    return build_reference(
        pd.DataFrame({"at": pd.to_datetime(at, unit="ms", utc=True), "x": draw.normal(wobble)}),
        timestamp="at",
    )


@pytest.fixture(scope="module")
def reference() -> Reference:
    return reference_of(20 * 28)


def month(reference: Reference, shift: float) -> Stack:
    x = np.random.default_rng(2).normal(shift, size=28 * A_DAY)
    return Stack.of(reference.gridset.count({"x": Column(x)}, len(x)))


def test_a_reference_of_twenty_months_knows_how_months_wobble(reference: Reference) -> None:
    slices = reference.slices["all"][LONGEST]
    assert len(slices.starts_ms) == 20 and not slices.is_weekend.any()
    assert set(np.diff(slices.starts_ms).tolist()) == {NOMINAL_MS[LONGEST]}
    assert slices.rows.tolist() == [28 * A_DAY] * 20
    calibration = from_reference(reference, "all", LONGEST)
    assert calibration is not None and calibration.windows == 20
    assert calibration.season.tolist() == [Season.NONE]
    judge = Judge(reference, "all", LONGEST, calibration)
    at = when(np.array([MONDAY_MS]), "UTC")
    assert judge.judge(month(reference, 0.1), at).marks["psi"][0, 0, 0] == Mark.CLEAR
    assert judge.judge(month(reference, 1.0), at).marks["psi"][0, 0, 0] == Mark.EXCEEDS
    # No day has the values that PSI needs.
    days = from_reference(reference, "all", "day")
    assert days is not None and np.isnan(days.tau2).all()


def test_the_wobble_of_months_is_told_from_chance(reference: Reference) -> None:
    calm, wild = (
        from_reference(reference_of(20 * 28, sigma), "all", LONGEST) for sigma in (0.0, 0.6)
    )
    assert calm is not None and wild is not None
    assert wild.tau2[0] > 10 * max(calm.tau2[0], 0.001)


@pytest.mark.parametrize(("days", "has"), [(7 * 28, False), (8 * 28, True)])
def test_eight_are_needed_and_a_document_has_those_that_there_are(days: int, has: bool) -> None:
    reference = reference_of(days)
    assert set(reference.slices["all"]) == set(LENGTHS if has else DEFAULT_LENGTHS)
    again = Reference.from_document(reference.to_document())
    assert again.digest == reference.digest
    assert list(again.slices["all"]) == list(reference.slices["all"])


def test_every_length_has_its_words() -> None:
    tables: list[dict[str, Any]] = [NOMINAL_MS, WORDS, SPAN]
    for table in tables:
        assert tuple(table) == LENGTHS
