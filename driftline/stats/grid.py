"""Grids: the frozen bins of one feature, made from a reference and never from judged data.

A grid turns a value into a cell and a cell into a bin; counts on one grid add, whatever
the order and the split. This module knows values and bins of ONE feature; where a bin
lies in the flat vector of all features is `gridset`'s business. It must not look at
anything but the reference when it makes a grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

Cells = Literal["integers", "floats", "edges"]

BINS: Final = 256
# More cells tell more values apart, fewer stay in the processor's cache: 16K, 64K and 256K
# cells cost 27.6, 28.6 and 31.1 ns a value in slices of 1,000 rows and 12 features.
MAX_CELLS: Final = 1 << 18
# Integers keep one cell each up to this span (a table of 512 KB).
MAX_INTEGER_SPAN: Final = 1 << 18
# Beyond, float64 does not tell neighbouring integers apart.
MAX_INTEGER: Final = 1 << 53
# So many distinct values may have edges of their own where float bits cannot tell them apart.
MAX_EDGES: Final = 4_096
# Sums are kept in quanta of the largest edge's power of two over 2^30, so that 2^23 in-range
# values cannot overflow what float64 adds exactly; values are clipped at 2^36 quanta.
QUANTUM_BITS: Final = 30
CLIP_BITS: Final = 36

MAX_LEVELS: Final = 100
# Levels that are PSI groups of their own; the other known ones are one more.
NAMED_GROUPS: Final = 10
LEVEL_SHARE: Final = 0.01
# Up to so many categories are known by name; above, by hash in so many buckets. By hash, too,
# where nearly all rows hold rare ones: they would be one bin, in which nothing moves, and there are
# no names to lose.
MAX_NAMED: Final = 1_000
RARE_HASHED: Final = 0.9
HASH_BUCKETS: Final = 256
# Above so many categories a column is no category at all (8 bytes each in the document).
MAX_CATEGORIES: Final = 100_000
# Hashes of values are remembered up to this many, then forgotten together.
_MEMO: Final = 100_000


@dataclass(frozen=True, eq=False)
class NumericGrid:
    """Cells and bins of a numeric feature.

    Cell 0 (bin 0) is underflow and the last cell (the last bin) overflow: both lie outside
    the reference's range.

    Attributes
    ----------
    cells : {"integers", "floats", "edges"}
        The kind of cells (see `encode`).
    base, shift : int
        Integers: ``cell = ceil(x) - base``. Floats: ``cell = (ordered bits >> shift) - base``.
    n_cells : int
    edges : float32 array
        Kind "edges" only: cell i is (edges[i-1], edges[i]].
    ends : int32 array, one per bin
        The last cell of each bin.
    is_atom : bool array, one per bin
        Bins of one cell that holds at least 1/K of the reference.
    quantum : int
        Sums are counted in units of 2**quantum.
    low, high : float
        The reference's canonical range.
    """

    cells: Cells
    base: int
    shift: int
    n_cells: int
    edges: NDArray[np.float32]
    ends: NDArray[np.int32]
    is_atom: NDArray[np.bool_]
    quantum: int
    low: float
    high: float

    @cached_property
    def table(self) -> NDArray[np.uint16]:
        """Bin of each cell; made when first asked for, because only counting needs it."""
        widths = np.diff(self.ends, prepend=-1)
        return np.repeat(np.arange(len(self.ends), dtype=np.uint16), widths)

    @property
    def n_bins(self) -> int:
        return len(self.ends)

    def encode(self, x: NDArray[np.float32]) -> NDArray[np.intp]:
        """Cell of each canonical value; `x` must be finite.

        Returns
        -------
        intp array in [0, n_cells - 1]
            Orders as the values do. A value between two cells belongs to the one above.
        """
        last = self.n_cells - 1
        if self.cells == "floats":
            keys = ordered_bits(x)
            keys >>= np.int32(self.shift)
            first = np.int32(self.base)
            np.maximum(keys, first, out=keys)
            np.minimum(keys, first + np.int32(last), out=keys)
            keys -= first
            return keys.astype(np.intp)
        if self.cells == "edges":
            return np.searchsorted(self.edges, x, side="left")
        # float64: a base beyond 2^24 is not always a float32.
        wide = np.ceil(x.astype(np.float64))
        wide -= self.base
        np.maximum(wide, 0.0, out=wide)
        np.minimum(wide, float(last), out=wide)
        wide[x < np.float32(self.low)] = 0
        return wide.astype(np.intp)

    def bins(self, x: NDArray[np.float32]) -> NDArray[np.uint16]:
        """Bin of each canonical, finite value."""
        if self.cells != "floats":
            return self.table.take(self.encode(x))
        # `encode` without its limits: what lies beyond a table is taken from its ends.
        keys = ordered_bits(x)
        keys >>= np.int32(self.shift)
        return self.table.take(np.subtract(keys, self.base, dtype=np.intp), mode="clip")

    def upper(self) -> NDArray[np.float64]:
        """Largest value of each bin (inf for overflow), for axes and labels."""
        ends = self.ends[:-1].astype(np.int64)
        if self.cells == "edges":
            values = self.edges[ends].astype(np.float64)
        elif self.cells == "integers":
            values = (ends + self.base).astype(np.float64)
        else:
            keys = ((ends + self.base + 1) << self.shift) - 1
            values = value_of_bits(keys).astype(np.float64)
        values[-1] = min(values[-1], self.high)
        if len(values) > 1:
            values[0] = min(values[0], np.nextafter(self.low, -np.inf))
        return np.append(values, np.inf)

    @cached_property
    def lasts(self) -> NDArray[np.float32]:
        """Largest canonical value of each bin but the last."""
        ends = self.ends[:-1].astype(np.int64)
        if self.cells == "edges":
            return self.edges[ends]
        if self.cells == "floats":
            keys = ((ends + self.base + 1) << self.shift) - 1
            # -1 is the key of -0.0, which is no canonical value.
            return value_of_bits(np.where(keys == -1, -2, keys))
        whole = (ends + self.base).astype(np.float64)
        values = whole.astype(np.float32)
        too_large = values > whole
        values[too_large] = np.nextafter(values[too_large], np.float32(-np.inf))
        # What lies below the range is underflow, however near.
        values[ends == 0] = np.nextafter(np.float32(self.low), np.float32(-np.inf))
        return values

    @property
    def resolution(self) -> tuple[float, str]:
        """Width of a cell, and whether it is "absolute" or "relative" to the value."""
        if self.cells == "integers":
            return 1.0, "absolute"
        if self.cells == "floats":
            return 2.0 ** (self.shift - 23), "relative"
        inner = self.edges[1:]
        gap = float(np.diff(inner).min()) if len(inner) > 1 else 0.0
        return gap, "absolute"


@dataclass(frozen=True, eq=False)
class CategoricalGrid:
    """Bins of a categorical feature: its levels (or hash buckets), other, unseen.

    Attributes
    ----------
    levels : tuple of str
        Categories with >= 1 % of the reference, at most 100, the largest first.
        Empty when the categories are hashed.
    rare : tuple of str
        The other categories that the reference knows, sorted.
    hashes : uint64 array
        Sorted hashes of all known categories when there are over 1,000 or nearly all rows hold
        rare ones; empty otherwise. Then the bins are 256 hash buckets and unseen.
    """

    levels: tuple[str, ...]
    rare: tuple[str, ...]
    hashes: NDArray[np.uint64]
    index: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        index: dict[str, int]
        if self.is_hashed:
            index = _HashedIndex(self.hashes, self.unseen)
        else:
            index = _NamedIndex(self.unseen)
            index.update({level: i for i, level in enumerate(self.levels)})
            index.update(dict.fromkeys(self.rare, len(self.levels)))
        object.__setattr__(self, "index", index)

    @property
    def is_hashed(self) -> bool:
        return len(self.hashes) > 0

    @property
    def n_bins(self) -> int:
        return self.unseen + 1

    @property
    def other(self) -> int:
        """Bin of the rare categories; -1 when hashed (each has its bucket)."""
        return -1 if self.is_hashed else len(self.levels)

    @property
    def unseen(self) -> int:
        """Bin of what the reference has never seen."""
        return HASH_BUCKETS if self.is_hashed else len(self.levels) + 1


Grid = NumericGrid | CategoricalGrid


class _NamedIndex(dict[str, int]):
    """Category -> bin; what is not there is unseen, and is not remembered."""

    def __init__(self, unseen: int) -> None:
        super().__init__()
        self._unseen = unseen

    def __missing__(self, value: str) -> int:
        return self._unseen


class _HashedIndex(dict[str, int]):
    """Category -> bucket by hash, remembered while there is room."""

    def __init__(self, hashes: NDArray[np.uint64], unseen: int) -> None:
        super().__init__()
        self._known = frozenset(hashes.tolist())
        self._unseen = unseen

    def __missing__(self, value: str) -> int:
        if not isinstance(value, str):
            return self._unseen
        key = category_hash(value)
        bin_ = key % HASH_BUCKETS if key in self._known else self._unseen
        if len(self) >= _MEMO:
            self.clear()
        self[value] = bin_
        return bin_


def category_hash(value: str) -> int:
    """64-bit hash of a category, the same in every process."""
    raw = value.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(raw, digest_size=8).digest(), "little")


def canonical(x: NDArray[Any]) -> NDArray[np.float32]:
    """float32 of each value, with -0.0 made 0.0; beyond float32 it becomes +-inf."""
    with np.errstate(over="ignore", invalid="ignore"):
        y: NDArray[np.float32] = x.astype(np.float32)
    y += np.float32(0.0)
    return y


def ordered_bits(x: NDArray[np.float32]) -> NDArray[np.int32]:
    """int32 keys that order as the floats do.

    Examples
    --------
    >>> bool((np.diff(ordered_bits(np.float32([-2, -1, 0, 1, 2]))) > 0).all())
    True
    """
    k = x.view(np.int32)
    flipped = k >> np.int32(31)
    flipped &= np.int32(0x7FFFFFFF)
    flipped ^= k
    return flipped


def value_of_bits(keys: NDArray[np.int64]) -> NDArray[np.float32]:
    """The floats of ordered keys (the inverse of `ordered_bits`)."""
    k = keys.astype(np.int32)
    values: NDArray[np.float32] = (k ^ ((k >> 31) & np.int32(0x7FFFFFFF))).view(np.float32)
    return values


def numeric_grid(values: NDArray[Any], *, n_bins: int = BINS) -> NumericGrid:
    """Make the grid of a numeric feature from the reference's values.

    Parameters
    ----------
    values : array
        Finite values, in any order; at least one must be within float32.
    n_bins : int
        K: bins hold about 1/K of the values each. Atoms may push the number above.

    Returns
    -------
    NumericGrid
    """
    x = canonical(values)
    distinct, counts = np.unique(x[np.isfinite(x)], return_counts=True)
    if not len(distinct):
        raise ValueError("a numeric grid needs a finite value")
    return grid_of_counts(distinct, counts, n_bins=n_bins)


def grid_of_counts(
    distinct: NDArray[np.float32], counts: NDArray[np.int64], *, n_bins: int = BINS
) -> NumericGrid:
    """`numeric_grid` of values that are counted already.

    Parameters
    ----------
    distinct : float32 array
        The canonical values that are finite, ascending, each once; at least one.
    counts : int64 array
        How often each comes, at least once.
    """
    low, high = distinct[0], distinct[-1]
    largest = max(abs(float(low)), abs(float(high)))
    quantum = 0 if largest == 0 else int(np.ceil(np.log2(largest))) - QUANTUM_BITS
    integral = bool((distinct == np.floor(distinct)).all())
    span = float(high) - float(low)

    kind: Cells = "floats"
    base, shift = 0, 0
    edges = np.empty(0, np.float32)
    if integral and span < MAX_INTEGER_SPAN and largest < MAX_INTEGER:
        kind, base, n_cells = "integers", int(low) - 1, int(span) + 3
    else:
        first, last = ordered_bits(distinct[[0, -1]]).tolist()
        while (last >> shift) - (first >> shift) + 3 > MAX_CELLS:
            shift += 1
        base = (first >> shift) - 1
        n_cells = (last >> shift) - base + 2
        has_few = len(distinct) <= MAX_EDGES
        if has_few and (np.diff(ordered_bits(distinct) >> np.int32(shift)) == 0).any():
            kind, base, shift = "edges", 0, 0
            with np.errstate(over="ignore"):  # below the lowest float there is -inf alone
                below = np.nextafter(low, np.float32(-np.inf))
            edges = np.concatenate([np.array([below], np.float32), distinct])
            n_cells = len(edges) + 1

    def made(ends: NDArray[np.int32], is_atom: NDArray[np.bool_]) -> NumericGrid:
        return NumericGrid(
            cells=kind,
            base=base,
            shift=shift,
            n_cells=n_cells,
            edges=edges,
            ends=ends,
            is_atom=is_atom,
            quantum=quantum,
            low=float(low),
            high=float(high),
        )

    # A grid of one bin has the cells already: it places the values, then the bins are cut.
    cells = made(np.array([n_cells - 1], np.int32), np.zeros(1, bool)).encode(distinct)
    mass = np.bincount(cells, weights=counts, minlength=n_cells).astype(np.int64)
    share = float(mass.sum()) / n_bins
    smallest = share / 2 if integral else share
    if len(distinct) <= n_bins:
        smallest = 1.0  # every value is an atom
    ends, is_atom = _cut(mass, np.flatnonzero(mass >= smallest), share)
    return made(ends, is_atom)


def _cut(
    mass: NDArray[np.int64], atoms: NDArray[np.intp], share: float
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Bins as the last cell of each: underflow, atoms and the runs between them, overflow."""
    # Floats, or each search would convert the whole array to meet the float it looks for.
    cumulated = np.cumsum(mass).astype(np.float64)
    ends, is_atom = [0], [False]
    last = len(mass) - 2
    position = 1
    for atom in [*atoms.tolist(), last + 1]:
        while position < atom:
            full = cumulated[position - 1] + share
            end = int(np.searchsorted(cumulated, full, side="right")) - 1
            end = min(max(end, position), atom - 1)
            ends.append(end)
            is_atom.append(False)
            position = end + 1
        if atom <= last:
            ends.append(atom)
            is_atom.append(True)
            position = atom + 1
    ends.append(last + 1)
    is_atom.append(False)
    return np.array(ends, np.int32), np.array(is_atom, np.bool_)


def categorical_grid(counts: Mapping[str, int]) -> CategoricalGrid:
    """Make the grid of a categorical feature from the reference's counts by category.

    Levels are the categories with at least 1 % of the counts, at most 100. More than 1,000
    categories are hashed to 256 buckets, and so are fewer of which those that are no levels hold
    more than nine tenths of the counts: in their one bin half of them could vanish unseen.

    Examples
    --------
    >>> few, flat = ({f"v{i}": 1 for i in range(n)} for n in (100, 300))
    >>> categorical_grid(few).is_hashed, categorical_grid(flat).is_hashed
    (False, True)
    """
    total = sum(counts.values())
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    levels = [name for name, count in ranked[:MAX_LEVELS] if count >= LEVEL_SHARE * total]
    n_rare = total - sum(counts[name] for name in levels)
    if len(ranked) > MAX_NAMED or n_rare > RARE_HASHED * total:
        hashes = np.array(sorted({category_hash(name) for name in counts}), np.uint64)
        return CategoricalGrid(levels=(), rare=(), hashes=hashes)
    rare = sorted(set(counts) - set(levels))
    return CategoricalGrid(tuple(levels), tuple(rare), np.empty(0, np.uint64))


def numeric_groups(grid: NumericGrid, mass: NDArray[np.int64]) -> NDArray[np.int32]:
    """PSI group of each bin: about ten groups of equal mass, large atoms alone.

    A bin with mass r after mass C in its run of M goes to group floor(k (C + r/2) / M) of
    the run's k = max(1, round(10 M/m)); a bin without mass joins the next bin with mass,
    underflow the first group and overflow the last.

    Parameters
    ----------
    mass : int64 array, one per bin
        The reference's counts.
    """
    total = int(mass.sum())
    own = grid.is_atom & (mass * 10 >= total) & (mass > 0)
    keys: list[tuple[int, int]] = []  # (run, group within the run) of each bin with mass
    places: list[int] = []
    run = 0
    start = 0
    for stop in [*np.flatnonzero(own).tolist(), len(mass)]:
        members = mass[start:stop]
        run_mass = int(members.sum())
        if run_mass:
            k = max(1, (20 * run_mass + total) // (2 * total))
            before = 0
            for place, r in enumerate(members.tolist(), start):
                if r:
                    keys.append((run, k * (2 * before + r) // (2 * run_mass)))
                    places.append(place)
                    before += r
        if stop < len(mass):
            keys.append((run + 1, 0))
            places.append(stop)
        run += 2
        start = stop + 1
    numbers = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    filled = np.array([numbers[key] for key in keys], np.int32)
    following = np.searchsorted(np.array(places), np.arange(len(mass)), side="left")
    return filled[np.minimum(following, len(places) - 1)]


def categorical_groups(grid: CategoricalGrid, mass: NDArray[np.int64]) -> NDArray[np.int32]:
    """PSI group of each bin: the ten largest, the remaining known ones, unseen (-1 = none)."""
    known = mass[: grid.unseen].tolist()
    ranked = sorted(
        (i for i, r in enumerate(known) if r and i != grid.other), key=lambda i: (-known[i], i)
    )
    groups = np.full(grid.n_bins, -1, np.int32)
    for number, bin_ in enumerate(ranked[:NAMED_GROUPS]):
        groups[bin_] = number
    number = len(ranked[:NAMED_GROUPS])
    remaining = ranked[NAMED_GROUPS:] + [i for i, r in enumerate(known) if r and i == grid.other]
    if remaining:
        groups[remaining] = number
        number += 1
    groups[grid.unseen] = number
    return groups
