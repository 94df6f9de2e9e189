"""Reference documents: how a reference travels and how it is stored.

JSON, with arrays as base64 of zlib. What arrives may have been written by anybody, so
nothing of it is believed: names, sizes and types are checked before anything is unpacked,
unpacking stops at the size the gridset implies, and counts must agree with each other.
Every fault is an `InvalidReference` with one sentence.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Callable
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from driftline.errors import InvalidReference
from driftline.stats.believed import MAX_ROWS, fault_of
from driftline.stats.checked import (
    a_list,
    a_string,
    an_integer,
    an_object,
    is_finite,
    refuse,
    short,
    strings,
    unbase64,
)
from driftline.stats.excluding import MAX_EXCLUDED
from driftline.stats.grid_document import MAX_NAME, gridset_of
from driftline.stats.gridset import Gridset
from driftline.stats.lengths import DEFAULT_LENGTHS, LENGTHS, LONGEST
from driftline.stats.profile import MAX_CATEGORY, Profile
from driftline.stats.reference import (
    ALL,
    BUCKETS,
    MAX_DIMENSIONS,
    MAX_FEATURES,
    MAX_SEGMENT_VALUES,
    OTHER,
    Reference,
    facts,
    zone_of,
)
from driftline.stats.slicing import SLICE_ARRAYS, Slices, slice_array

_T = TypeVar("_T")

FORMAT: Final = 1
MAX_BYTES: Final = 64 << 20
# What a document of so many bytes may hold: each of these takes far more memory than bytes. A
# thousand words of 1,800 features.
MAX_VALUES: Final = 2_000_000
# All arrays of a document together, unpacked. The hours of a year are the most: 49 MB for
# each segment of 100 features.
MAX_UNPACKED: Final = 1 << 30
# A century of hours; what they unpack to is bounded above.
MAX_SLICES: Final = 1_000_000
MAX_WARNINGS: Final = 10_000


def write(reference: Reference) -> bytes:
    """The document of a reference, ASCII JSON; refused where `read` would refuse its size."""
    document = {
        "format": FORMAT,
        "digest": reference.digest,
        "features": [feature.to_dict() for feature in reference.gridset.features],
        "facts": facts(reference),
        "warnings": list(reference.warnings),
        "profiles": {name: _profile(p) for name, p in reference.profiles.items()},
        "buckets": {
            segment: {name: _profile(p) for name, p in pair.items()}
            for segment, pair in reference.buckets.items()
        },
        "slices": {
            segment: {length: _slices(s) for length, s in lengths.items()}
            for segment, lengths in reference.slices.items()
        },
    }
    data = json.dumps(document, separators=(",", ":"), ensure_ascii=True).encode("ascii")
    if len(data) > MAX_BYTES:
        raise InvalidReference(
            f"the reference's document has {len(data):,} bytes, over {MAX_BYTES:,}: name fewer "
            "features or segments"
        )
    refuse_too_many(data)
    return data


def refuse_too_many(data: bytes) -> None:
    """Refuse JSON of too many values before any of it is read; commas and brackets are counted.

    Raises
    ------
    InvalidReference
        They are more than `MAX_VALUES`.
    """
    n = sum(data.count(mark) for mark in (b",", b"[", b"{"))
    if n > MAX_VALUES:
        refuse(f"it has {n:,} values, over {MAX_VALUES:,}")


def _profile(profile: Profile) -> dict[str, Any]:
    return {
        "counts": _pack(profile.counts, "<i8"),
        "sums": None if profile.sums is None else _pack(profile.sums, "<i8"),
        "low": _pack(profile.low, "<f4"),
        "high": _pack(profile.high, "<f4"),
    }


def _slices(slices: Slices) -> dict[str, Any]:
    packed = {name: _pack(slice_array(slices, name), kind) for name, kind in SLICE_ARRAYS.items()}
    return {"n": len(slices.starts_ms), **packed}


def _pack(array: NDArray[Any], kind: str) -> str:
    raw = np.ascontiguousarray(array, dtype=kind).tobytes()
    return base64.b64encode(zlib.compress(raw, 6)).decode("ascii")


def read(data: bytes) -> Reference:
    """The reference of a document; its digest is computed anew.

    Raises
    ------
    InvalidReference
        When the document is not one that `write` can have written.
    """
    if len(data) > MAX_BYTES:
        refuse(f"it has {len(data):,} bytes, over {MAX_BYTES:,}")
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError):
        refuse("it is not JSON")
    top = an_object(raw, "the document", _TOP)
    if top["format"] != FORMAT:
        refuse(f"its format is {short(top['format'])}, this release reads {FORMAT}")
    gridset = gridset_of(top["features"])
    reader = _Reader(gridset)
    reference = reader.reference(top)
    if reference.digest != top["digest"]:
        refuse("its content does not have its digest")
    return reference


_TOP: Final = (
    "format",
    "digest",
    "features",
    "facts",
    "warnings",
    "profiles",
    "buckets",
    "slices",
)
_FACTS: Final = (
    "dimensions",
    "timezone",
    "first_ms",
    "last_ms",
    "rows",
    "prediction",
    "importance",
)


class _Reader:
    """Reads what depends on the gridset, with one budget for all that is unpacked."""

    def __init__(self, gridset: Gridset) -> None:
        self._gridset = gridset
        self._left = MAX_UNPACKED

    def _array(self, value: Any, what: str, kind: str, shape: tuple[int, ...]) -> NDArray[Any]:
        size = math.prod(shape) * np.dtype(kind).itemsize
        self._left -= size
        if self._left < 0:
            refuse(f"unpacked it is over {MAX_UNPACKED:,} bytes")
        inflate = zlib.decompressobj()
        try:
            raw = inflate.decompress(unbase64(value, what), size + 1)
        except zlib.error:
            refuse(f"{what} cannot be unpacked")
        if len(raw) != size or not inflate.eof or inflate.unused_data:
            refuse(f"{what} must hold {size:,} bytes")
        return np.frombuffer(raw, kind).reshape(shape)

    def reference(self, top: dict[str, Any]) -> Reference:
        told = an_object(top["facts"], "facts")
        an_object(told, "facts", (*_FACTS, "excluded") if "excluded" in told else _FACTS)
        names = frozenset(self._gridset.names())
        rows = an_integer(told["rows"], "rows", 1, MAX_ROWS)
        dimensions = self._dimensions(told["dimensions"])
        allowed = {ALL} | {f"{d}={v}" for d, values in dimensions.items() for v in (*values, OTHER)}
        profiles = self._by_segment(top["profiles"], "profiles", allowed, self._profile)
        if ALL not in profiles:
            refuse(f"profiles must have the segment {ALL!r}")
        whole = profiles[ALL]
        if whole.sums is None:
            refuse(f"the profile of {ALL!r} must have sums")
        if whole.rows != rows:
            refuse("rows is not the number of rows in its profile")
        if any((p.counts > whole.counts).any() for p in profiles.values()):
            refuse("a segment has counts above those of all rows")
        segments = set(profiles)
        buckets = self._by_segment(top["buckets"], "buckets", segments, self._buckets)
        slices = self._by_segment(top["slices"], "slices", segments, self._lengths)
        for segment, pair in buckets.items():
            both = pair[BUCKETS[0]].counts + pair[BUCKETS[1]].counts
            if (both > profiles[segment].counts).any():
                refuse(f"the buckets of {segment!r} have counts above its own")
        for segment, lengths in slices.items():
            for made in lengths.values():
                if int(made.rows.sum()) > profiles[segment].rows:
                    refuse(f"the slices of {segment!r} have more rows than it")
        first_ms, last_ms = self._times(told["first_ms"], told["last_ms"])
        has_times = first_ms is not None
        for told_segments in (set(buckets), set(slices)):
            if told_segments != (segments if has_times else set()):
                refuse("buckets and slices must be there for each segment when there are times")
        timezone = a_string(told["timezone"], "timezone", MAX_NAME)
        zone_of(timezone)
        prediction = strings(told["prediction"], "prediction", MAX_FEATURES, MAX_NAME)
        if any(name not in names for name in prediction):
            refuse("a prediction is no feature")
        return Reference(
            gridset=self._gridset,
            profiles=profiles,
            buckets=buckets,
            slices=slices,
            dimensions=dimensions,
            timezone=timezone,
            first_ms=first_ms,
            last_ms=last_ms,
            rows=rows,
            prediction=prediction,
            importance=self._importance(told["importance"]),
            excluded=self._excluded(told.get("excluded", []), has_times),
            warnings=strings(top["warnings"], "warnings", MAX_WARNINGS, 2_000),
        )

    def _dimensions(self, value: Any) -> dict[str, tuple[str, ...]]:
        dimensions = an_object(value, "dimensions")
        if len(dimensions) > MAX_DIMENSIONS:
            refuse(f"it has {len(dimensions)} dimensions, over {MAX_DIMENSIONS}")
        made = {}
        for name, values in dimensions.items():
            if "=" in a_string(name, "a dimension's name", MAX_NAME):
                refuse(
                    f"the name of dimension {short(name)} must hold no '=': rename the column and "
                    "build the reference again"
                )
            made[name] = strings(
                values, f"values of dimension {name!r}", MAX_SEGMENT_VALUES, MAX_CATEGORY
            )
            if len(set(made[name])) < len(made[name]) or OTHER in made[name]:
                refuse(f"a value of dimension {name!r} comes twice")
        return made

    def _importance(self, value: Any) -> dict[str, float]:
        weights = {}
        names = frozenset(self._gridset.names())
        for name, weight in an_object(value, "importance").items():
            is_number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
            is_weight = is_number and is_finite(weight) and weight >= 0
            if name not in names or not is_weight:
                refuse(f"importance of {short(name)} must be a number >= 0 of a feature")
            weights[name] = float(weight)
        return weights

    def _times(self, first: Any, last: Any) -> tuple[int | None, int | None]:
        if first is None and last is None:
            return None, None
        first_ms = an_integer(first, "first_ms", 0, 1 << 43)
        return first_ms, an_integer(last, "last_ms", first_ms, 1 << 43)

    def _excluded(self, value: Any, has_times: bool) -> tuple[tuple[int, int], ...]:
        pairs: list[tuple[int, int]] = []
        for entry in a_list(value, "excluded", MAX_EXCLUDED):
            if not isinstance(entry, list) or len(entry) != 2:
                refuse(f"an entry of excluded must be [start_ms, end_ms], not {short(entry)}")
            after = pairs[-1][1] + 1 if pairs else 0
            start_ms = an_integer(entry[0], "a start in excluded", after, 1 << 43)
            end_ms = an_integer(entry[1], "an end in excluded", start_ms + 1, 1 << 43)
            pairs.append((start_ms, end_ms))
        if pairs and not has_times:
            refuse("excluded needs times")
        return tuple(pairs)

    def _by_segment(
        self, value: Any, what: str, allowed: set[str], make: Callable[[Any, str], _T]
    ) -> dict[str, _T]:
        segments = an_object(value, what)
        for name in segments:
            if name not in allowed:
                refuse(f"{what} has the undeclared segment {short(name)}")
        return {name: make(entry, f"{what} of {name!r}") for name, entry in segments.items()}

    def _buckets(self, value: Any, what: str) -> dict[str, Profile]:
        pair = an_object(value, what, BUCKETS)
        return {name: self._profile(pair[name], f"{what} {name}") for name in BUCKETS}

    def _lengths(self, value: Any, what: str) -> dict[str, Slices]:
        # References kept no slices of 28 days once, and keep none where they are too few.
        has_all = isinstance(value, dict) and LONGEST in value
        lengths = an_object(value, what, LENGTHS if has_all else DEFAULT_LENGTHS)
        return {
            name: self._slices(lengths[name], f"{what} {name}")
            for name in LENGTHS
            if name in lengths
        }

    def _profile(self, value: Any, what: str) -> Profile:
        parts = an_object(value, what, ("counts", "sums", "low", "high"))
        size, n = self._gridset.size, len(self._gridset.features)
        counts = self._array(parts["counts"], f"counts in {what}", "<i8", (size,))
        sums = None
        if parts["sums"] is not None:
            sums = self._array(parts["sums"], f"sums in {what}", "<i8", (size,)).copy()
        low = self._array(parts["low"], f"low in {what}", "<f4", (n,))
        high = self._array(parts["high"], f"high in {what}", "<f4", (n,))
        made = Profile(counts.copy(), sums, low.copy(), high.copy(), self._gridset.digest)
        if fault := fault_of(self._gridset, made, what):
            refuse(fault)
        return made

    def _slices(self, value: Any, what: str) -> Slices:
        parts = an_object(value, what, ("n", *SLICE_ARRAYS))
        n = an_integer(parts["n"], f"n of {what}", 0, MAX_SLICES)
        gridset = self._gridset
        width = {"starts_ms": (), "is_weekend": (), "rows": (), "groups": (gridset.n_groups,)}
        arrays = {}
        for name, kind in SLICE_ARRAYS.items():
            # A boolean is a byte that must be 0 or 1.
            stored = "|u1" if kind == "|b1" else kind
            shape = (n, *width.get(name, (len(gridset.features),)))
            arrays[name] = self._array(parts[name], f"{name} of {what}", stored, shape)
            if (arrays[name] < 0).any():
                refuse(f"{name} of {what} is negative somewhere")
        if (arrays["is_weekend"] > 1).any():
            refuse(f"is_weekend of {what} must be 0 or 1")
        if (np.diff(arrays["starts_ms"]) <= 0).any():
            refuse(f"starts_ms of {what} must ascend")
        rows = arrays["rows"]
        if (rows < 1).any() or (rows > MAX_ROWS).any():
            refuse(f"rows of {what} must be positive")
        for f, span in enumerate(gridset.groups):
            values = arrays["groups"][:, span].sum(axis=1, dtype=np.int64)
            not_values = arrays["missing"][:, f].astype(np.int64) + arrays["type_error"][:, f]
            outside = np.maximum(arrays["unseen"][:, f], arrays["out_of_range"][:, f])
            if (values + not_values > rows).any() or (outside > values).any():
                name = gridset.features[f].name
                refuse(f"the counts of {name!r} in {what} are above its rows")
        arrays["is_weekend"] = arrays["is_weekend"].astype(np.bool_)
        return Slices(**arrays)
