"""What a reference cannot see, said when it is registered instead of found out a year later.

Each thing is said once, with the option that mends it. What a column is taken for is said
when it is read (`frame`); here is what the counts tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from driftline.stats.calibration import (
    MIN_ROWS_PSI,
    MIN_SLICES,
    Calibration,
    from_reference,
    leave_one_out_psi,
    observed_slices,
)
from driftline.stats.evidence import STANDARD
from driftline.stats.explain import LARGEST
from driftline.stats.grid import NumericGrid
from driftline.stats.lengths import DAYS, DEFAULT_LENGTHS, LENGTHS, LONGEST, SPAN, WORDS
from driftline.stats.reference import ALL, MIN_ROWS, Reference
from driftline.stats.rule import Rule
from driftline.stats.season import Season
from driftline.stats.visible import Sight, sight

# A slice this many times as far from the rest as the usual one was no usual day.
ODD_TIMES = 10
# Features and slices named in one sentence.
NAMED = 6
# Above, only a change that everybody sees is told: a shift of .75 sigma has a PSI of .53.
NEAR_BLIND_SIGMA = 0.75
# Where so small a part of the values carries most of the spread, a mean says little.
TAIL = 0.01
TAIL_CARRIES = 0.5

_RATE_WORDS = {
    "missing": "missing values",
    "type_error": "type errors",
    "unseen": "unseen categories",
    "out_of_range": "values out of range",
}


def advice(reference: Reference, rule: Rule = STANDARD) -> tuple[str, ...]:
    """Return one sentence for each thing that this reference leaves unjudged or odd.

    Which lengths have to learn their wobble first or have too few rows, which features are
    blind or nearly so at which length, which segments are too small, which slices are far
    from all others, and whose tails are heavy.

    Parameters
    ----------
    rule
        What the model's windows are judged by.
    """
    known = {length: from_reference(reference, ALL, length) for length in LENGTHS}
    seen = {
        length: sight(reference, ALL, length, calibration, rule)
        for length, calibration in known.items()
        if calibration is not None
    }
    said = [*_unlearnt(reference, known), *_few_values(reference), *_small_segments(reference)]
    for length, found in seen.items():
        said += _blind(reference, length, found, rule)
    said += _odd_slices(reference, known, rule)
    said += _heavy_tails(reference)
    return tuple(said)


def _unlearnt(reference: Reference, known: dict[str, Calibration | None]) -> Iterator[str]:
    if reference.first_ms is None:
        yield (
            "The reference has no times: limits do not know its natural wobble, and nothing is "
            f"told above a warning until {MIN_SLICES} live windows of a length are collected; "
            "pass timestamp= to calibrate it now."
        )
        return
    for length in DEFAULT_LENGTHS:
        if known[length] is None:
            count = len(reference.slices[ALL][length].starts_ms)
            yield (
                f"{length.capitalize()} windows wait for {MIN_SLICES} live ones before they "
                f"are judged: the reference has {count} full {length}"
                f"{'' if count == 1 else 's'}."
            )


def _few_values(reference: Reference) -> Iterator[str]:
    """Lengths whose usual window has too few rows for distributions."""
    usual = {
        length: int(np.median(slices.rows))
        for length, slices in reference.slices.get(ALL, {}).items()
        if len(slices.rows)
    }
    few = [length for length in DEFAULT_LENGTHS if usual.get(length, MIN_ROWS_PSI) < MIN_ROWS_PSI]
    if not few:
        return
    counts = ", ".join(f"{usual[length]:,} in {SPAN[length]}" for length in few)
    enough = [length for length in DEFAULT_LENGTHS if length not in few] or [LONGEST]
    judge = " and ".join(WORDS[length][1] for length in enough)
    mend = ""
    if enough == [LONGEST]:
        mend = f" (`driftline monitor set MODEL --windows {','.join((*DEFAULT_LENGTHS, LONGEST))}`)"
    yield (
        f"Few rows: usually {counts}. Distributions need {MIN_ROWS_PSI} values in a window, so "
        f"these judge rates alone; {judge} judge distributions{mend}."
    )


def _small_segments(reference: Reference) -> Iterator[str]:
    small = [
        f"{dimension}={value}"
        for dimension, values in reference.dimensions.items()
        for value in values
        if f"{dimension}={value}" not in reference.profiles
    ]
    if small:
        yield (
            f"Too few rows to judge on their own ({MIN_ROWS:,} are needed): {_names(small)}. They "
            f"count in {ALL!r}; group rare values into one before you register, or leave them."
        )


def _blind(reference: Reference, length: str, found: Sight, rule: Rule) -> Iterator[str]:
    names = reference.gridset.names()
    # It stays when the monitor is set anew: what is said of the usual profile needs no name.
    where = SPAN[length]
    if rule.profile != STANDARD.profile:
        where += f" under the profile {rule.profile}"
    longer = (
        "Longer windows judge"
        if length != LONGEST
        else "Only a reference with calmer windows can judge"
    )
    blind = [names[f] for f in np.flatnonzero(found.blind)]
    if blind:
        yield (
            f"Blind at {where}: the natural wobble of {_names(blind)} puts the limit above "
            f"the largest PSI possible. The out-of-range rate and longer windows judge "
            f"{_them(blind)}."
        )
    with np.errstate(invalid="ignore"):
        near = np.flatnonzero(~found.blind & (found.shift > NEAR_BLIND_SIGMA))
    if len(near):
        worst = sorted(near.tolist(), key=lambda f: -found.shift[f])
        told = [f"{_sigma(found.shift[f])} in {names[f]}" for f in worst]
        first, *others = told
        first = first.replace(" in ", " standard deviations on in ", 1)
        yield (
            f"Nearly blind at {where}: a shift shows only from {_names([first, *others])}. "
            f"{longer} smaller ones."
        )
    for rate, is_blind in found.blind_rates.items():
        if rate == "out_of_range" and length == "hour":
            continue  # hours do not judge it
        features = [names[f] for f in np.flatnonzero(is_blind)]
        if features:
            yield (
                f"Blind at {where} to {_RATE_WORDS[rate]}: windows of the reference differ "
                f"so much in {_names(features)} that not even a window full of them is told. "
                f"{longer} {_them(features)}."
            )


def _sigma(shift: float) -> str:
    return f"{min(shift, LARGEST):.1f}"


def _them(names: list[str]) -> str:
    return "it" if len(names) == 1 else "them"


def _odd_slices(
    reference: Reference, known: dict[str, Calibration | None], rule: Rule
) -> Iterator[str]:
    """Slices far from all others, of the shortest length from days on that has distributions."""
    for length, days in DAYS.items():
        calibration = known[length]
        if calibration is None:
            continue
        slices = reference.slices[ALL][length]
        observed = observed_slices(reference, slices)
        psi = leave_one_out_psi(reference, observed, length)
        psi[observed.values < MIN_ROWS_PSI] = np.nan
        # Under a season a Saturday is far from the others as a rule.
        psi[:, calibration.season != Season.NONE] = np.nan
        enough = (~np.isnan(psi)).sum(axis=0) >= MIN_SLICES
        if not enough.any():
            continue
        usual = np.full(psi.shape[1], np.nan)
        usual[enough] = np.nanmedian(psi[:, enough], axis=0)
        with np.errstate(invalid="ignore"):
            odd = (psi > ODD_TIMES * usual) & (psi > rule.delta("warning"))
        found = np.flatnonzero(odd.any(axis=1))
        if len(found):
            yield _odd(reference, length, days, [(int(slices.starts_ms[i]), odd[i]) for i in found])
        return


def _odd(
    reference: Reference, length: str, days: int, odd: list[tuple[int, NDArray[np.bool_]]]
) -> str:
    names = reference.gridset.names()
    zone = ZoneInfo(reference.timezone)
    told, dates = [], []
    for start_ms, of_feature in odd[:NAMED]:
        first = datetime.fromtimestamp(start_ms / 1000, UTC).astimezone(zone)
        last = first + timedelta(days=days - 1)
        features = [names[feature] for feature in np.flatnonzero(of_feature)]
        since = "" if days == 1 else "from "
        told.append(f"{since}{first.day} {first:%B} {first.year} ({_names(features)})")
        dates.append(f"{first:%Y-%m-%d}" + ("" if days == 1 else f"/{last:%Y-%m-%d}"))
    one, many = WORDS[length]
    more = f" and {len(odd) - NAMED} more" if len(odd) > NAMED else ""
    is_one = len(odd) == 1
    return (
        f"Odd {one if is_one else many} in the reference: {', '.join(told)}{more} "
        f"{'lies' if is_one else 'lie'} over {ODD_TIMES} times as far from the others as a usual "
        f"{one}. {'It raises' if is_one else 'They raise'} the limits; register without "
        f"{'it if it was no usual one' if is_one else 'them if they were no usual ones'} "
        f"(exclude_slices={dates})."
    )


def _heavy_tails(reference: Reference) -> Iterator[str]:
    names = [
        feature.name
        for f, feature in enumerate(reference.gridset.features)
        if tail_carries(reference, f) > TAIL_CARRIES
    ]
    if names:
        yield (
            f"Heavy tails: {TAIL:.0%} of the values of {_names(names)} carry over half of their "
            "spread, so that means, standard deviations and Wasserstein distances say little of "
            f"{_them(names)}; PSI, KS and the rates judge {_them(names)} as any other."
        )


def tail_carries(reference: Reference, f: int) -> float:
    """Return which share of a feature's distance from its median its farthest 1 % carries.

    Read off the counts and sums of bins, so at the resolution of a bin (1/256).

    Returns
    -------
    float
        In [0, 1]; 0 for what is no number, has fewer than 1,000 values, or has values so large
        that their sum was not kept. About .04 for a normal distribution, above .5 for one whose
        mean does not settle (Cauchy).
    """
    grid = reference.gridset.features[f].grid
    whole = reference.profiles[ALL]
    span = reference.gridset.bins[f]
    counts = whole.counts[span]
    n = int(counts.sum())
    assert whole.sums is not None
    is_clipped = whole.sums[reference.gridset.counters[f, 0]] > 0
    if not isinstance(grid, NumericGrid) or n < MIN_ROWS or is_clipped:
        return 0.0
    filled = np.flatnonzero(counts)
    counts = counts[filled]
    means = whole.sums[span][filled] * 2.0**grid.quantum / counts
    median = means[np.searchsorted(np.cumsum(counts), n / 2)]
    away = np.abs(means - median)
    order = np.argsort(-away, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    of_tail = np.clip(TAIL * n - before, 0, counts[order])
    total = float((away * counts).sum())
    return float((away[order] * of_tail).sum()) / total if total else 0.0


def _names(features: list[str]) -> str:
    shown = ", ".join(features[:NAMED])
    return shown if len(features) <= NAMED else f"{shown} and {len(features) - NAMED} more"
