"""What a limit lets through: the smallest shift that a window could have shown.

A shift by d sigma is that of a normal scale behind the feature's groups: each group holds a
stretch of it, whose mass after the shift is known exactly. So a shift means the same for a
feature with many zeros, with a heavy tail or with a handful of values; categories stand in the
order of their groups, the most frequent first, and a shift takes rows towards the rare ones.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from driftline.stats.calibration import MIN_ROWS_PSI, unknown
from driftline.stats.distance import round_down, round_up, wilson
from driftline.stats.evidence import Judge, Z, round_significant
from driftline.stats.gridset import Gridset
from driftline.stats.judgement import Judgement
from driftline.stats.season import When

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Beyond four sigma every feature is another one.
LARGEST: Final = 4.0
# A group that a shift empties has a share that a logarithm can take.
_TINY: Final = 1e-300
# Shares of rows; those of `driftline.stats.rule.SHARES` that are not are shares of values.
OF_ROWS: Final = ("missing", "type_error", "infinite")
# What each group adds to PSI is kept with so many digits: they are shown, and compared with none.
PART_DIGITS: Final = 6
_STEPS: Final = np.linspace(0.0, LARGEST, 201)


def shifted(shares: Floats, by: ArrayLike) -> Floats:
    """Return shares [..., G] of ordered groups after a shift of the scale behind them.

    Parameters
    ----------
    by : float, or array that broadcasts with the shares' leading axes
        In standard deviations; above zero the later groups gain.

    Examples
    --------
    >>> shifted(np.full(4, 0.25), 0.5).round(3).tolist()
    [0.12, 0.188, 0.261, 0.431]
    """
    total = shares.sum(axis=-1, keepdims=True)
    upper = np.clip(shares.cumsum(axis=-1) / np.where(total > 0, total, 1.0), 0.0, 1.0)
    # Rounding must not open a stretch after the last group.
    upper = np.where(upper > 1 - 1e-12, 1.0, upper)
    reached = special.ndtr(special.ndtri(upper) - np.asarray(by, np.float64)[..., None])
    made: Floats = np.diff(reached, axis=-1, prepend=0.0) * total
    return made


def psi_of_shift(shares: Floats, by: ArrayLike) -> Floats:
    """Return the true PSI [...] of ordered groups' shares [..., G] after such a shift.

    Examples
    --------
    >>> psi_of_shift(np.full(10, 0.1), [0.2, 0.35, 0.5, 0.75]).round(3).tolist()
    [0.038, 0.117, 0.238, 0.529]
    """
    after = shifted(shares, by)
    is_there = shares > 0
    ratio = np.maximum(after, _TINY) / np.where(is_there, shares, 1.0)
    total: Floats = np.where(is_there, (after - shares) * np.log(ratio), 0.0).sum(axis=-1)
    return total


def visible(judge: Judge, made: Judgement, at: When) -> Floats:
    """Return the smallest change that windows could have shown, [W, F].

    Of numbers a shift in standard deviations: where PSI has a limit, or would have one with more
    values (at best, where the natural wobble is not known). A share of rows where PSI never has
    a limit for 100 values and more, and missing values judge. NaN otherwise, and of categories,
    which have no sigma.
    """
    reference = judge.reference
    has_limit = ~np.isnan(made.psi_limit)
    learnt = judge.learnt_limit(np.where(has_limit, 0, made.values), at)
    limit = np.where(has_limit, made.psi_limit, learnt)
    out = visible_shift(reference.gridset, judge.compared(at), limit)
    few = np.isnan(limit) & (made.values > 0) & (made.values < MIN_ROWS_PSI)
    if few.any():
        out[few] = _at_best(judge, made.values, few)
    numeric = [feature.kind == "numeric" for feature in reference.gridset.features]
    out[:, ~np.array(numeric, np.bool_)] = np.nan
    missing = made.rates["missing"]
    by_rate = (
        np.isnan(limit)
        & ~np.isnan(missing.limit)
        & ~made.fixed["missing"]
        & (made.values >= MIN_ROWS_PSI)
    )
    if by_rate.any():
        rows, _ = np.nonzero(by_rate)
        hits, m = (np.broadcast_to(part, limit.shape) for part in judge.base.own.of("missing"))
        # Many windows have as many rows: each number is asked about once.
        asked, inverse = np.unique(
            np.stack([made.rows[rows], hits[by_rate], m[by_rate], missing.limit[by_rate]]),
            axis=1,
            return_inverse=True,
        )
        points = visible_points(*asked)
        out[by_rate] = points[np.reshape(inverse, -1)]
    return round_significant(out)


def _at_best(judge: Judge, values: Ints, few: NDArray[np.bool_]) -> Floats:
    """Return what so `few` values (where True of [W, F]) could have shown without any wobble."""
    reference, base = judge.reference, judge.base
    rows, features = np.nonzero(few)
    of = np.zeros(len(rows), np.intp) if base.of is None else base.of[rows]
    # They are fewer than a hundred: each number is asked about once of a segment.
    asked, inverse = np.unique(np.stack([of, values[few]]), axis=1, return_inverse=True)
    each = np.repeat(asked[1][:, None], values.shape[1], axis=1)
    any_time = When(np.zeros(len(each), np.int8), np.zeros(len(each), np.bool_))
    segments = [base.segments[place] for place in asked[0].tolist()]
    calm = Judge(reference, segments, judge.length, [unknown(reference)] * len(each), judge.rule)
    limits = calm.learnt_limit(np.where(few.any(axis=0), each, 0), any_time)
    seen = visible_shift(reference.gridset, calm.compared(any_time), limits)
    return np.asarray(seen[np.reshape(inverse, -1), features])


def visible_shift(gridset: Gridset, compared: Ints, limit: Floats) -> Floats:
    """Return the smallest shift, in sigma, whose true PSI reaches a limit, [W, F].

    Parameters
    ----------
    compared : int64 array [1 or W, n_groups]
        The reference's counts by group that each window is compared with (`Judge.compared`).
    limit : float array [W, F]
        Of PSI; where it is NaN so is the answer.

    Returns
    -------
    float array [W, F]
        NaN where no shift up to 4 sigma reaches the limit: what is always the same has no
        sigma, and a blind feature shows none.
    """
    out = np.full(limit.shape, np.nan)
    by_kind: dict[bytes, list[int]] = {}
    whole = np.broadcast_to(compared, (len(limit), gridset.n_groups))
    for row, counts in enumerate(whole):
        by_kind.setdefault(counts.tobytes(), []).append(row)
    for kind, rows in by_kind.items():
        out[rows] = _shift_of(_reached(gridset, kind), limit[rows])
    return out


@lru_cache(maxsize=64)
def _reached(gridset: Gridset, compared: bytes) -> Floats:
    """The true PSI of every shift of `_STEPS`, [F, steps]; NaN where no shift changes anything.

    The groups of a reference are asked for often.
    """
    counts = np.frombuffer(compared, np.int64)
    out = np.full((len(gridset.features), len(_STEPS)), np.nan)
    by_size: dict[int, list[int]] = {}
    for feature, span in enumerate(gridset.groups):
        if counts[span].any():
            by_size.setdefault(span.stop - span.start, []).append(feature)
    for features in by_size.values():
        r = np.stack([counts[gridset.groups[feature]] for feature in features])
        shares = r / r.sum(axis=-1, keepdims=True)
        out[features] = psi_of_shift(shares[:, None, :], _STEPS)
    out[~(out[:, -1] > 0)] = np.nan
    return out


def _shift_of(reached: Floats, limit: Floats) -> Floats:
    """Return where limits [W, F] lie on rising lines [F, steps], as `np.interp` does for one."""
    feature = np.arange(len(reached))
    place = np.zeros(limit.shape, np.intp)
    last = len(_STEPS) - 1
    with np.errstate(invalid="ignore"):
        for step in 2 ** np.arange(last.bit_length())[::-1]:
            beyond = np.minimum(place + step, last)
            place = np.where(reached[feature, beyond] <= limit, beyond, place)
        following = np.minimum(place + 1, last)
        low, high = reached[feature, place], reached[feature, following]
        slope = (_STEPS[following] - _STEPS[place]) / (high - low)
        between = slope * (limit - low) + _STEPS[place]
        # The first is 0 where no shift is needed at all.
        found = np.where(limit <= low, _STEPS[place], between)
        found = np.where(place == last, np.where(limit == low, _STEPS[last], np.nan), found)
    return np.where(np.isnan(limit) | np.isnan(low), np.nan, found)


def share_interval(share: float | None, of: int) -> tuple[float | None, float | None]:
    """Return the 99.8 % interval (low, high) of a share of so many rows or values (Wilson).

    Its lower end is passed with 99.9 % certainty. None where the share is not known.

    Examples
    --------
    >>> share_interval(0.0, 100)
    (0.0, 0.0871589741)
    """
    if share is None or not of:
        return None, None
    low, high = wilson(round(share * of), of, Z)
    return float(round_down(low)), float(round_up(high))


def visible_points(n: Ints, hits: Ints, m: Ints, limit: Floats) -> Floats:
    """Return the smallest rise of a rate that is judged to be beyond its limit, as a share.

    Newcombe's lower bound of the rise must exceed the limit.

    Parameters
    ----------
    n : array
        Rows (or values) of the window.
    hits, m : arrays
        The reference's rows with the property, and all of them.
    limit : array
        The tolerance, as a share.

    Returns
    -------
    float array
        NaN where even all of the rows would not be enough.

    Examples
    --------
    >>> float(visible_points(np.array(100), np.array(30), np.array(1_000), np.array(0.05)).round(3))
    0.138
    """
    n, hits, m, limit = np.broadcast_arrays(n, hits, m, np.asarray(limit, np.float64))
    known = np.maximum(m, 1)
    own = hits / known

    # The reference's side of Newcombe's bound is the same for every rise.
    _, highest = wilson(hits, known, Z)

    def bound(rise: Floats) -> Floats:
        now = np.minimum(own + rise, 1.0) * n
        share = now / np.maximum(n, 1)
        least, _ = wilson(now, np.maximum(n, 1), Z)
        return np.asarray(share - own - np.sqrt((share - least) ** 2 + (highest - own) ** 2))

    low, high = np.zeros(n.shape), np.asarray(1.0 - own)
    with np.errstate(invalid="ignore"):
        is_seen = (n > 0) & (m > 0) & (bound(high) > limit)
    for _ in range(40):
        middle = (low + high) / 2
        is_above = bound(middle) > limit
        low, high = np.where(is_above, low, middle), np.where(is_above, middle, high)
    return np.where(is_seen, high, np.nan)
