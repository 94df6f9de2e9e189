"""References: what a model's data looked like when it was trained, as counts.

A reference is a gridset, profiles on it and the slices its natural wobble is learnt from.
It is immutable and named by the digest of its content. How it is made from a frame is
`build`'s business, how it travels is `document`'s; no row of data is kept here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from driftline.stats.gridset import Gridset
from driftline.stats.profile import Profile

LENGTHS: Final = ("hour", "day", "week")
ALL: Final = "all"
OTHER: Final = "__other__"
PREDICTION: Final = "prediction"
SCORE: Final = "prediction.score"
# A segment has counts of its own from so many rows; below, a reference's limit cannot fall
# under .18, which is said as a warning.
MIN_ROWS: Final = 1_000
MAX_SEGMENT_VALUES: Final = 100


@dataclass(frozen=True, eq=False)
class Slices:
    """The full slices of one length and segment, in the model's time zone (Monday weeks).

    Attributes
    ----------
    starts_ms : int64 array [S]
        Ascending; slices without a row of the segment are left out.
    is_weekend : bool array [S]
        Saturday or Sunday; always false for weeks.
    rows : int64 array [S]
    groups : int32 array [S, n_groups]
        Values by PSI group, all features side by side.
    missing, type_error : int32 arrays [S, features]
        Rows whose value is absent, null or NaN; of the wrong type.
    unseen : int32 array [S, features]
        Values that no other slice of the reference knows.
    out_of_range : int32 array [S, features]
        Values outside the range of all other slices, at the grid's resolution.
    """

    starts_ms: NDArray[np.int64]
    is_weekend: NDArray[np.bool_]
    rows: NDArray[np.int64]
    groups: NDArray[np.int32]
    missing: NDArray[np.int32]
    type_error: NDArray[np.int32]
    unseen: NDArray[np.int32]
    out_of_range: NDArray[np.int32]


# Name and stored type of each array of `Slices`.
SLICE_ARRAYS: Final = {
    "starts_ms": "<i8",
    "is_weekend": "|b1",
    "rows": "<i8",
    "groups": "<i4",
    "missing": "<i4",
    "type_error": "<i4",
    "unseen": "<i4",
    "out_of_range": "<i4",
}


@dataclass(frozen=True, eq=False)
class Reference:
    """A model version's reference; compare two by `digest`.

    Attributes
    ----------
    gridset : Gridset
    profiles : dict
        Segment -> profile; "all" (with sums) always, others from 1,000 rows.
    buckets : dict
        Segment -> {"weekday": profile, "weekend": profile}; empty without times.
    slices : dict
        Segment -> length -> Slices; empty without times.
    dimensions : dict
        Segment dimension -> its values in the reference, the most frequent first.
    timezone : str
        IANA name of the zone in which hours, days and weeks begin.
    first_ms, last_ms : int or None
        Time of the first and last row; None without times.
    rows : int
    prediction : tuple of str
        Which features are predictions ("prediction", "prediction.score").
    importance : dict
        Feature -> weight, as given; the largest is shown first.
    warnings : tuple of str
        What a user should know; no part of the digest.
    digest : str
        sha256 of the content, hexadecimal; independent of the order of rows.
    """

    gridset: Gridset
    profiles: dict[str, Profile]
    buckets: dict[str, dict[str, Profile]]
    slices: dict[str, dict[str, Slices]]
    dimensions: dict[str, tuple[str, ...]]
    timezone: str
    first_ms: int | None
    last_ms: int | None
    rows: int
    prediction: tuple[str, ...] = ()
    importance: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", _digest(self))

    def segments(self) -> tuple[str, ...]:
        """The segments that have counts of their own, "all" first."""
        return tuple(self.profiles)

    def to_document(self) -> bytes:
        """The reference as JSON, its arrays compressed (`from_document` reads it)."""
        from driftline.stats import document

        return document.write(self)

    @classmethod
    def from_document(cls, data: bytes) -> Reference:
        """Read what `to_document` wrote, believing nothing of it.

        Raises
        ------
        InvalidReference
            With one sentence that says what is wrong.
        """
        from driftline.stats import document

        return document.read(data)


def slice_array(slices: Slices, name: str) -> NDArray[Any]:
    """One of `SLICE_ARRAYS`, in its stored type."""
    array: NDArray[Any] = np.ascontiguousarray(getattr(slices, name), dtype=SLICE_ARRAYS[name])
    return array


def facts(reference: Reference) -> dict[str, Any]:
    """What is not an array and counts as content, ready for JSON."""
    return {
        "dimensions": {name: list(values) for name, values in reference.dimensions.items()},
        "timezone": reference.timezone,
        "first_ms": reference.first_ms,
        "last_ms": reference.last_ms,
        "rows": reference.rows,
        "prediction": list(reference.prediction),
        "importance": reference.importance,
    }


def _digest(reference: Reference) -> str:
    content = hashlib.sha256(b"driftline reference 1\n")

    def put(key: str, raw: bytes) -> None:
        content.update(f"{key} {len(raw)}\n".encode())
        content.update(raw)

    put("gridset", reference.gridset.digest.encode("ascii"))
    put("facts", json.dumps(facts(reference), sort_keys=True, separators=(",", ":")).encode())
    put_profiles: Mapping[str, Mapping[str, Profile]] = {
        "profiles": reference.profiles,
        **{f"bucket {segment}": made for segment, made in reference.buckets.items()},
    }
    for group in sorted(put_profiles):
        for name, profile in sorted(put_profiles[group].items()):
            put(f"{group} {name} counts", profile.counts.astype("<i8").tobytes())
            if profile.sums is not None:
                put(f"{group} {name} sums", profile.sums.astype("<i8").tobytes())
            put(f"{group} {name} low", profile.low.astype("<f4").tobytes())
            put(f"{group} {name} high", profile.high.astype("<f4").tobytes())
    for segment, lengths in sorted(reference.slices.items()):
        for length, slices in sorted(lengths.items()):
            for name in (f.name for f in fields(Slices)):
                put(f"slices {segment} {length} {name}", slice_array(slices, name).tobytes())
    return content.hexdigest()
