"""Profiles: integer counts on a gridset, the only form in which data is kept.

A profile is one flat vector over all features, so adding two is one vector addition and
the result depends on no order, split or number of workers. `profile_bytes` is how one is
stored, `stack` how many are judged. This module must not know how values become bins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from driftline.errors import DecodeError, GridMismatch
from driftline.stats.grid import category_hash
from driftline.stats.profile_bytes import UNREADABLE, decode, encode

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
    nan : State
        What a NaN is where the state says VALUE: a value, or NULL for a library that writes
        its nulls so.
    """

    values: Any
    state: NDArray[np.uint8] | None = None
    nan: State = State.VALUE

    def piece(self, start: int, stop: int) -> Column:
        """These rows of it."""
        values, state, nan = self
        return Column(
            None if values is None else values[start:stop],
            None if state is None else state[start:stop],
            nan,
        )

    def take(self, places: NDArray[np.intp]) -> Column:
        """The rows at these places."""
        values, state, nan = self
        if isinstance(values, Words):
            values = Words(values.codes[places], values.words)
        elif values is not None:
            is_array = isinstance(values, np.ndarray)
            values = values[places] if is_array else [values[i] for i in places.tolist()]
        return Column(values, None if state is None else state[places], nan)


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
        """The profile as bytes (`profile_bytes` says which)."""
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
            low, high, counts, sums = decode(gridset, data)
            dense = np.zeros(gridset.size, np.int64)
            dense[counts[0]] = counts[1]
            dense_sums = None
            if sums is not None:
                dense_sums = np.zeros(gridset.size, np.int64)
                dense_sums[sums[0]] = sums[1]
        except UNREADABLE as error:
            raise DecodeError("bad_profile", str(error)) from None
        return cls(dense, dense_sums, low.copy(), high.copy(), gridset.digest)

    def with_bytes(self, gridset: Gridset, data: bytes) -> Profile:
        """`Profile.from_bytes(gridset, data) + self`, by what the bytes hold and not by all places.

        Raises
        ------
        GridMismatch
            When the two were counted on different gridsets.
        DecodeError
            When the bytes are no profile, or of a newer format.
        """
        if self.gridset != gridset.digest:
            raise GridMismatch(gridset.digest, self.gridset)
        try:
            low, high, (places, values), sums = decode(gridset, data)
            counts = self.counts.copy()
            counts[places] += values
            total = None
            if self.sums is not None and sums is not None:
                total = self.sums.copy()
                total[sums[0]] += sums[1]
        except UNREADABLE as error:
            raise DecodeError("bad_profile", str(error)) from None
        return Profile(
            counts, total, np.minimum(low, self.low), np.maximum(high, self.high), self.gridset
        )


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
