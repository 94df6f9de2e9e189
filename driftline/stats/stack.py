"""Profiles of many windows side by side, so that all of them are judged at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from driftline.errors import DecodeError
from driftline.stats.profile import Profile
from driftline.stats.profile_bytes import UNREADABLE, Sparse, decode

if TYPE_CHECKING:
    from driftline.stats.gridset import Gridset


@dataclass(frozen=True)
class Stack:
    """The profiles of W windows, or panes, of one gridset, side by side.

    Attributes
    ----------
    counts : int64 array [W, size]
    sums : int64 array [W, size]
        As in `Profile`; 0 where a window has none.
    has_sums : bool array [W]
    low, high : float32 arrays [W, features]
    """

    counts: NDArray[np.int64]
    sums: NDArray[np.int64]
    has_sums: NDArray[np.bool_]
    low: NDArray[np.float32]
    high: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.counts)

    @classmethod
    def of(cls, profiles: Sequence[Profile]) -> Stack:
        """Put one profile or more side by side."""
        counts = np.stack([profile.counts for profile in profiles])
        nothing = np.zeros_like(counts[0])
        return cls(
            counts,
            np.stack([nothing if p.sums is None else p.sums for p in profiles]),
            np.array([profile.sums is not None for profile in profiles]),
            np.stack([profile.low for profile in profiles]),
            np.stack([profile.high for profile in profiles]),
        )

    @classmethod
    def of_counts(cls, counts: NDArray[np.int64], n_features: int) -> Stack:
        """Windows of which the counts [W, size] alone are known."""
        n = len(counts)
        return cls(
            counts,
            np.broadcast_to(np.int64(0), counts.shape),
            np.zeros(n, np.bool_),
            np.full((n, n_features), np.inf, np.float32),
            np.full((n, n_features), -np.inf, np.float32),
        )

    @classmethod
    def together(cls, parts: Sequence[Stack]) -> Stack:
        """Put stacks, one or more, one after the other."""
        return cls(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("counts", "sums", "has_sums", "low", "high")
            )
        )

    def take(self, places: Sequence[int]) -> Stack:
        """Return a copy of some entries: a view would keep all of them alive."""
        return Stack(
            self.counts[places], self.sums[places], self.has_sums[places],
            self.low[places], self.high[places],
        )  # fmt: skip

    @property
    def nbytes(self) -> int:
        return self.counts.nbytes + self.sums.nbytes + self.low.nbytes + self.high.nbytes

    def added(self, spans: NDArray[np.intp]) -> Stack:
        """Return windows that are the sums of entries [first, last), by `spans` [W, 2].

        A window has sums when all of its entries have; one of no entries is empty. Where each
        entry is a window the answer shares its arrays with this.
        """
        if len(spans) == len(self) and (spans == np.arange(len(self))[:, None] + [0, 1]).all():
            return self
        n, size, n_features = len(spans), self.counts.shape[1], self.low.shape[1]
        out = Stack(
            np.zeros((n, size), np.int64),
            np.zeros((n, size), np.int64),
            np.ones(n, np.bool_),
            np.full((n, n_features), np.inf, np.float32),
            np.full((n, n_features), -np.inf, np.float32),
        )
        for place, (first, last) in enumerate(spans.tolist()):
            some = slice(first, last)
            if last <= first:
                continue
            self.counts[some].sum(axis=0, out=out.counts[place])
            self.low[some].min(axis=0, out=out.low[place])
            self.high[some].max(axis=0, out=out.high[place])
            out.has_sums[place] = self.has_sums[some].all()
            if out.has_sums[place]:
                self.sums[some].sum(axis=0, out=out.sums[place])
        return out


def stack(
    gridset: Gridset, bodies: Sequence[bytes], window_of: Sequence[int], n_windows: int
) -> Stack:
    """Stored profiles, added up by window.

    Parameters
    ----------
    window_of : sequence of int
        The window of each body.

    Raises
    ------
    GridMismatch
        When one was counted on another gridset.
    DecodeError
        When one is no profile.
    """
    n_features = len(gridset.features)
    out = Stack(
        np.zeros((n_windows, gridset.size), np.int64),
        np.zeros((n_windows, gridset.size), np.int64),
        np.ones(n_windows, np.bool_),
        np.full((n_windows, n_features), np.inf, np.float32),
        np.full((n_windows, n_features), -np.inf, np.float32),
    )
    is_begun, is_summed = np.zeros((2, n_windows), np.bool_)
    for body, window in zip(bodies, window_of, strict=True):
        try:
            low, high, counts, sums = decode(gridset, body)
            _add(out.counts[window], counts, is_first=not is_begun[window])
            if sums is None:
                out.has_sums[window] = False
            else:
                _add(out.sums[window], sums, is_first=not is_summed[window])
                is_summed[window] = True
        except UNREADABLE as error:
            raise DecodeError("bad_profile", str(error)) from None
        is_begun[window] = True
        np.minimum(out.low[window], low, out=out.low[window])
        np.maximum(out.high[window], high, out=out.high[window])
    # Only these: memory that nothing was written to takes none.
    out.sums[is_summed & ~out.has_sums] = 0
    return out


def _add(row: NDArray[np.int64], sparse: Sparse, *, is_first: bool) -> None:
    """Add values to a row at their places, of which each comes once; the first find zeros."""
    places, values = sparse
    if is_first:
        row[places] = values
    else:
        row[places] += values
