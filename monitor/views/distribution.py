"""Which part of a feature moved: two ranges of time, or a range and a reference, side by side.

Counts on one grid add, so any range of panes is one profile and any two profiles are
comparable, as long as they were counted on the same grid; where they were not, the answer
is an `Incomparable` that says so. What is said of a window here equals what was judged of
it: the same counts, the same groups, the same season.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from driftline.stats.calibration import from_reference
from driftline.stats.grid import CategoricalGrid
from driftline.stats.lengths import LENGTHS
from driftline.stats.novelty import expected, expecting
from driftline.stats.reference import Reference
from driftline.stats.season import Season, When, bucket, bucket_groups, when
from monitor.storage import reads
from monitor.storage.rows import Version
from monitor.views.compared import Distribution, Incomparable, Side, compare, side_of
from monitor.views.scope import NoSuch, nearest
from monitor.windows.calendar import window_of
from monitor.windows.panes import pane_ms_of, pane_start

Ints = NDArray[np.int64]

Against = tuple[int, int] | str | None

ADDED_UP = (
    "The hours here were added up to days long after they were judged: only whole days of the "
    "range are shown."
)


def distribution(
    conn: Connection,
    version: Version,
    feature: str,
    segment: str,
    window: tuple[int, int],
    against: Against = None,
    *,
    others: Sequence[Version] = (),
    length: str | None = None,
    reference_digest: str | None = None,
) -> Distribution | Incomparable:
    """Return a feature in a range, beside its reference or beside something else.

    Three statements at most, and one for each reference that this process has not met before.

    Parameters
    ----------
    window
        `[from_ms, to_ms)`.
    against
        None = the reference that counts the range; another range of the same version; or the
        name of a version (of `others` or this one) whose reference is meant.
    length
        The window length as which the range was judged: days and hours have their season.
    reference_digest
        The reference that judged the window, where that is known.

    Raises
    ------
    NoSuch
        There is no such feature or version.
    """
    from_ms, to_ms = window
    digest = reference_digest or bound_at(version, from_ms)
    own = None if digest is None else reads.reference_document(conn, digest)
    if own is None:
        raise NoSuch("reference", version.name)
    names = own.gridset.names()
    if feature not in names:
        raise NoSuch("feature", feature, nearest(feature, names))
    place = names.index(feature)
    grid = own.gridset.features[place]
    added = reads.pane_sum(
        conn, version.id, own.gridset, segment=segment, from_ms=from_ms, to_ms=to_ms
    )
    notes = _switches(version, digest, from_ms, to_ms)
    current = side_of(own, place, added.profile, "", added.from_ms, to_ms, added.from_ms > from_ms)
    if added.cuts_days:
        notes.append(ADDED_UP)
    season: str | None = None
    seasonal: Ints | None = None
    start = np.array([from_ms])
    other, other_profile = own, None
    if isinstance(against, tuple):
        past = reads.pane_sum(
            conn, version.id, own.gridset, segment=segment, from_ms=against[0], to_ms=against[1]
        )
        other_profile = past.profile
        if past.cuts_days and not added.cuts_days:
            notes.append(ADDED_UP)
        reference = side_of(
            own, place, past.profile, "", past.from_ms, against[1], past.from_ms > against[0]
        )
    else:
        name = "reference"
        if against is not None and against != version.name:
            found = _reference_of(conn, (version, *others), against, to_ms)
            if feature not in found.gridset.names():
                return Incomparable(
                    f"The reference of version {against} has no feature {feature}.",
                    own.gridset.digest,
                    found.gridset.digest,
                )
            there = found.gridset.features[found.gridset.names().index(feature)]
            if there.to_dict() != grid.to_dict():
                return Incomparable(
                    f"Version {against} counts {feature} on another grid: its reference has other "
                    "bins, and counts on different bins cannot be compared.",
                    own.gridset.digest,
                    found.gridset.digest,
                )
            other, name = found, against
        other_profile = other.profiles.get(segment)
        if other_profile is None:
            other_profile = other.profiles["all"]
            notes.append(
                f"The reference has too few rows of {segment} for counts of its own: "
                "all of its rows are shown instead."
            )
        elif other is own and length is not None:
            season, seasonal = _season(own, segment, place, length, when(start, version.timezone))
        at = other.gridset.names().index(feature)
        reference = side_of(other, at, other_profile, name, None, None, False)
    new = (
        reads.unseen_values(conn, version.id, own.gridset.digest, feature)
        if isinstance(grid.grid, CategoricalGrid)
        else []
    )
    r = other_profile.counts[other.gridset.bins[other.gridset.names().index(feature)]]
    c = added.profile.counts[own.gridset.bins[place]]
    judged_r = r if seasonal is None else seasonal
    made = compare(feature, grid, reference, current, r, c, judged_r)
    return replace(
        made, season=season, new_values=tuple(new), notes=(*notes, *_cuts(reference, current))
    )


def bound_at(version: Version, time_ms: int) -> str | None:
    """Return the digest of the reference that counts events of `time_ms`, if one does.

    The oldest binding reaches back to the beginning of time.
    """
    start = pane_start(time_ms, pane_ms_of(version.timezone))
    digest = version.bindings[0].reference_digest if version.bindings else None
    for binding in version.bindings:
        if binding.effective_from_ms <= start:
            digest = binding.reference_digest
    return digest


def length_of(from_ms: int, to_ms: int, timezone: str) -> str | None:
    """Return the window length that a range is one window of; None when it is no window.

    >>> length_of(1360299600000, 1360386000000, "America/New_York")
    'day'
    """
    for length in LENGTHS:
        found = window_of(from_ms, length, timezone)
        if (found.start_ms, found.end_ms) == (from_ms, to_ms):
            return length
    return None


def _switches(version: Version, digest: str | None, from_ms: int, to_ms: int) -> list[str]:
    inside = [
        binding
        for binding in version.bindings
        if from_ms < binding.effective_from_ms < to_ms and binding.reference_digest != digest
    ]
    if not inside:
        return []
    return ["Another reference counts the later part of this range; only the first part is shown."]


def _cuts(reference: Side, current: Side) -> list[str]:
    if not (reference.is_cut or current.is_cut):
        return []
    return ["The range holds more panes than are read at once: only its newest part is shown."]


def _reference_of(
    conn: Connection, versions: Sequence[Version], name: str, time_ms: int
) -> Reference:
    for version in versions:
        if version.name == name:
            digest = bound_at(version, time_ms)
            found = None if digest is None else reads.reference_document(conn, digest)
            if found is not None:
                return found
    raise NoSuch("version", name, nearest(name, [version.name for version in versions]))


@lru_cache(maxsize=64)
def _seasons(reference: Reference, segment: str, length: str) -> tuple[int, ...]:
    known = from_reference(reference, segment, length)
    return () if known is None else tuple(known.season.tolist())


def _season(
    reference: Reference, segment: str, place: int, length: str, at: When
) -> tuple[str | None, Ints | None]:
    """Return what the PSI of a feature's window is of: the season in words, and counts by bin.

    None, None where it is of the reference as it is. There are counts by group: each lies at
    the first bin of its group.
    """
    seasons = _seasons(reference, segment, length)
    season = Season(seasons[place]) if seasons else Season.NONE
    novel = expected(reference, segment, length)
    if season == Season.NONE and not novel[place]:
        return None, None
    grids = reference.gridset
    if season == Season.NONE:
        of_bucket = grids.sum_groups(reference.profiles[segment].counts[None, :])[0]
    else:
        of_bucket = bucket_groups(reference, segment, length, season)[bucket(season, at)[0]]
    of_bucket = expecting(grids, of_bucket, novel)
    groups = grids.features[place].groups
    counts = np.zeros(len(groups), np.int64)
    first = [int((groups == group).argmax()) for group in range(grids.features[place].n_groups)]
    counts[first] = of_bucket[grids.groups[place]]
    if season == Season.NONE:
        return None, counts
    day, hour = "weekend" if at.is_weekend[0] else "weekday", f"{at.hour[0]}h hour"
    words = {Season.WEEKEND: day, Season.HOUR: hour, Season.HOUR_WEEKEND: f"{day} {hour}"}
    return words[season], counts
