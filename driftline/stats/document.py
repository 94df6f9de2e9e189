"""Reference documents: how a reference travels and how it is stored.

JSON, with arrays as base64 of zlib. What arrives may have been written by anybody, so
nothing of it is believed: names, sizes and types are checked before anything is unpacked,
unpacking stops at the size the gridset implies, and counts must agree with each other.
Every fault is an `InvalidReference` with one sentence.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from driftline.errors import InvalidReference
from driftline.stats import grid as grids
from driftline.stats.gridset import FeatureGrid, Gridset
from driftline.stats.profile import COUNTERS, MAX_CATEGORY, Profile
from driftline.stats.reference import (
    ALL,
    BUCKETS,
    LENGTHS,
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
# All arrays of a document together, unpacked. The hours of a year are the most: 49 MB for
# each segment of 100 features.
MAX_UNPACKED: Final = 1 << 30
MAX_NAME: Final = 200
MAX_DIMENSIONS: Final = 20
MAX_SLICES: Final = 100_000
MAX_WARNINGS: Final = 10_000
MAX_ROWS: Final = 1 << 48
MAX_BINS: Final = 1 << 16


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
    return data


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
        _refuse(f"it has {len(data):,} bytes, over {MAX_BYTES:,}")
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError):
        _refuse("it is not JSON")
    top = _object(raw, "the document", _TOP)
    if top["format"] != FORMAT:
        _refuse(f"its format is {_short(top['format'])}, this release reads {FORMAT}")
    gridset = _gridset(top["features"])
    reader = _Reader(gridset)
    reference = reader.reference(top)
    if reference.digest != top["digest"]:
        _refuse("its content does not have its digest")
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
_NUMERIC: Final = (
    "cells",
    "base",
    "shift",
    "n_cells",
    "edges",
    "ends",
    "is_atom",
    "quantum",
    "low",
    "high",
)
_CATEGORICAL: Final = ("levels", "rare", "hashes")


def _refuse(why: str) -> NoReturn:
    raise InvalidReference(f"this is no reference document: {why}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _object(value: Any, what: str, keys: tuple[str, ...] | None = None) -> dict[str, Any]:
    if not isinstance(value, dict):
        _refuse(f"{what} must be an object")
    if keys is not None and set(value) != set(keys):
        odd = sorted(set(value) ^ set(keys))[0]
        _refuse(f"{what} must have exactly the keys {', '.join(keys)} (see {_short(odd)})")
    return value


def _list(value: Any, what: str, most: int) -> list[Any]:
    if not isinstance(value, list):
        _refuse(f"{what} must be a list")
    if len(value) > most:
        _refuse(f"{what} has {len(value):,} entries, over {most:,}")
    return value


def _strings(value: Any, what: str, most: int, longest: int) -> tuple[str, ...]:
    return tuple(
        _string(entry, f"an entry of {what}", longest) for entry in _list(value, what, most)
    )


def _string(value: Any, what: str, longest: int) -> str:
    if not isinstance(value, str) or len(value) > longest:
        _refuse(f"{what} must be a string of at most {longest} characters, not {_short(value)}")
    return value


def _integer(value: Any, what: str, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        _refuse(f"{what} must be an integer from {low} to {high}, not {_short(value)}")
    return value


def _float32(value: Any, what: str) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        _refuse(f"{what} must be a finite number, not {_short(value)}")
    if float(grids.canonical(np.array([value], np.float64))[0]) != value:
        _refuse(f"{what} must be a float32, not {_short(value)}")
    return float(value)


def _unbase64(value: Any, what: str) -> bytes:
    if not isinstance(value, str):
        _refuse(f"{what} must be a base64 string")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        _refuse(f"{what} is not base64")


def _plain(value: Any, what: str, kind: str, most: int) -> NDArray[Any]:
    """An array of a grid: base64 only, because grids are small."""
    raw = _unbase64(value, what)
    size = np.dtype(kind).itemsize
    if len(raw) % size or len(raw) > most * size:
        _refuse(f"{what} must hold at most {most:,} values of {size} bytes")
    return np.frombuffer(raw, kind)


def _gridset(value: Any) -> Gridset:
    features = _list(value, "features", MAX_FEATURES)
    if not features:
        _refuse("it has no features")
    made = tuple(_feature(entry) for entry in features)
    names = [feature.name for feature in made]
    if len(set(names)) < len(names):
        _refuse("a feature's name comes twice")
    return Gridset(made)


def _feature(value: Any) -> FeatureGrid:
    name = _string(_object(value, "a feature").get("name"), "a feature's name", MAX_NAME)
    if not name:
        _refuse("a feature has no name")
    where = f"feature {name!r}"
    kind = value.get("kind")
    keys = {"numeric": _NUMERIC, "categorical": _CATEGORICAL, "presence": ()}.get(str(kind))
    if keys is None:
        _refuse(f"{where} is of the unknown kind {_short(kind)}")
    _object(value, where, ("name", "kind", "groups", *keys))
    grid: grids.NumericGrid | grids.CategoricalGrid | None = None
    if kind == "numeric":
        grid = _numeric(value, where)
    elif kind == "categorical":
        grid = _categorical(value, where)
    n_bins = 0 if grid is None else grid.n_bins
    groups = _plain(value["groups"], f"groups of {where}", "<i4", MAX_BINS)
    used = np.unique(groups[groups >= 0])
    if (
        len(groups) != n_bins
        or (n_bins and groups.min() < -1)
        or not np.array_equal(used, np.arange(len(used)))
        or (n_bins and not len(used))
    ):
        _refuse(f"groups of {where} must number its bins' groups from 0 without a gap")
    return FeatureGrid(name, kind, grid, groups.astype(np.int32))


def _numeric(value: Mapping[str, Any], where: str) -> grids.NumericGrid:
    cells = value["cells"]
    if cells not in ("integers", "floats", "edges"):
        _refuse(f"{where} has the unknown kind of cells {_short(cells)}")
    most = max(grids.MAX_CELLS, grids.MAX_INTEGER_SPAN + 3, grids.MAX_EDGES + 2)
    n_cells = _integer(value["n_cells"], f"n_cells of {where}", 3, most)
    edges = _plain(value["edges"], f"edges of {where}", "<f4", grids.MAX_EDGES + 1)
    ends = _plain(value["ends"], f"ends of {where}", "<i4", MAX_BINS)
    is_atom = _plain(value["is_atom"], f"is_atom of {where}", "|u1", MAX_BINS)
    low = _float32(value["low"], f"low of {where}")
    high = _float32(value["high"], f"high of {where}")
    if low > high:
        _refuse(f"the range of {where} is upside down")
    if cells == "edges":
        if len(edges) != n_cells - 1 or not np.isfinite(edges).all() or (np.diff(edges) <= 0).any():
            _refuse(f"edges of {where} must be n_cells - 1 ascending finite numbers")
    elif len(edges):
        _refuse(f"edges of {where} belong to another kind of cells")
    if (
        len(ends) < 3
        or ends[0] != 0
        or ends[-1] != n_cells - 1
        or (np.diff(ends.astype(np.int64)) <= 0).any()
    ):
        _refuse(f"ends of {where} must ascend from cell 0 to the last")
    if len(is_atom) != len(ends) or (is_atom > 1).any():
        _refuse(f"is_atom of {where} must say 0 or 1 for each bin")
    limit = 1 << 31
    largest = max(abs(low), abs(high))
    quantum = 0 if largest == 0 else math.ceil(math.log2(largest)) - grids.QUANTUM_BITS
    return grids.NumericGrid(
        cells=cells,
        # Keys and cells are int32 while values are encoded.
        base=_integer(value["base"], f"base of {where}", 1 - limit, limit - 1 - n_cells)
        if cells == "floats"
        else _integer(value["base"], f"base of {where}", -(1 << 53), 1 << 53),
        shift=_integer(value["shift"], f"shift of {where}", 0, 31),
        n_cells=n_cells,
        edges=edges,
        ends=ends,
        is_atom=is_atom.astype(np.bool_),
        quantum=_integer(value["quantum"], f"quantum of {where}", quantum, quantum),
        low=low,
        high=high,
    )


def _categorical(value: Mapping[str, Any], where: str) -> grids.CategoricalGrid:
    levels = _strings(value["levels"], f"levels of {where}", grids.MAX_LEVELS, MAX_CATEGORY)
    rare = _strings(value["rare"], f"rare levels of {where}", grids.MAX_NAMED, MAX_CATEGORY)
    hashes = _plain(value["hashes"], f"hashes of {where}", "<u8", grids.MAX_CATEGORIES)
    if len(set(levels) | set(rare)) < len(levels) + len(rare):
        _refuse(f"a level of {where} comes twice")
    if len(hashes) and (len(levels) or len(rare) or (hashes[1:] <= hashes[:-1]).any()):
        _refuse(f"hashes of {where} must ascend and stand alone")
    return grids.CategoricalGrid(levels, rare, hashes)


class _Reader:
    """Reads what depends on the gridset, with one budget for all that is unpacked."""

    def __init__(self, gridset: Gridset) -> None:
        self._gridset = gridset
        self._left = MAX_UNPACKED

    def _array(self, value: Any, what: str, kind: str, shape: tuple[int, ...]) -> NDArray[Any]:
        size = math.prod(shape) * np.dtype(kind).itemsize
        self._left -= size
        if self._left < 0:
            _refuse(f"unpacked it is over {MAX_UNPACKED:,} bytes")
        inflate = zlib.decompressobj()
        try:
            raw = inflate.decompress(_unbase64(value, what), size + 1)
        except zlib.error:
            _refuse(f"{what} cannot be unpacked")
        if len(raw) != size or not inflate.eof or inflate.unused_data:
            _refuse(f"{what} must hold {size:,} bytes")
        return np.frombuffer(raw, kind).reshape(shape)

    def reference(self, top: dict[str, Any]) -> Reference:
        told = _object(top["facts"], "facts", _FACTS)
        names = self._gridset.names()
        rows = _integer(told["rows"], "rows", 1, MAX_ROWS)
        dimensions = self._dimensions(told["dimensions"])
        allowed = {ALL} | {f"{d}={v}" for d, values in dimensions.items() for v in (*values, OTHER)}
        profiles = self._by_segment(top["profiles"], "profiles", allowed, self._profile)
        if ALL not in profiles:
            _refuse(f"profiles must have the segment {ALL!r}")
        whole = profiles[ALL]
        if whole.sums is None:
            _refuse(f"the profile of {ALL!r} must have sums")
        if whole.rows != rows:
            _refuse("rows is not the number of rows in its profile")
        if any((p.counts > whole.counts).any() for p in profiles.values()):
            _refuse("a segment has counts above those of all rows")
        segments = set(profiles)
        buckets = self._by_segment(top["buckets"], "buckets", segments, self._buckets)
        slices = self._by_segment(top["slices"], "slices", segments, self._lengths)
        for segment, pair in buckets.items():
            both = pair[BUCKETS[0]].counts + pair[BUCKETS[1]].counts
            if (both > profiles[segment].counts).any():
                _refuse(f"the buckets of {segment!r} have counts above its own")
        for segment, lengths in slices.items():
            for made in lengths.values():
                if int(made.rows.sum()) > profiles[segment].rows:
                    _refuse(f"the slices of {segment!r} have more rows than it")
        first_ms, last_ms = self._times(told["first_ms"], told["last_ms"])
        has_times = first_ms is not None
        for told_segments in (set(buckets), set(slices)):
            if told_segments != (segments if has_times else set()):
                _refuse("buckets and slices must be there for each segment when there are times")
        timezone = _string(told["timezone"], "timezone", MAX_NAME)
        zone_of(timezone)
        prediction = _strings(told["prediction"], "prediction", 2, MAX_NAME)
        if any(name not in names for name in prediction):
            _refuse("a prediction is no feature")
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
            warnings=_strings(top["warnings"], "warnings", MAX_WARNINGS, 2_000),
        )

    def _dimensions(self, value: Any) -> dict[str, tuple[str, ...]]:
        dimensions = _object(value, "dimensions")
        if len(dimensions) > MAX_DIMENSIONS:
            _refuse(f"it has {len(dimensions)} dimensions, over {MAX_DIMENSIONS}")
        made = {}
        for name, values in dimensions.items():
            _string(name, "a dimension's name", MAX_NAME)
            made[name] = _strings(
                values, f"values of dimension {name!r}", MAX_SEGMENT_VALUES, MAX_CATEGORY
            )
            if len(set(made[name])) < len(made[name]) or OTHER in made[name]:
                _refuse(f"a value of dimension {name!r} comes twice")
        return made

    def _importance(self, value: Any) -> dict[str, float]:
        weights = {}
        for name, weight in _object(value, "importance").items():
            is_number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
            if name not in self._gridset.names() or not is_number or not 0 <= weight < math.inf:
                _refuse(f"importance of {_short(name)} must be a number >= 0 of a feature")
            weights[name] = float(weight)
        return weights

    def _times(self, first: Any, last: Any) -> tuple[int | None, int | None]:
        if first is None and last is None:
            return None, None
        first_ms = _integer(first, "first_ms", 0, 1 << 43)
        return first_ms, _integer(last, "last_ms", first_ms, 1 << 43)

    def _by_segment(
        self, value: Any, what: str, allowed: set[str], make: Callable[[Any, str], _T]
    ) -> dict[str, _T]:
        segments = _object(value, what)
        for name in segments:
            if name not in allowed:
                _refuse(f"{what} has the undeclared segment {_short(name)}")
        return {name: make(entry, f"{what} of {name!r}") for name, entry in segments.items()}

    def _buckets(self, value: Any, what: str) -> dict[str, Profile]:
        pair = _object(value, what, BUCKETS)
        return {name: self._profile(pair[name], f"{what} {name}") for name in BUCKETS}

    def _lengths(self, value: Any, what: str) -> dict[str, Slices]:
        lengths = _object(value, what, LENGTHS)
        return {name: self._slices(lengths[name], f"{what} {name}") for name in LENGTHS}

    def _profile(self, value: Any, what: str) -> Profile:
        parts = _object(value, what, ("counts", "sums", "low", "high"))
        size, n = self._gridset.size, len(self._gridset.features)
        counts = self._array(parts["counts"], f"counts in {what}", "<i8", (size,))
        sums = None
        if parts["sums"] is not None:
            sums = self._array(parts["sums"], f"sums in {what}", "<i8", (size,)).copy()
        low = self._array(parts["low"], f"low in {what}", "<f4", (n,))
        high = self._array(parts["high"], f"high in {what}", "<f4", (n,))
        if np.isnan(low).any() or np.isnan(high).any():
            _refuse(f"a range in {what} is NaN")
        self._check_counts(counts, what)
        return Profile(counts.copy(), sums, low.copy(), high.copy(), self._gridset.digest)

    def _check_counts(self, counts: NDArray[np.int64], what: str) -> None:
        if (counts < 0).any():
            _refuse(f"a count in {what} is negative")
        if (counts > counts[0]).any() or counts[0] > MAX_ROWS:
            _refuse(f"a count in {what} is above its number of rows")
        gridset = self._gridset
        exclusive = len(COUNTERS) - 2  # zero and negative count values that are in bins too
        for f, feature in enumerate(gridset.features):
            values = int(counts[gridset.bins[f]].sum())
            others = int(counts[gridset.counters[f, :exclusive]].sum())
            also = int(counts[gridset.counters[f, exclusive:]].sum())
            total = values + others
            wrong = total > counts[0] if feature.grid is None else total != counts[0]
            if wrong or also > values:
                _refuse(f"the counts of {feature.name!r} in {what} do not add up to its rows")

    def _slices(self, value: Any, what: str) -> Slices:
        parts = _object(value, what, ("n", *SLICE_ARRAYS))
        n = _integer(parts["n"], f"n of {what}", 0, MAX_SLICES)
        gridset = self._gridset
        width = {"starts_ms": (), "is_weekend": (), "rows": (), "groups": (gridset.n_groups,)}
        arrays = {}
        for name, kind in SLICE_ARRAYS.items():
            # A boolean is a byte that must be 0 or 1.
            stored = "|u1" if kind == "|b1" else kind
            shape = (n, *width.get(name, (len(gridset.features),)))
            arrays[name] = self._array(parts[name], f"{name} of {what}", stored, shape)
            if (arrays[name] < 0).any():
                _refuse(f"{name} of {what} is negative somewhere")
        if (arrays["is_weekend"] > 1).any():
            _refuse(f"is_weekend of {what} must be 0 or 1")
        if (np.diff(arrays["starts_ms"]) <= 0).any():
            _refuse(f"starts_ms of {what} must ascend")
        rows = arrays["rows"]
        if (rows < 1).any() or (rows > MAX_ROWS).any():
            _refuse(f"rows of {what} must be positive")
        for f, span in enumerate(gridset.groups):
            values = arrays["groups"][:, span].sum(axis=1, dtype=np.int64)
            not_values = arrays["missing"][:, f].astype(np.int64) + arrays["type_error"][:, f]
            outside = np.maximum(arrays["unseen"][:, f], arrays["out_of_range"][:, f])
            if (values + not_values > rows).any() or (outside > values).any():
                name = gridset.features[f].name
                _refuse(f"the counts of {name!r} in {what} are above its rows")
        arrays["is_weekend"] = arrays["is_weekend"].astype(np.bool_)
        return Slices(**arrays)
