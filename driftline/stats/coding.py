"""Coding: from one feature's column to a place in its span for each row.

A span is the feature's bins, then its `COUNTERS`. What is coded once may be counted several
times. This module knows one feature at a time; where its span lies among the others is
`gridset`'s business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from driftline.stats.grid import CLIP_BITS, CategoricalGrid, NumericGrid, canonical
from driftline.stats.profile import COUNTERS, Column, State, Words

Places = NDArray[np.integer[Any]]

ABSENT, _NULL, NAN, POS_INF, NEG_INF, _TYPE_ERROR, ZERO, NEGATIVE = range(len(COUNTERS))
# State -> counter (State.VALUE has none).
COUNTER_OF_STATE: Final = np.array([-1, ABSENT, _NULL, _TYPE_ERROR], np.int64)
# float64 adds integers below 2^53 exactly: 2^16 rows of at most 2^36 quanta each.
SUM_ROWS: Final = 1 << (52 - CLIP_BITS)
# So many numbers (no more than that) are coded and counted at once: what is made on the way stays
# in the processor's cache. 2^16 and 2^12 cost a quarter more a value.
SLICE_ROWS: Final = 1 << 14


class Numbers(NamedTuple):
    """A coded numeric column.

    Attributes
    ----------
    places : integer array [rows]
        Place of each row in the feature's span.
    values : float32 array [rows]
        Canonical values; NaN where there is no finite or overflowing value.
    low, high : float
        Range of the values, overflow as the infinity it became; inf and -inf without any.
    has_gaps : bool
        Whether there is a NaN among the values.
    """

    places: Places
    values: NDArray[np.float32]
    low: float
    high: float
    has_gaps: bool


def code_numbers(grid: NumericGrid, column: Column, rows: int) -> Numbers:
    """Code a numeric column."""
    raw, state, nan = column
    if raw is None:
        raw = np.zeros(rows)
        state = np.full(rows, State.TYPE_ERROR, np.uint8) if state is None else state.copy()
        state[state == State.VALUE] = State.TYPE_ERROR
    x = canonical(raw)
    if not rows:
        return Numbers(np.empty(0, np.uint16), x, np.inf, -np.inf, False)
    odd_state = None
    if state is not None and state.any():
        odd_state = state != State.VALUE
        x[odd_state] = np.nan
    # NaN is the range of what holds one.
    low, high = float(x.min()), float(x.max())
    if np.isfinite(low) and np.isfinite(high):
        return Numbers(grid.bins(x), x, low, high, False)
    # Infinite as a float32 only: finite, and beyond the grid on its side.
    infinite = np.isinf(x).nonzero()[0]
    infinite = infinite[np.isinf(np.asarray(raw)[infinite])]
    signs = x[infinite]
    x[infinite] = np.nan
    is_nan = np.isnan(x)
    places = grid.bins(np.where(is_nan, np.float32(0), x)).astype(np.int32)
    places[is_nan] = grid.n_bins + (NAN if nan == State.VALUE else COUNTER_OF_STATE[nan])
    places[infinite] = grid.n_bins + np.where(signs > 0, POS_INF, NEG_INF)
    if state is not None and odd_state is not None:
        places[odd_state] = grid.n_bins + COUNTER_OF_STATE[state[odd_state]]
    if is_nan.all():
        return Numbers(places, x, np.inf, -np.inf, True)
    low, high = float(np.fmin.reduce(x)), float(np.fmax.reduce(x))
    return Numbers(places, x, low, high, bool(is_nan.any()))


def canonical_rows(columns: Sequence[Column | None], rows: int) -> NDArray[np.float32]:
    """Canonical values [columns, rows]; NaN where there is none."""
    values = np.full((len(columns), rows), np.nan, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for i, column in enumerate(columns):
            if column is not None and column.values is not None:
                values[i] = column.values
    # As `canonical`: there is one zero only.
    values += np.float32(0.0)
    for i, column in enumerate(columns):
        if column is not None and column.state is not None:
            values[i][column.state != State.VALUE] = np.nan
    return values


def count_numbers(
    grid: NumericGrid,
    coded: Numbers,
    counts: NDArray[np.int64],
    sums: NDArray[np.int64] | None = None,
) -> None:
    """Add a coded column to its feature's span of one profile.

    Parameters
    ----------
    counts, sums : int64 arrays, one entry per bin and counter
        Changed in place; see `Profile`.
    """
    is_summed = sums is not None and coded.low <= coded.high
    scale, limit = 2.0**-grid.quantum, float(1 << CLIP_BITS)
    is_clipped = is_summed and max(abs(coded.low), abs(coded.high)) * scale > limit
    for start in range(0, len(coded.places), SLICE_ROWS):
        part = slice(start, start + SLICE_ROWS)
        # What bincount would convert to, once for both.
        places = coded.places[part].astype(np.intp)
        counts += np.bincount(places, minlength=len(counts))
        values = coded.values[part]
        if coded.low <= 0:
            counts[grid.n_bins + NEGATIVE] += np.count_nonzero(values < 0)
            counts[grid.n_bins + ZERO] += np.count_nonzero(values == 0)
        if sums is None or not is_summed:
            continue
        quanta = np.multiply(values, scale, dtype=np.float64)
        np.rint(quanta, out=quanta)
        if coded.has_gaps:
            quanta[np.isnan(quanta)] = 0.0
        if is_clipped:
            # The clipped are counted where the first counter stands.
            sums[grid.n_bins] += np.count_nonzero(np.abs(quanta) > limit)
            np.clip(quanta, -limit, limit, out=quanta)
        sums += np.bincount(places, weights=quanta, minlength=len(sums)).astype(np.int64)


def count_column(
    grid: NumericGrid,
    column: Column,
    rows: int,
    counts: NDArray[np.int64],
    sums: NDArray[np.int64],
) -> tuple[float, float]:
    """Code a numeric column and add it to its feature's span, a slice of its rows at a time.

    Parameters
    ----------
    counts, sums : int64 arrays, one entry per bin and counter
        Changed in place; see `Profile`.

    Returns
    -------
    low, high : float
        Range of the values, overflow as the infinity it became; inf and -inf without any.
    """
    low, high = np.inf, -np.inf
    for start in range(0, rows, SLICE_ROWS):
        coded = code_numbers(
            grid, column.piece(start, start + SLICE_ROWS), min(SLICE_ROWS, rows - start)
        )
        count_numbers(grid, coded, counts, sums)
        low, high = min(low, coded.low), max(high, coded.high)
    return low, high


def code_categories(grid: CategoricalGrid, column: Column, rows: int) -> NDArray[np.int64]:
    """Place of each row of a categorical column in its feature's span."""
    places = category_bins(grid, column, rows)
    mark_states(places, column.state, grid.n_bins)
    return places


def mark_states(places: NDArray[np.int64], state: NDArray[np.uint8] | None, n_bins: int) -> None:
    """Put rows without a value where the counter of their state is, in place."""
    if state is not None and state.any():
        odd = state != State.VALUE
        places[odd] = n_bins + COUNTER_OF_STATE[state[odd]]


def category_bins(grid: CategoricalGrid, column: Column, rows: int) -> NDArray[np.int64]:
    """Bin of each category, by one dictionary lookup for each value or distinct word."""
    values: Sequence[Any] | None = column.values
    if values is None:
        return np.full(rows, grid.unseen, np.int64)
    if isinstance(values, Words):
        bin_of = np.fromiter(map(grid.index.__getitem__, values.words), np.int64)
        return bin_of[values.codes] if len(bin_of) else np.full(rows, grid.unseen, np.int64)
    try:
        return np.fromiter(map(grid.index.__getitem__, values), np.int64, rows)
    except TypeError:
        # Something unhashable stands where the state says that there is no value.
        kept = (value if isinstance(value, str) else "" for value in values)
        return np.fromiter(map(grid.index.__getitem__, kept), np.int64, rows)


def count_words(
    grid: CategoricalGrid, column: Column, words: Words, counts: NDArray[np.int64]
) -> dict[str, int]:
    """Add a column of words to its feature's span; return the unseen words with their rows."""
    codes, state = words.codes, column.state
    if state is not None and state.any():
        by_state = np.bincount(state, minlength=len(COUNTER_OF_STATE))[1:]
        counts[grid.n_bins + COUNTER_OF_STATE[1:]] += by_state
        codes = codes[state == State.VALUE]
    if not len(words.words):
        counts[grid.unseen] += len(codes)
        return {}
    by_word = np.bincount(codes, minlength=len(words.words))
    bin_of = np.fromiter(map(grid.index.__getitem__, words.words), np.int64)
    np.add.at(counts, bin_of, by_word)
    unseen: dict[str, int] = {}
    for at in np.flatnonzero((bin_of == grid.unseen) & (by_word > 0)).tolist():
        word = words.words[at]
        unseen[word] = unseen.get(word, 0) + int(by_word[at])
    return unseen
