"""A frame counted on the grids of a reference, by the rules that count a log's events.

What is kept is counts, what the frame lacks or has too much, and when its rows happened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from driftline.errors import InvalidFrame, InvalidReference
from driftline.stats import frame as frames
from driftline.stats.profile import COUNTERS, Column, Profile
from driftline.stats.reference import Reference, zone_of

WHAT: Final = "the current frame"


@dataclass(frozen=True)
class Counted:
    """What comparing needs to know of the current frame.

    Attributes
    ----------
    profile
        Counts on the reference's grids.
    vanished
        Features whose column the frame does not have: missing in every row.
    unknown
        Columns that the reference does not know: not compared.
    times_ms
        Instants of the rows that have one; None where no column says so.
    unseen
        Feature -> its values that the reference never saw, with their rows (some of them,
        the most frequent first).
    notes
        What the user should know of how the frame was read.
    """

    profile: Profile
    vanished: frozenset[str] = frozenset()
    unknown: tuple[str, ...] = ()
    times_ms: NDArray[np.int64] | None = None
    unseen: Mapping[str, Counter[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def count_frame(
    frame: Any,
    reference: Reference,
    *,
    sources: Mapping[str, str],
    no_features: Collection[str],
    timestamp: str | None,
) -> Counted:
    """Count a frame on a reference's grids.

    Parameters
    ----------
    sources
        Features whose column has another name, and that name.
    no_features
        Columns that are known to be no features: nothing is said of them.
    timestamp
        Column of the time, if the frame has it.

    Raises
    ------
    InvalidFrame
        When it is no frame, has no rows, nothing in common with the reference, or a column
        that cannot be read.
    """
    try:
        return _count(frame, reference, sources, no_features, timestamp)
    except InvalidReference as error:
        # Columns are read by the same functions, whose fault is named after their usual work.
        raise InvalidFrame(str(error)) from error


def _count(
    frame: Any,
    reference: Reference,
    sources: Mapping[str, str],
    no_features: Collection[str],
    timestamp: str | None,
) -> Counted:
    opened = frames.open_frame(frame, WHAT)
    grids = reference.gridset
    source_of = {name: sources.get(name, name) for name in grids.names()}
    present = set(opened.columns)
    vanished = frozenset(name for name, source in source_of.items() if source not in present)
    if len(vanished) == len(source_of):
        raise InvalidFrame(
            f"the two frames have no column in common: the reference has {_some(source_of)}, "
            f"{WHAT} has {_some(opened.columns)}"
        )

    types: dict[str, str] = {}

    def columns() -> Iterator[tuple[str, Column]]:
        for feature in grids.features:
            if feature.name not in vanished:
                source = source_of[feature.name]
                with frames.reading(source):
                    column = frames.column_of(opened, source)
                    types[feature.name] = frames.type_of(column)
                    read = frames.read_column(column, feature.kind)
                yield feature.name, read

    known = {*source_of.values(), *no_features, timestamp}
    times_ms, notes = _times(opened, reference, timestamp)
    tally = grids.tally(columns(), len(opened))
    return Counted(
        profile=tally.profile,
        vanished=vanished,
        unknown=tuple(name for name in opened.columns if name not in known),
        times_ms=times_ms,
        unseen=tally.unseen,
        notes=(*notes, *_other_types(tally.profile, reference, types)),
    )


def _other_types(profile: Profile, reference: Reference, types: Mapping[str, str]) -> Iterator[str]:
    """Columns in which no value is of the reference's kind: it is the type, not some values."""
    wrong, null, nan = (COUNTERS.index(name) for name in ("type_error", "null", "nan"))
    of = reference.gridset.counters
    for i, feature in enumerate(reference.gridset.features):
        counted = profile.counts[of[i]]
        n = int(counted[wrong])
        if n and n + int(counted[null]) + int(counted[nan]) == profile.rows:
            has = {"numeric": "numbers", "categorical": "categories"}.get(feature.kind, "values")
            yield (
                f"{feature.name!r} is of type {types[feature.name]} in {WHAT}, and the reference "
                f"has {has}: convert the column, or build the reference from rows that have it so"
            )


def _times(
    opened: frames.Frame, reference: Reference, timestamp: str | None
) -> tuple[NDArray[np.int64] | None, list[str]]:
    if timestamp is None:
        return None, []
    if timestamp not in opened.columns:
        return None, [f"{WHAT} has no column {timestamp!r}: when its rows happened is not known"]
    with frames.reading(timestamp):
        times, has_time, _ = frames.read_times(
            frames.column_of(opened, timestamp),
            timestamp,
            zone_of(reference.timezone),
            reference.timezone,
        )
    return times[has_time], []


def _some(names: Collection[str], most: int = 6) -> str:
    """The first names, for a sentence.

    Examples
    --------
    >>> _some(["a", "b"]), _some([]), _some(list("abcdefgh"))
    ("'a', 'b'", 'none', "'a', 'b', 'c', 'd', 'e', 'f' and 2 more")
    """
    shown = ", ".join(map(repr, list(names)[:most])) or "none"
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
