"""Stretches of one array side by side, such as the bins of all numeric features of a window.

What a feature needs is computed for all of them by a handful of array operations; without them
a window of a hundred features is four thousand. Sums are those of each stretch alone, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# Whole numbers, which floats may hold, too.
Whole = NDArray[Any]
Places = NDArray[np.intp]

# Numbers worked on at once: 256 KB each array. The handful of them that a step works with stays in
# a processor's cache, and comes from memory that was used before: of larger ones every page is
# asked of the system anew, which takes as long as the arithmetic.
_AT_ONCE = 1 << 15


class Sample(NamedTuple):
    """One of two samples that are compared, each [W, T].

    Attributes
    ----------
    upper, lower
        The shares of its stretch with each place, and before it.
    is_empty
        Places without a value.
    """

    upper: Floats
    lower: Floats
    is_empty: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class SideBySide:
    """F stretches of a row of T places, each of one place or more.

    Attributes
    ----------
    firsts, lasts
        [F] The first and the last place of each stretch.
    owners
        [T] The stretch that each place is of.
    """

    firsts: Places
    lasts: Places
    owners: Places
    _sizes: Places  # [F]
    _padded: Places  # [T] the places in a row with a zero before each stretch
    _starts: Places  # [F] those zeros

    @classmethod
    def of(cls, sizes: Sequence[int]) -> SideBySide:
        """Lay stretches of these sizes one after the other.

        Examples
        --------
        >>> two = SideBySide.of([2, 3])
        >>> two.firsts.tolist(), two.owners.tolist()
        ([0, 2], [0, 0, 1, 1, 1])
        """
        n = np.asarray(sizes, np.intp)
        firsts = np.cumsum(n) - n
        owners = np.repeat(np.arange(len(n), dtype=np.intp), n)
        padded = np.arange(len(owners), dtype=np.intp) + owners + 1
        return cls(firsts, firsts + n - 1, owners, n, padded, firsts + np.arange(len(n)))

    def count(self, values: Whole) -> Whole:
        """Return the sum of whole numbers [W, T] over each stretch, [W, F]."""
        return np.asarray(np.add.reduceat(values, self.firsts, axis=1))

    def sum(self, values: Floats) -> Floats:
        """Return the sum of [W, T] over each stretch, [W, F]: that of a stretch alone, to the bit.

        `reduceat` takes the first number and adds the sum of the others, `sum` adds all to 0.
        """
        padded = np.zeros((len(values), len(self.owners) + len(self.firsts)))
        padded[:, self._padded] = values
        return np.asarray(np.add.reduceat(padded, self._starts, axis=1))

    def largest(self, values: Floats) -> Floats:
        """Return the largest of [W, T] in each stretch, [W, F]; NaN where one is."""
        return np.asarray(np.maximum.reduceat(values, self.firsts, axis=1))

    def cumulated(self, counts: Whole) -> tuple[Floats, Floats, Whole]:
        """Return the shares (with each place, before it), both [W, T], and the totals [W, F].

        NaN with each place, and NaN or 0 before it, where a stretch has nothing.
        """
        total = self.count(counts)
        until = counts.cumsum(axis=1)
        until -= self._spread(until[:, self.firsts] - counts[:, self.firsts])
        with np.errstate(invalid="ignore", divide="ignore"):
            upper = until / self._spread(total.astype(np.float64))
        # Before a place is what there is with the one before it.
        lower = np.empty_like(upper)
        lower[:, 1:] = upper[:, :-1]
        lower[:, self.firsts] = np.where(total > 0, 0.0, np.nan)
        return upper, lower, total

    def _spread(self, values: Whole) -> Whole:
        """Return what is of stretches [W, F] at each of their places, [W, T]."""
        return np.repeat(values, self._sizes, axis=1)

    def sample(self, counts: Whole) -> Sample:
        """Return counts on cells [W, T] as what `ks` compares."""
        upper, lower, _ = self.cumulated(counts)
        return Sample(upper, lower, counts <= 0)

    def ks(self, is_atom: NDArray[np.bool_], r: Sample, c: Sample) -> tuple[Floats, Floats]:
        """Return bounds (low, high) of the KS statistic of two samples, both [W, F].

        `driftline.stats.distance.ks_interval` says what they are.

        Parameters
        ----------
        is_atom
            [T] Places of one cell only.
        r, c
            Of W windows each, or one of them of a single one.
        """
        low = self.largest(np.abs(r.upper - c.upper))
        inside = r.upper - c.lower
        np.maximum(inside, c.upper - r.lower, out=inside)
        np.copyto(inside, 0.0, where=is_atom | r.is_empty | c.is_empty)
        return low, np.asarray(np.maximum(low, self.largest(inside)))


def portions(n: int, width: int) -> Iterator[slice]:
    """Yield the rows of [n, width], so many at a time as a processor's cache holds."""
    step = max(1, _AT_ONCE // max(width, 1))
    for first in range(0, n, step):
        yield slice(first, first + step)
