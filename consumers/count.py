"""Admitted events to what they add: profiles by pane and segment, counters, deficits.

Pure, given the registry. Events of one version and reference are coded once, whatever
they were written in, and counted once for all rows, then once for each segment dimension.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from consumers.admit import Admitted, Name
from driftline.counting import cells
from driftline.rows import Rows, columns
from driftline.stats.coding import code_categories
from driftline.stats.grid import CategoricalGrid
from driftline.stats.gridset import Codes, Gridset
from driftline.stats.profile import Column
from driftline.stats.reference import ALL, Reference
from monitor.storage.delta import CounterKey, Deficit, Delta, PaneKey, Seen, UnseenKey
from monitor.storage.registry import BoundVersion, Registry

# Events of a batch may lie in as many panes as there are events, and counts of a hundred features
# take 200 KB each, however few are not 0. Where they and their sums would take more than this,
# they are made so many integers at a time (32 MB) and held as bytes.
PACKED_BYTES: Final = 64_000_000
DENSE: Final = 4_000_000
# Values of a version that are coded at once (4 MB, and as much again for each array beside it):
# 20,000 events of 25 features cost least a row; ten times as many leave the processor's cache.
CODED: Final = 500_000
# From so many rows on, all of one pane and of no segments, a feature is coded and counted before
# the next one is: its values stay in the processor's nearest cache. It takes a quarter less; fewer
# rows are counted faster when features share the calls.
BY_FEATURE: Final = 8_192
# Shown instead of NUL, which PostgreSQL's text refuses: one character, so that no value grows.
NUL_SIGN: Final = "\u2400"


def count(admitted: Admitted, registry: Registry) -> Delta:
    """Return what the events and dead letters add to what is stored."""
    delta = Delta(letters=admitted.letters)
    for reason, n in admitted.refused.items():
        delta.counters[CounterKey("", "", f"dead:{reason}")] += n
    for key, rows in _groups(admitted):
        model, version = name = counted_under(key, registry)
        bound = registry.versions.get(name)
        is_label = key[2] == "label"
        if bound is None and not (is_label and model in registry.models):
            first = int(admitted.offsets[rows].min())
            delta.strangers[name] = min(first, delta.strangers.get(name, first))
        if is_label:
            outcome = "label" if model in registry.models else "unmonitored"
            delta.counters[CounterKey(model, version, outcome)] += len(rows)
        elif bound is None or not bound.bindings:
            delta.counters[CounterKey(model, version, "unmonitored")] += len(rows)
            delta.deficits[model, version] = Deficit(
                from_offset=int(admitted.offsets[rows].min()),
                to_offset=int(admitted.offsets[rows].max()) + 1,
                records=len(rows),
                first_ms=int(admitted.times_ms[rows].min()),
                last_ms=int(admitted.times_ms[rows].max()),
            )
        else:
            delta.counters[CounterKey(model, version, "prediction")] += len(rows)
            starts = admitted.times_ms[rows] // bound.pane_ms * bound.pane_ms
            for digest, part in _by_reference(bound, starts):
                reference = registry.references[digest]
                most = max(1, CODED // len(reference.gridset.features))
                # Alike: what was read together often is a little more than is coded at once.
                step = max(1, -(-len(part) // max(1, -(-len(part) // most))))
                for first in range(0, len(part), step):
                    piece = part[first : first + step]
                    made = Delta()
                    _count_version(
                        made,
                        bound,
                        reference,
                        admitted.rows(rows[piece]),
                        admitted.times_ms[rows[piece]],
                        starts[piece],
                    )
                    delta.add(made)
    return delta


def counted_under(key: Name, registry: Registry) -> tuple[str, str]:
    """Return the model and version that an event of this key is counted under.

    A label joins predictions of whatever version, and nobody waits for its reference: a
    version that is not registered is left out.
    """
    model, version, kind = key
    if kind == "label" and (model, version) not in registry.versions:
        return model, ""
    return model, version


def _groups(admitted: Admitted) -> Iterator[tuple[Name, NDArray[np.intp]]]:
    """Places of the events of each name, ascending; one sort, for names may be many."""
    order = np.argsort(admitted.name_of, kind="stable")
    edges = np.searchsorted(admitted.name_of[order], np.arange(len(admitted.names) + 1))
    for code, name in enumerate(admitted.names):
        rows = order[edges[code] : edges[code + 1]]
        if len(rows):
            yield name, rows


def _by_reference(
    bound: BoundVersion, starts: NDArray[np.int64]
) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """Places of the events by the reference that counts their pane."""
    if len(bound.bindings) == 1:
        yield bound.bindings[0][1], np.arange(len(starts))
        return
    by_digest: dict[str, list[NDArray[np.intp]]] = {}
    for start in np.unique(starts).tolist():
        digest = bound.binding_at(start)
        if digest is not None:
            by_digest.setdefault(digest, []).append(np.flatnonzero(starts == start))
    for digest, parts in by_digest.items():
        yield digest, np.sort(np.concatenate(parts))


def _count_version(
    delta: Delta,
    bound: BoundVersion,
    reference: Reference,
    parts: Sequence[Rows],
    times_ms: NDArray[np.int64],
    starts: NDArray[np.int64],
) -> None:
    gridset = reference.gridset
    found, unknown = columns(parts, [(f.name, f.kind) for f in gridset.features])
    if unknown:
        delta.counters[CounterKey(bound.model, bound.version, "unknown_feature")] += unknown
    delta.gridsets[gridset.digest] = gridset
    rows = len(times_ms)
    if rows >= BY_FEATURE and not reference.dimensions and starts.min() == starts.max():
        tally = gridset.tally(found.items(), rows)
        key = PaneKey(bound.version_id, gridset.digest, int(starts[0]), ALL)
        delta.panes[key] = tally.profile
        _note_unseen(delta, bound, gridset, found, tally.unseen, times_ms)
        return
    codes = gridset.codes(found, rows)
    for keys, cell_of in cells(reference, parts, starts):
        panes = [PaneKey(bound.version_id, gridset.digest, *key) for key in keys]
        _add_panes(delta, gridset, codes, cell_of, panes)
    _note_unseen(delta, bound, gridset, found, gridset.unseen_values(found, codes), times_ms)


def _add_panes(
    delta: Delta,
    gridset: Gridset,
    codes: Codes,
    cell_of: NDArray[np.int64],
    keys: Sequence[PaneKey],
) -> None:
    """Add one profile for each key; as bytes, and made in pieces, where they are too many."""
    n, with_sums = len(keys), keys[0].segment == ALL
    if 16 * n * gridset.size <= PACKED_BYTES:
        made = gridset.count_codes(codes, cell_of, n, with_sums=with_sums)
        delta.panes.update(zip(keys, made, strict=True))
        return
    step = max(1, DENSE // gridset.size)
    order = np.argsort(cell_of, kind="stable")
    ordered, cell_of = codes.take(order), cell_of[order]
    for first in range(0, n, step):
        stop = min(first + step, n)
        begin, end = np.searchsorted(cell_of, (first, stop)).tolist()
        here = ordered.take(slice(begin, end))
        made = gridset.count_codes(
            here, cell_of[begin:end] - first, stop - first, with_sums=with_sums
        )
        delta.pack(keys[first:stop], made)


def _note_unseen(
    delta: Delta,
    bound: BoundVersion,
    gridset: Gridset,
    found: dict[str, Column],
    unseen: Mapping[str, Iterable[str]],
    times_ms: NDArray[np.int64],
) -> None:
    """Note when the values were there that are shown of those that a reference never saw."""
    grids = {feature.name: feature.grid for feature in gridset.features}
    for name, shown in unseen.items():
        column, grid = found[name], grids[name]
        assert isinstance(grid, CategoricalGrid)
        # Where a value is missing something stands in its place: only the places tell.
        is_unseen = code_categories(grid, column, len(times_ms)) == grid.unseen
        kept = frozenset(shown)
        for i in np.flatnonzero(is_unseen).tolist():
            value = column.values[i]
            if value not in kept:
                continue
            text = value.replace("\0", NUL_SIGN)
            key = UnseenKey(bound.version_id, gridset.digest, name, text)
            seen = Seen(1, int(times_ms[i]), int(times_ms[i]))
            if key in delta.unseen:
                delta.unseen[key].add(seen)
            else:
                delta.unseen[key] = seen
