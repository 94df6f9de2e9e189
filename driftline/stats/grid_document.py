"""Grids out of a document: every bound that counting relies on is checked here.

`FeatureGrid.to_dict` is the writing side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from driftline.stats import grid as grids
from driftline.stats.checked import (
    a_float32,
    a_list,
    a_string,
    an_integer,
    an_object,
    refuse,
    short,
    strings,
    unbase64,
)
from driftline.stats.gridset import FeatureGrid, Gridset
from driftline.stats.profile import MAX_CATEGORY
from driftline.stats.reference import MAX_FEATURES

MAX_NAME: Final = 200
MAX_BINS: Final = 1 << 16
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


def _plain(value: Any, what: str, kind: str, most: int) -> NDArray[Any]:
    """An array of a grid: base64 only, because grids are small."""
    raw = unbase64(value, what)
    size = np.dtype(kind).itemsize
    if len(raw) % size or len(raw) > most * size:
        refuse(f"{what} must hold at most {most:,} values of {size} bytes")
    return np.frombuffer(raw, kind)


def gridset_of(value: Any) -> Gridset:
    features = a_list(value, "features", MAX_FEATURES)
    if not features:
        refuse("it has no features")
    made = tuple(_feature(entry) for entry in features)
    names = [feature.name for feature in made]
    if len(set(names)) < len(names):
        refuse("a feature's name comes twice")
    return Gridset(made)


def _feature(value: Any) -> FeatureGrid:
    name = a_string(an_object(value, "a feature").get("name"), "a feature's name", MAX_NAME)
    if not name:
        refuse("a feature has no name")
    where = f"feature {name!r}"
    kind = value.get("kind")
    keys = {"numeric": _NUMERIC, "categorical": _CATEGORICAL, "presence": ()}.get(str(kind))
    if keys is None:
        refuse(f"{where} is of the unknown kind {short(kind)}")
    an_object(value, where, ("name", "kind", "groups", *keys))
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
        refuse(f"groups of {where} must number its bins' groups from 0 without a gap")
    return FeatureGrid(name, kind, grid, groups.astype(np.int32))


def _numeric(value: Mapping[str, Any], where: str) -> grids.NumericGrid:
    cells = value["cells"]
    if cells not in ("integers", "floats", "edges"):
        refuse(f"{where} has the unknown kind of cells {short(cells)}")
    most = max(grids.MAX_CELLS, grids.MAX_INTEGER_SPAN + 3, grids.MAX_EDGES + 2)
    n_cells = an_integer(value["n_cells"], f"n_cells of {where}", 3, most)
    edges = _plain(value["edges"], f"edges of {where}", "<f4", grids.MAX_EDGES + 1)
    ends = _plain(value["ends"], f"ends of {where}", "<i4", MAX_BINS)
    is_atom = _plain(value["is_atom"], f"is_atom of {where}", "|u1", MAX_BINS)
    low = a_float32(value["low"], f"low of {where}")
    high = a_float32(value["high"], f"high of {where}")
    if low > high:
        refuse(f"the range of {where} is upside down")
    if cells == "edges":
        if len(edges) != n_cells - 1 or not np.isfinite(edges).all() or (np.diff(edges) <= 0).any():
            refuse(f"edges of {where} must be n_cells - 1 ascending finite numbers")
    elif len(edges):
        refuse(f"edges of {where} belong to another kind of cells")
    if (
        len(ends) < 3
        or ends[0] != 0
        or ends[-1] != n_cells - 1
        or (np.diff(ends.astype(np.int64)) <= 0).any()
    ):
        refuse(f"ends of {where} must ascend from cell 0 to the last")
    if len(is_atom) != len(ends) or (is_atom > 1).any():
        refuse(f"is_atom of {where} must say 0 or 1 for each bin")
    limit = 1 << 31
    largest = max(abs(low), abs(high))
    quantum = 0 if largest == 0 else math.ceil(math.log2(largest)) - grids.QUANTUM_BITS
    return grids.NumericGrid(
        cells=cells,
        # Keys and cells are int32 while values are encoded.
        base=an_integer(value["base"], f"base of {where}", 1 - limit, limit - 1 - n_cells)
        if cells == "floats"
        else an_integer(value["base"], f"base of {where}", -(1 << 53), 1 << 53),
        shift=an_integer(value["shift"], f"shift of {where}", 0, 31),
        n_cells=n_cells,
        edges=edges,
        ends=ends,
        is_atom=is_atom.astype(np.bool_),
        quantum=an_integer(value["quantum"], f"quantum of {where}", quantum, quantum),
        low=low,
        high=high,
    )


def _categorical(value: Mapping[str, Any], where: str) -> grids.CategoricalGrid:
    levels = strings(value["levels"], f"levels of {where}", grids.MAX_LEVELS, MAX_CATEGORY)
    rare = strings(value["rare"], f"rare levels of {where}", grids.MAX_NAMED, MAX_CATEGORY)
    hashes = _plain(value["hashes"], f"hashes of {where}", "<u8", grids.MAX_CATEGORIES)
    if len(set(levels) | set(rare)) < len(levels) + len(rare):
        refuse(f"a level of {where} comes twice")
    if len(hashes) and (len(levels) or len(rare) or (hashes[1:] <= hashes[:-1]).any()):
        refuse(f"hashes of {where} must ascend and stand alone")
    return grids.CategoricalGrid(levels, rare, hashes)
