"""Profiles: integer counts on a gridset, the only form in which data is kept.

A profile is one flat vector over all features, so adding two is one vector addition and
the result depends on no order, split or number of workers. Its bytes are sparse, because
most panes hold a few rows. This module must not know how values become bins.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from driftline.errors import DecodeError, GridMismatch
from driftline.stats.grid import category_hash

if TYPE_CHECKING:
    from driftline.stats.gridset import Gridset

# They follow a feature's bins in its span. The last two count values that are in bins too.
COUNTERS: Final = (
    "absent",
    "null",
    "nan",
    "pos_inf",
    "neg_inf",
    "type_error",
    "zero",
    "negative",
)
# A category is data: its length is capped. What is longer keeps its beginning and is told
# apart by a hash of all of it: texts that begin alike are not one category.
MAX_CATEGORY: Final = 200
_HASH_DIGITS: Final = 16


class State(IntEnum):
    """What a feature's place in a row holds."""

    VALUE = 0
    ABSENT = 1
    NULL = 2
    TYPE_ERROR = 3


class Words(Sequence[str]):
    """Categories as codes into distinct words: what repeats is looked up once.

    Examples
    --------
    >>> list(Words(np.array([1, 0, 1]), ["UA", "AA"]))
    ['AA', 'UA', 'AA']
    """

    def __init__(self, codes: NDArray[np.integer[Any]], words: Sequence[str]) -> None:
        self.codes, self.words = codes, words

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Words: ...
    def __getitem__(self, place: int | slice) -> str | Words:
        if isinstance(place, slice):
            return Words(self.codes[place], self.words)
        return self.words[int(self.codes[place])]


class Column(NamedTuple):
    """One feature of n rows, before the grid.

    Attributes
    ----------
    values
        Numeric: float64 array (NaN and infinities allowed). Categorical: a sequence of n
        canonical strings, `Words` where they are coded. What stands where the state is not
        VALUE is ignored.
        None only when no state is VALUE.
    state : uint8 array of `State`, or None
        None says that every place holds a value.
    """

    values: Any
    state: NDArray[np.uint8] | None = None


def canonical_category(value: object) -> str | None:
    """A category as a string; None where the value is no category (a type error).

    Strings of at most 200 characters stay as they are; of longer ones the first 183, "…" and
    16 hexadecimal digits of a hash of the whole are kept, the same in every process.
    Integral numbers become decimal and booleans "true" and "false".

    Examples
    --------
    >>> canonical_category("UA"), canonical_category(True), canonical_category(3.0)
    ('UA', 'true', '3')
    >>> canonical_category(2.5) is None
    True
    >>> canonical_category("a" * 300) == canonical_category("a" * 301)
    False
    """
    if isinstance(value, str):
        return value if len(value) <= MAX_CATEGORY else _shortened(value)
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (int, np.integer)):
        whole = int(value)
        # Longer ones are no category, and Python refuses to print the longest.
        return str(whole) if abs(whole) < 10**38 else None
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return str(int(number)) if abs(number) < 1e38 and number.is_integer() else None
    return None


def _shortened(value: str) -> str:
    kept = value[: MAX_CATEGORY - 1 - _HASH_DIGITS]
    return f"{kept}…{category_hash(value):0{_HASH_DIGITS}x}"


@dataclass
class Profile:
    """Counts of some rows on a gridset.

    Attributes
    ----------
    counts : int64 array [gridset.size]
        Index 0 holds the number of rows.
    sums : int64 array [gridset.size], or None
        Sum of the canonical values of each numeric bin, in quanta of its grid; where a
        feature's first counter stands (`Gridset.clipped`), the number of clipped values.
    low, high : float32 arrays [features]
        Range of the finite values; inf and -inf where there is none.
    gridset : str
        Digest of the gridset.
    """

    counts: NDArray[np.int64]
    sums: NDArray[np.int64] | None
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    gridset: str

    @classmethod
    def empty(cls, gridset: Gridset, *, with_sums: bool = False) -> Profile:
        """A profile of no rows."""
        n = len(gridset.features)
        return cls(
            counts=np.zeros(gridset.size, np.int64),
            sums=np.zeros(gridset.size, np.int64) if with_sums else None,
            low=np.full(n, np.inf, np.float32),
            high=np.full(n, -np.inf, np.float32),
            gridset=gridset.digest,
        )

    @property
    def rows(self) -> int:
        return int(self.counts[0])

    def __add__(self, other: Profile) -> Profile:
        """The profile of both together; sums are kept when both have them.

        Raises
        ------
        GridMismatch
            When the two were counted on different gridsets.
        """
        if self.gridset != other.gridset:
            raise GridMismatch(self.gridset, other.gridset)
        both = self.sums is not None and other.sums is not None
        return Profile(
            counts=self.counts + other.counts,
            sums=self.sums + other.sums if both else None,  # type: ignore[operator]
            low=np.minimum(self.low, other.low),
            high=np.maximum(self.high, other.high),
            gridset=self.gridset,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Profile):
            return NotImplemented
        if (self.sums is None) != (other.sums is None):
            return False
        same_sums = self.sums is None or np.array_equal(self.sums, other.sums)  # type: ignore[arg-type]
        return (
            self.gridset == other.gridset
            and np.array_equal(self.counts, other.counts)
            and same_sums
            and np.array_equal(self.low, other.low)
            and np.array_equal(self.high, other.high)
        )

    def to_bytes(self) -> bytes:
        """The profile as bytes: sparse, compressed when that pays.

        Layout (little-endian): version, flags, the first 4 bytes of the gridset's digest,
        number of features; then low and high as float32, then the non-zero counts (and
        sums), each as gaps between places in bytes and values in the narrowest integers.
        """
        return encode([self])[0]

    @classmethod
    def from_bytes(cls, gridset: Gridset, data: bytes) -> Profile:
        """The profile that `to_bytes` wrote.

        Raises
        ------
        GridMismatch
            When the bytes were counted on another gridset.
        DecodeError
            When they are no profile, or of a newer format.
        """
        try:
            low, high, counts, sums = _decode(gridset, data)
            dense = np.zeros(gridset.size, np.int64)
            dense[counts[0]] = counts[1]
            dense_sums = None
            if sums is not None:
                dense_sums = np.zeros(gridset.size, np.int64)
                dense_sums[sums[0]] = sums[1]
        except (struct.error, ValueError, IndexError, zlib.error) as error:
            raise DecodeError("bad_profile", str(error)) from None
        return cls(dense, dense_sums, low.copy(), high.copy(), gridset.digest)


def encode(profiles: Sequence[Profile]) -> list[bytes]:
    """`to_bytes` of many profiles of one gridset: an array operation for all, not ten for each.

    Raises
    ------
    GridMismatch
        When they are of different gridsets.
    """
    out: list[bytes] = []
    for start in range(0, len(profiles), _ENCODED_AT_ONCE):
        out += _encode(profiles[start : start + _ENCODED_AT_ONCE])
    return out


def _encode(profiles: Sequence[Profile]) -> list[bytes]:
    first = profiles[0]
    for profile in profiles:
        if profile.gridset != first.gridset:
            raise GridMismatch(first.gridset, profile.gridset)
    counts = _sparse(np.stack([profile.counts for profile in profiles]))
    with_sums = [i for i, profile in enumerate(profiles) if profile.sums is not None]
    sums: dict[int, bytes] = {}
    if with_sums:
        rows = np.stack([sums_of for p in profiles if (sums_of := p.sums) is not None])
        sums = dict(zip(with_sums, _sparse(rows), strict=True))
    digest = bytes.fromhex(first.gridset[:8])
    out = []
    for i, profile in enumerate(profiles):
        flags = _HAS_SUMS if i in sums else 0
        raw = profile.low.tobytes() + profile.high.tobytes() + counts[i] + sums.get(i, b"")
        if len(raw) >= _COMPRESS_FROM:
            flags |= _COMPRESSED
            raw = zlib.compress(raw, 1)
        out.append(_HEAD.pack(FORMAT, flags, digest, len(profile.low)) + raw)
    return out


def add_many(gridset: Gridset, bodies: Iterable[bytes]) -> Profile:
    """The sum of stored profiles; has sums only when all of them have."""
    total: Profile | None = None
    for body in bodies:
        one = Profile.from_bytes(gridset, body)
        if total is None:
            total = one
            continue
        total.counts += one.counts
        if total.sums is not None:
            total.sums = total.sums + one.sums if one.sums is not None else None
        np.minimum(total.low, one.low, out=total.low)
        np.maximum(total.high, one.high, out=total.high)
    return Profile.empty(gridset) if total is None else total


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

        A window has sums when all of its entries have; one of no entries is empty.
        """
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
    for body, window in zip(bodies, window_of, strict=True):
        try:
            low, high, (places, values), sums = _decode(gridset, body)
            # Places are distinct within a body, so a plain indexed addition adds each once.
            out.counts[window][places] += values
            if sums is None:
                out.has_sums[window] = False
            else:
                out.sums[window][sums[0]] += sums[1]
        except (struct.error, ValueError, IndexError, zlib.error) as error:
            raise DecodeError("bad_profile", str(error)) from None
        np.minimum(out.low[window], low, out=out.low[window])
        np.maximum(out.high[window], high, out=out.high[window])
    out.sums[~out.has_sums] = 0
    return out


FORMAT: Final = 1
_HEAD: Final = struct.Struct("<BB4sH")
_PART: Final = struct.Struct("<IB")
_HAS_SUMS: Final = 1
_COMPRESSED: Final = 2
# Below, zlib costs more time than the few bytes are worth (22 us against 10).
_COMPRESS_FROM: Final = 1_024
# Profiles encoded together: 128 of 2,300 places are 2 MB, which stays in the cache.
_ENCODED_AT_ONCE: Final = 128
_WIDTHS: Final = tuple(np.dtype(code) for code in ("<u1", "<u2", "<u4", "<i8"))

_Sparse = tuple[NDArray[np.intp], NDArray[Any]]


def _sparse(rows: NDArray[np.int64]) -> list[bytes]:
    """Count of entries, width, gaps (one byte each), values: of every row of [P, size]."""
    row, places = rows.nonzero()
    values = rows[row, places]
    if not len(row):
        return [_PART.pack(0, 0)] * len(rows)
    gaps = np.diff(places, prepend=0)
    firsts = np.flatnonzero(np.diff(row, prepend=-1))
    gaps[firsts] = places[firsts]
    if gaps.max() > 255:
        # A gap over 255 is bridged by entries of value 0, 255 places apart.
        extra = np.maximum(gaps - 1, 0) // 255
        at = np.repeat(np.arange(len(gaps)), extra)
        gaps -= 255 * extra
        gaps, values, row = (
            np.insert(gaps, at, 255),
            np.insert(values, at, 0),
            np.repeat(row, extra + 1),
        )
        firsts = np.flatnonzero(np.diff(row, prepend=-1))
    n = np.bincount(row, minlength=len(rows))
    # The narrowest integers that hold all of a row's values.
    least, most = np.minimum.reduceat(values, firsts), np.maximum.reduceat(values, firsts)
    width = np.zeros(len(rows), np.int64)
    width[row[firsts]] = np.select(
        [(least < 0) | (most >> 32 > 0), most >> 16 > 0, most >> 8 > 0], [3, 2, 1]
    )
    all_gaps = gaps.astype(np.uint8).tobytes()
    by_width = {w: values.astype(_WIDTHS[w]).tobytes() for w in set(width.tolist())}
    out = []
    start = 0
    for count, kind in zip(n.tolist(), width.tolist(), strict=True):
        stop, size = start + count, _WIDTHS[kind].itemsize
        out.append(
            _PART.pack(count, kind)
            + all_gaps[start:stop]
            + by_width[kind][start * size : stop * size]
        )
        start = stop
    return out


def _unsparse(raw: bytes, at: int) -> tuple[_Sparse, int]:
    n, width = _PART.unpack_from(raw, at)
    at += _PART.size
    gaps = np.frombuffer(raw, np.uint8, n, at)
    at += n
    kind = _WIDTHS[width]
    values = np.frombuffer(raw, kind, n, at)
    return (gaps.cumsum(dtype=np.intp), values), at + n * kind.itemsize


def _open(gridset: Gridset, data: bytes) -> tuple[bytes, int, int, int]:
    """Body, where it begins, flags, number of features."""
    version, flags, prefix, n_features = _HEAD.unpack_from(data)
    if version != FORMAT:
        raise ValueError(f"format {version}, this release reads {FORMAT}")
    if prefix.hex() != gridset.digest[:8]:
        raise GridMismatch(prefix.hex(), gridset.digest)
    if n_features != len(gridset.features):
        raise ValueError("another number of features")
    if flags & _COMPRESSED:
        # At most all places, as 8-byte counts and sums, bridged.
        limit = 64 + 8 * n_features + 24 * gridset.size
        inflate = zlib.decompressobj()
        raw = inflate.decompress(data[_HEAD.size :], limit)
        if not inflate.eof:
            raise ValueError("longer than its gridset allows")
        return raw, 0, flags, n_features
    return data, _HEAD.size, flags, n_features


def _decode(
    gridset: Gridset, data: bytes
) -> tuple[NDArray[np.float32], NDArray[np.float32], _Sparse, _Sparse | None]:
    raw, at, flags, n = _open(gridset, data)
    low = np.frombuffer(raw, "<f4", n, at)
    high = np.frombuffer(raw, "<f4", n, at + 4 * n)
    counts, at = _unsparse(raw, at + 8 * n)
    sums = _unsparse(raw, at)[0] if flags & _HAS_SUMS else None
    return low, high, counts, sums
