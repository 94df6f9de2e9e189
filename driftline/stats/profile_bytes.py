"""The bytes of a profile: sparse, because most panes hold a few rows.

Layout (little-endian): version, flags, the first 4 bytes of the gridset's digest, number of
features; then low and high as float32, then the non-zero counts (and sums), each as gaps
between places in bytes and values in the narrowest integers. Compressed when that pays.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from driftline.errors import GridMismatch

if TYPE_CHECKING:
    from driftline.stats.gridset import Gridset
    from driftline.stats.profile import Profile

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

Sparse = tuple[NDArray[np.intp], NDArray[Any]]


# What bytes that are no profile raise, here and where their places are looked up.
UNREADABLE: Final = (struct.error, ValueError, IndexError, zlib.error)


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


def decode(
    gridset: Gridset, data: bytes
) -> tuple[NDArray[np.float32], NDArray[np.float32], Sparse, Sparse | None]:
    """Read low, high, counts and sums (None without), the last two as (places, values).

    Raises
    ------
    GridMismatch
        When the bytes were counted on another gridset.
    UNREADABLE
        Any of these: when they are no profile, or of a newer format.
    """
    raw, at, flags, n = _open(gridset, data)
    low = np.frombuffer(raw, "<f4", n, at)
    high = np.frombuffer(raw, "<f4", n, at + 4 * n)
    counts, at = _unsparse(raw, at + 8 * n)
    sums = _unsparse(raw, at)[0] if flags & _HAS_SUMS else None
    return low, high, counts, sums


def _sparse(rows: NDArray[np.int64]) -> list[bytes]:
    """Count of entries, width, gaps (one byte each), values: of every row of [P, size]."""
    # In a table of truth values they are found in half the time.
    flat = np.flatnonzero(rows != 0)
    row, places = np.divmod(flat, rows.shape[1])
    values = rows.ravel()[flat]
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


def _unsparse(raw: bytes, at: int) -> tuple[Sparse, int]:
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
