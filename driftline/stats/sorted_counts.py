"""Whole columns of numbers, counted: many of them by sorting, which needs no look at each.

Sorted, the numbers of a bin lie side by side. One search of where the bins end gives all counts,
the range, and what is zero, negative, NaN or infinite; a bin's sum is that of a stretch. Counts,
sums and ranges are those of `coding`, to the bit, in about half the time. What is asked for row
by row is no business of this module: `coding` says where a row belongs.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from driftline.stats.coding import (
    COUNTER_OF_STATE,
    NAN,
    NEG_INF,
    NEGATIVE,
    POS_INF,
    SLICE_ROWS,
    ZERO,
    code_numbers,
    count_numbers,
)
from driftline.stats.grid import CLIP_BITS, NumericGrid
from driftline.stats.profile import Column, State

# So many numbers are sorted at once: 2^14 cost a quarter more a number, because the bins' ends
# are searched more often, and 2^17 leave the processor's cache.
SORTED_ROWS: Final = 1 << 16
# With fewer rows the search costs what it saves.
LEAST_ROWS: Final = 1 << 14
# What numpy calls the vector instructions that it sorts with; 2.4 has the second name.
_FAST: Final = frozenset({"AVX2", "X86_V3"})
# Added to a number below 2^51 quanta, 1.5 times 2^52 quanta leaves whole ones in its last bits,
# rounded half to even, as `rint` does.
_MAGIC: Final = 1.5 * 2.0**52
_LIMIT: Final = 1 << CLIP_BITS

Ints = NDArray[np.int64]


@cache
def sorts_fast() -> bool:
    """Whether numpy sorts with vector instructions here: 3 to 5 ns a number, 60 without them."""
    if int(np.__version__.split(".")[0]) < 2:
        return False
    simd = np.show_config("dicts")["SIMD Extensions"]
    return not _FAST.isdisjoint([*simd.get("baseline", ()), *simd.get("found", ())])


def count_column(
    grid: NumericGrid, column: Column, rows: int, counts: Ints, sums: Ints
) -> tuple[float, float]:
    """Add a numeric column to its feature's span of one profile.

    Parameters
    ----------
    counts, sums : int64 arrays, one entry per bin and counter
        Changed in place; see `Profile`.

    Returns
    -------
    low, high : float
        Range of the values, overflow as the infinity it became; inf and -inf without any.
    """
    if rows >= LEAST_ROWS and column.values is not None and sorts_fast():
        return count_sorted(grid, column, counts, sums)
    low, high = np.inf, -np.inf
    for start in range(0, rows, SLICE_ROWS):
        piece = column.piece(start, start + SLICE_ROWS)
        coded = code_numbers(grid, piece, min(SLICE_ROWS, rows - start))
        count_numbers(grid, coded, counts, sums)
        low, high = min(low, coded.low), max(high, coded.high)
    return low, high


def count_sorted(
    grid: NumericGrid, column: Column, counts: Ints, sums: Ints
) -> tuple[float, float]:
    """`count_column` by sorting, however few or slow; the column has values."""
    rows = len(column.values)
    marks = _marks(grid)
    pieces = max(1, -(-rows // SORTED_ROWS))
    step = -(-rows // pieces)
    # Used for every piece: the numbers as float32, and as quanta.
    x, wide = np.empty(step, np.float32), np.empty(step, np.float64)
    low, high = np.inf, -np.inf
    for start in range(0, rows, max(step, 1)):
        piece = column.piece(start, start + step)
        found = _count_piece(grid, piece, marks, x[: len(piece.values)], wide, counts, sums)
        low, high = min(low, found[0]), max(high, found[1])
    return low, high


def _marks(grid: NumericGrid) -> NDArray[np.float32]:
    """Where the bins end; then where seven other stretches do, see `_count_piece`."""
    infinity, zero = np.float32(np.inf), np.float32(0)
    largest = np.finfo(np.float32).max
    with np.errstate(over="ignore", under="ignore"):
        limit = np.float32(min(_LIMIT * 2.0**grid.quantum, float(largest)))
        clipped = np.nextafter(-limit, -infinity)
        below_zero = np.nextafter(zero, -infinity)
    others = [-infinity, clipped, below_zero, zero, limit, largest, infinity]
    return np.concatenate([grid.lasts, np.array(others, np.float32)])


def _count_piece(
    grid: NumericGrid,
    piece: Column,
    marks: NDArray[np.float32],
    x: NDArray[np.float32],
    wide: NDArray[np.float64],
    counts: Ints,
    sums: Ints,
) -> tuple[float, float]:
    n_bins, raw, state = grid.n_bins, piece.values, piece.state
    with np.errstate(over="ignore", invalid="ignore"):
        x[:] = raw
    odd = None
    n_odd = 0
    if state is not None and state.any():
        odd = state != State.VALUE
        by_state = np.bincount(state, minlength=len(COUNTER_OF_STATE))[1:]
        counts[n_bins + COUNTER_OF_STATE[1:]] += by_state
        n_odd = int(by_state.sum())
        x[odd] = np.nan
    x.sort()
    until = x.searchsorted(marks, side="right")
    infinite, clipped, negative, zero, in_limit, finite, numbers = until[-7:].tolist()

    # Values are x[first:last]: a finite value beyond float32 is one, an infinity is none.
    first, last = 0, numbers
    if infinite or numbers > finite:
        values = raw if odd is None else raw[~odd]
        first = int(np.count_nonzero(values == -np.inf))
        last -= int(np.count_nonzero(values == np.inf))
    counts[n_bins + NEG_INF] += first
    counts[n_bins + POS_INF] += numbers - last
    nan = NAN if piece.nan == State.VALUE else COUNTER_OF_STATE[piece.nan]
    counts[n_bins + nan] += len(x) - numbers - n_odd
    if first == last:
        return np.inf, -np.inf
    counts[n_bins + NEGATIVE] += max(negative, first) - first
    counts[n_bins + ZERO] += zero - negative
    ends = np.concatenate([[first], until[:-7], [last]])
    counts[:n_bins] += ends[1:] - ends[:-1]

    # The clipped are below the grid or above it, and are counted where the first counter stands.
    start, stop = max(first, clipped), min(last, in_limit)
    if start > first or stop < last:
        sums[0] -= (start - first) * _LIMIT
        sums[n_bins - 1] += (last - stop) * _LIMIT
        sums[n_bins] += (start - first) + (last - stop)
        ends = ends.clip(start, stop)
    _add_sums(grid, x[start:stop], ends - start, wide[: stop - start], sums)
    # -0.0 is no other number than 0.0.
    return float(x[first]) + 0.0, float(x[last - 1]) + 0.0


def _add_sums(
    grid: NumericGrid,
    x: NDArray[np.float32],
    ends: NDArray[np.intp],
    wide: NDArray[np.float64],
    sums: Ints,
) -> None:
    """Add each bin's quanta; bin i is x[ends[i]:ends[i + 1]]."""
    sizes = ends[1:] - ends[:-1]
    full = sizes.nonzero()[0]
    if not len(full):
        return
    magic = np.float64(_MAGIC * 2.0**grid.quantum)
    wide[:] = x
    wide += magic
    # Integers wrap around on the way, and back when the magic number is taken off.
    added = np.add.reduceat(wide.view(np.int64), ends[full])
    added -= sizes[full] * magic.view(np.int64)
    sums[full] += added
