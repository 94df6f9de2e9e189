"""Tables of rows counted as the stream counts: Arrow in, profiles by pane and segment out.

What Spark's tasks do with their part of a table (`driftline.spark`), and what is done with a file
that fits into memory: `profile_table`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from driftline.arrow import pyarrow
from driftline.arrow_rows import ArrowRows
from driftline.counting import cells
from driftline.errors import InvalidFrame
from driftline.events import MAX_TIME_MS, MIN_TIME_MS
from driftline.history import PaneKey, Panes, Profiles
from driftline.rows import columns
from driftline.stats.panes import pane_ms_of
from driftline.stats.profile import Profile
from driftline.stats.reference import ALL, Reference

# What was counted is put away where its profiles would take more than this.
HELD_BYTES: Final = 64_000_000
# What stands for the time of rows that are counted whatever their time.
TIMELESS: Final = -1
# Rows that are counted at once.
_ROWS: Final = 50_000


@dataclass(frozen=True)
class Plan:
    """What is counted of record batches, whose columns are `columns` in order."""

    document: bytes
    columns: tuple[str, ...]
    features: tuple[str, ...]
    timestamp: str | None
    # Part of the prediction (value, score) -> column, and class -> column.
    outputs: tuple[tuple[str, str], ...]
    scores: tuple[tuple[str, str], ...]
    pane_ms: int


def profile_table(
    table: Any,
    reference: Reference,
    *,
    timestamp: str | None = None,
    timezone: str = "UTC",
    prediction: str | None = None,
    score: str | None = None,
    scores: Mapping[str, str] | None = None,
    pane_ms: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Profiles:
    """Count a table on the bins of a reference, by pane and segment, as `driftline.spark` does.

    Parameters
    ----------
    table : pyarrow.Table
    timestamp
        Column of event times: timestamps, dates, or integer epoch milliseconds. Without it all
        rows are one pane.
    timezone
        The clock that times without an offset are read on.
    prediction, score, scores, pane_ms
        As in `driftline.spark.profile`.
    progress
        Told, after each part, how many rows are counted, and of how many.

    Raises
    ------
    InvalidFrame
        A column that is named is not there or two have one name, times are of another type, or
        none of the reference's features is a column.
    MissingExtra
        Without pyarrow.
    """
    pyarrow("counting a table")
    from pyarrow import compute

    if pane_ms is None:
        pane_ms = pane_ms_of(reference.timezone)
    plan = planned(
        table.column_names, reference, timestamp, prediction, score, scores or {}, pane_ms
    )
    table = table.select(list(plan.columns))
    if timestamp is not None:
        place = plan.columns.index(timestamp)
        table = table.set_column(place, timestamp, _instants(table.column(place), timezone))
        # In order of time each pane is held once, however the file lies.
        order = compute.sort_indices(table.column(place))
    totals, panes = Totals(reference), Panes(reference.gridset)
    refused: Counter[str] = Counter()
    n = table.num_rows
    for first in range(0, n, _ROWS):
        some = (
            table.slice(first, _ROWS)
            if timestamp is None
            else table.take(order.slice(first, _ROWS))
        )
        for batch in some.combine_chunks().to_batches():
            totals.add(batch, plan)
        if totals.held_bytes > HELD_BYTES or first + _ROWS >= n:
            profiles, more = totals.taken()
            refused += more
            for key, counted in sorted(profiles.items(), key=lambda item: _order(item[0])):
                before = panes.packed().get(key)
                whole = (
                    counted if before is None else counted.with_bytes(panes.gridset, before.body)
                )
                panes.put(key, whole)
        if progress is not None:
            progress(min(first + _ROWS, n), n)
    return Profiles(panes, pane_ms, refused)


def _order(key: PaneKey) -> tuple[int, str]:
    return (key[0] or 0, key[1])


def _instants(column: Any, timezone: str) -> Any:
    """Return a column of times as instants, or as integer epoch milliseconds."""
    import pyarrow as pa
    from pyarrow import compute

    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_null(kind):
        return column.cast(pa.int64())
    if pa.types.is_date(kind):
        column = column.cast(pa.timestamp("ms"))
    elif not pa.types.is_timestamp(kind):
        raise InvalidFrame(
            f"the times are {kind}: timestamps, dates or integer epoch milliseconds are read; a "
            "file of text needs them as RFC 3339, such as 2013-02-08T10:15:00Z, in every row"
        )
    if column.type.tz is None:
        column = compute.assume_timezone(
            column, timezone, ambiguous="earliest", nonexistent="earliest"
        )
    return column


def planned(
    there: Sequence[str],
    reference: Reference,
    timestamp: str | None,
    prediction: str | None,
    score: str | None,
    scores: Mapping[str, str],
    pane_ms: int,
) -> Plan:
    """Return what is counted of the columns that are there.

    Raises
    ------
    InvalidFrame
        A column that is named is not there, two have one name, or none is a feature.
    """
    if len(set(there)) < len(there):
        twice = next(name for name, n in Counter(there).items() if n > 1)
        raise InvalidFrame(f"two columns are named {twice!r}: rename one of them")
    if pane_ms < 1:
        raise InvalidFrame(f"pane_ms must be 1 or more, not {pane_ms}")
    outputs = [("value", prediction), ("score", score)]
    given = [timestamp, prediction, score, *scores.values()]
    for name in given:
        if name is not None and name not in there:
            raise InvalidFrame(no_column(name, there))
    wanted = dict.fromkeys((*reference.gridset.names(), *reference.dimensions))
    features = tuple(name for name in wanted if name in there and name not in given)
    if not features:
        raise InvalidFrame(
            "no column is a feature of the reference, which has "
            + ", ".join(reference.gridset.names()[:20])
        )
    used = dict.fromkeys((*features, *(name for name in given if name is not None)))
    return Plan(
        reference.to_document(),
        tuple(used),
        features,
        timestamp,
        tuple((part, name) for part, name in outputs if name is not None),
        tuple(scores.items()),
        pane_ms,
    )


def no_column(name: str, there: Sequence[str]) -> str:
    """Return what is said of a column that is named and not there."""
    return f"there is no column {name!r}; there are {', '.join(there[:20])}"


class Totals:
    """Profiles of the rows that were seen since they were taken."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._profiles: dict[tuple[int, str], Profile] = {}
        self._refused: Counter[str] = Counter()

    @property
    def held_bytes(self) -> int:
        """Bytes held, roughly."""
        return 16 * self._reference.gridset.size * len(self._profiles)

    def add(self, batch: Any, plan: Plan) -> None:
        """Count the rows of a record batch."""
        gridset = self._reference.gridset
        rows, starts = self._rows(batch, plan)
        if not len(rows):
            return
        parts = [rows]
        found, _ = columns(parts, [(f.name, f.kind) for f in gridset.features])
        codes = gridset.codes(found, len(rows))
        for keys, cell_of in cells(self._reference, parts, starts):
            # Rows of a table lie in any order: of very many panes, some at a time.
            step = max(1, HELD_BYTES // (16 * gridset.size))
            for first in range(0, len(keys), step):
                some = keys[first : first + step]
                here = np.where((cell_of >= first) & (cell_of < first + step), cell_of - first, -1)
                made = gridset.count_codes(codes, here, len(some), with_sums=some[0][1] == ALL)
                for key, counted in zip(some, made, strict=True):
                    before = self._profiles.get(key)
                    self._profiles[key] = counted if before is None else before + counted

    def _rows(self, batch: Any, plan: Plan) -> tuple[ArrowRows, NDArray[np.int64]]:
        """Those that are predictions, and where their panes begin."""
        pa = pyarrow()
        column = {name: batch.column(i) for i, name in enumerate(plan.columns)}
        made = {"features": struct({name: column[name] for name in plan.features})}
        outputs = {part: column[name] for part, name in plan.outputs}
        if plan.scores:
            outputs["scores"] = struct({label: column[name] for label, name in plan.scores})
        if outputs:
            made["prediction"] = struct(outputs)
        rows = ArrowRows(made, batch.num_rows)
        if plan.timestamp is None:
            return rows, np.full(batch.num_rows, TIMELESS, np.int64)
        times = column[plan.timestamp]
        if pa.types.is_timestamp(times.type):
            per_ms = {"s": 0, "ms": 1, "us": 1_000, "ns": 1_000_000}[times.type.unit]
            times = times.cast(pa.int64())
        else:
            per_ms = 1
        missing = times.is_null().to_numpy(zero_copy_only=False)
        ticks = times.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
        times_ms = ticks // per_ms if per_ms else ticks * 1_000
        outside = ~missing & ((times_ms < MIN_TIME_MS) | (times_ms >= MAX_TIME_MS))
        self._refused["time_missing"] += int(missing.sum())
        self._refused["time_out_of_range"] += int(outside.sum())
        kept = np.flatnonzero(~missing & ~outside)
        return rows.take(kept), times_ms[kept] // plan.pane_ms * plan.pane_ms

    def taken(self) -> tuple[dict[PaneKey, Profile], Counter[str]]:
        """Return what was counted since the last time, and the rows that are no predictions."""
        profiles, refused = self._profiles, +self._refused
        self._profiles, self._refused = {}, Counter()
        made: dict[PaneKey, Profile] = {
            (None if start == TIMELESS else start, segment): counted
            for (start, segment), counted in profiles.items()
        }
        return made, refused


def struct(arrays: Mapping[str, Any]) -> Any:
    """Return arrays as one of structs, by name."""
    return pyarrow().StructArray.from_arrays(list(arrays.values()), names=list(arrays))
