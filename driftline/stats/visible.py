"""What a reference can see: the limits of a usual window, and the smallest change above them.

A limit that no window can exceed is blind. One that only a huge change exceeds is nearly so,
and a user should know it before a year has passed. The limits are those of `Judge`, under a
monitor's profile and its fixed limits, asked for a window of the usual size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from driftline.stats.calibration import (
    MIN_ROWS,
    MIN_ROWS_PSI,
    RATES,
    Calibration,
    Floats,
    Ints,
    Observed,
    observe,
    observed_slices,
)
from driftline.stats.distance import newcombe
from driftline.stats.evidence import LEAST_EXCESS, STANDARD, Judge, Z
from driftline.stats.explain import visible_points, visible_shift
from driftline.stats.groups import largest_psi
from driftline.stats.reference import Reference
from driftline.stats.rule import Limits, Rule
from driftline.stats.season import HOURS, SCHEMES, When, when


class Usual(NamedTuple):
    """A window of the usual size: its rows, and the values in bins of each feature [F]."""

    rows: int
    values: Ints


@dataclass(frozen=True)
class Sight:
    """What windows of one length and segment can show, when they have the usual rows.

    Under a season figures are those of the median window: each is compared with its own hours,
    or its own kind of day.

    Attributes
    ----------
    rows, values
        Of a usual window; values [F] are those in bins.
    limit, critical
        [F] PSI's limits for so many values, >= 0; NaN where PSI is not judged, and where
        nothing is ever critical.
    fixed
        [F] Whether PSI has a fixed limit in the place of the learnt one.
    blind
        [F] Whether no window of so many values can exceed it.
    shift
        [F] The smallest shift, in standard deviations, whose PSI is the limit
        (`driftline.stats.explain`); infinite where none up to four is; NaN where PSI is not
        judged or blind, or the feature is no number.
    missing
        [F] The smallest rise of the share of missing values that is told, in (0, 1]; NaN where
        none is, and where the rate is not judged.
    blind_rates
        {rate: [F]} Whether not even a window with all its rows missing (of the wrong type,
        unseen, out of range) is told.
    """

    rows: int
    values: Ints
    limit: Floats
    critical: Floats
    fixed: NDArray[np.bool_]
    blind: NDArray[np.bool_]
    shift: Floats
    missing: Floats
    blind_rates: dict[str, NDArray[np.bool_]]


def usual(reference: Reference, segment: str, length: str) -> Usual | None:
    """Return the median window of a length among the reference's full slices; None without one."""
    slices = reference.slices.get(segment, {}).get(length)
    if slices is None or not len(slices.rows):
        return None
    observed = observed_slices(reference, slices)
    values = np.median(observed.values, axis=0).astype(np.int64)
    return Usual(int(np.median(observed.rows)), values)


def sight(
    reference: Reference,
    segment: str,
    length: str,
    calibration: Calibration | None,
    rule: Rule = STANDARD,
    window: Usual | None = None,
) -> Sight:
    """Return what a usual window of a length would have to show to be told.

    Parameters
    ----------
    segment
        One that the reference has counts of.
    calibration
        None where the length has learnt nothing yet: fixed limits judge nevertheless.
    rule
        A profile, and the fixed limits that stand in the place of learnt ones.
    window
        The usual window; by default that of the reference's slices (`usual`), of which there
        must be one then.
    """
    grids = reference.gridset
    window = window or usual(reference, segment, length)
    assert window is not None
    rows, values = window
    own = observe(reference, reference.profiles[segment].counts[None, :])
    judge = Judge(reference, segment, length, calibration, rule)
    fixed = rule.by_statistic(grids.names())
    at, of_slice = _places(reference, segment, length, calibration)
    compared = judge.compared(at)
    here = np.broadcast_to(values, (len(at), len(values)))

    judged = (here >= MIN_ROWS_PSI) & (grids.B > 1)
    limit, critical = (judge.learnt_limit(here, at, level) for level in ("warning", "critical"))
    if calibration is not None and calibration.source == "none":
        critical = np.full(critical.shape, np.nan)
    psi = fixed.get("psi", _none(len(values)))
    is_fixed = ~np.isnan(psi.warning)
    limit = np.where(judged, np.where(is_fixed, psi.warning, limit), np.nan)
    critical = np.where(judged, np.where(is_fixed, psi.critical, critical), np.nan)
    with np.errstate(invalid="ignore"):
        blind = ~is_fixed & (limit >= largest_psi(grids, compared, np.maximum(here, 1)))
    shift = visible_shift(grids, compared, np.where(blind, np.nan, limit))
    numeric = np.array([feature.kind == "numeric" for feature in grids.features])
    # Of what is always the same there is no sigma to shift by.
    varies = np.array([np.count_nonzero(own.groups[0, span]) > 1 for span in grids.groups])
    shift[np.isnan(shift) & ~np.isnan(limit) & ~blind & varies] = np.inf

    has_limit = ~np.isnan(limit[of_slice])
    is_blind = 2 * blind[of_slice].sum(axis=0) > has_limit.sum(axis=0)
    limits = _middle(limit[of_slice])
    return Sight(
        rows=rows,
        values=values,
        limit=limits,
        critical=_middle(critical[of_slice]),
        fixed=is_fixed & ~np.isnan(limits),
        blind=is_blind,
        shift=np.where(numeric & ~is_blind, _middle(shift[of_slice]), np.nan),
        missing=_smallest_missing(rows, own, calibration, fixed.get("missing")),
        blind_rates={
            rate: _blind_rate(rate, window, own, calibration, fixed.get(rate)) for rate in RATES
        },
    )


def _none(n_features: int) -> Limits:
    nothing = np.full(n_features, np.nan)
    return Limits(nothing, nothing)


def _places(
    reference: Reference, segment: str, length: str, calibration: Calibration | None
) -> tuple[When, Ints]:
    """Return the hours and days that differ under a season, and which of them each slice is of."""
    slices = reference.slices.get(segment, {}).get(length)
    anywhen = When(np.zeros(1, np.int8), np.zeros(1, np.bool_))
    has_season = calibration is not None and calibration.season.any() and length in SCHEMES
    if slices is None or not len(slices.rows) or not has_season:
        return anywhen, np.zeros(1, np.int64)
    at = when(slices.starts_ms, reference.timezone)
    hour = at.hour if length == "hour" else np.zeros_like(at.hour)
    kinds, of_slice = np.unique(hour + HOURS * at.is_weekend.astype(np.int64), return_inverse=True)
    return When((kinds % HOURS).astype(np.int8), kinds >= HOURS), np.reshape(of_slice, -1)


def _middle(values: Floats) -> Floats:
    """Return the median [F] of what is known of [S, F]; NaN where nothing is."""
    out = np.full(values.shape[1], np.nan)
    for feature, column in enumerate(values.T):
        known = np.sort(column[~np.isnan(column)])
        if len(known):  # one that is there: between a number and infinity is none
            out[feature] = known[len(known) // 2]
    return out


def _smallest_missing(
    rows: int, own: Observed, calibration: Calibration | None, fixed: Limits | None
) -> Floats:
    """Return by how much the share of missing values must rise to be told, [F]."""
    hits, m = (np.asarray(part[0]) for part in own.of("missing"))
    out = np.full(len(hits), np.nan)
    if rows < MIN_ROWS["missing"]:
        return out
    if calibration is not None:
        tolerance = np.maximum(LEAST_EXCESS["missing"], calibration.up["missing"])
        out = visible_points(np.full(len(hits), rows), hits, m, tolerance)
    if fixed is not None:
        # The rate itself is held against it.
        rise = np.maximum(fixed.warning - hits / np.maximum(m, 1), 0.0)
        out = np.where(np.isnan(fixed.warning), out, np.where(fixed.warning < 1, rise, np.nan))
    return out


def _blind_rate(
    rate: str, window: Usual, own: Observed, calibration: Calibration | None, fixed: Limits | None
) -> NDArray[np.bool_]:
    hits, n = (np.asarray(part[0]) for part in own.of(rate))
    seen = window.values
    if rate in ("missing", "type_error"):
        seen = np.full(len(seen), window.rows)
    blind = np.zeros(len(seen), np.bool_)
    if calibration is not None:
        # The most that a window can show: all of it.
        lower, _ = newcombe(seen, seen, hits, n, Z)
        with np.errstate(invalid="ignore"):
            blind = lower <= np.maximum(LEAST_EXCESS[rate], calibration.up[rate])
        # What never has a value cannot lose any: that is no wobble.
        blind &= hits < n
    if fixed is not None:
        blind = np.where(np.isnan(fixed.warning), blind, fixed.warning >= 1)
    return np.asarray((seen >= MIN_ROWS[rate]) & blind)
