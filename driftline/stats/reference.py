"""References: what a model's data looked like when it was trained, as counts.

A reference is a gridset, profiles on it and the slices its natural wobble is learnt from.
It is immutable and named by the digest of its content. How columns are read is `frame`'s
business, how they are cut `slicing`'s, how a reference travels `document`'s; no row of
data is kept here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from driftline.errors import InvalidReference
from driftline.stats import excluding, slicing
from driftline.stats import frame as frames
from driftline.stats.category_column import read_categories
from driftline.stats.checked import is_finite, short
from driftline.stats.gridset import Gridset
from driftline.stats.lengths import LONGEST, MIN_SLICES
from driftline.stats.profile import Profile, canonical_category
from driftline.stats.profile_counts import ProfileCounter
from driftline.stats.slice_counts import SliceCounter
from driftline.stats.slicing import SLICE_ARRAYS, Slices, slice_array

__all__ = ["Reference", "Slices", "build_reference"]

ALL: Final = "all"
OTHER: Final = "__other__"
PREDICTION: Final = "prediction"
SCORE: Final = "prediction.score"
SCORES_PREFIX: Final = "prediction.scores."
# A segment has counts of its own from so many rows; below, a reference's limit cannot fall
# under .18, which is said as a warning.
MIN_ROWS: Final = 1_000
MAX_SEGMENT_VALUES: Final = 100
MAX_DIMENSIONS: Final = 20
MAX_FEATURES: Final = 5_000
# Counts of one hour in which every segment is seen: 134 MB. A hundred features in 600 segments,
# a thousand in 60.
MAX_CELLS: Final = 1 << 24
BUCKETS: Final = ("weekday", "weekend")
# What outcomes are mostly called, and the arguments that say so.
OUTCOMES: Final = {
    "class": ("prediction", "label"),
    "label": ("label",),
    "outcome": ("label",),
    "prediction": ("prediction",),
    "score": ("score",),
    "target": ("label",),
    "y": ("label",),
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
        Segment -> length -> Slices; empty without times. 28 days are there only where
        there are eight of them.
    dimensions : dict
        Segment dimension -> its values in the reference, the most frequent first.
    timezone : str
        IANA name of the zone in which hours, days and weeks begin.
    first_ms, last_ms : int or None
        Time of the first and last row; None without times.
    rows : int
    prediction : tuple of str
        Which features are predictions ("prediction", "prediction.score", and
        "prediction.scores.X" for the class X).
    importance : dict
        Feature -> weight, as given; the largest is shown first.
    excluded : tuple of pairs
        [start_ms, end_ms) of the stretches whose rows were left out, ascending.
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
    excluded: tuple[tuple[int, int], ...] = ()
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


def build_reference(
    frame: Any,
    *,
    prediction: str | None = None,
    score: str | None = None,
    scores: Mapping[str, str] | None = None,
    label: str | None = None,
    timestamp: str | None = None,
    timezone: str = "UTC",
    features: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    categorical: Sequence[str] = (),
    segments: Sequence[str] = (),
    importance: Mapping[str, float] | None = None,
    exclude_slices: Sequence[Any] = (),
) -> Reference:
    """Count a frame into a reference; the same frame in any row order gives the same digest.

    Parameters
    ----------
    frame : pandas or polars DataFrame, pyarrow Table
    prediction, score, label, timestamp : str, optional
        Columns with the model's output (feature "prediction"), its score (feature
        "prediction.score"), the outcome (not profiled) and the time of each row.
    scores : mapping, optional
        Class -> column with its score, of a model of several classes: feature
        "prediction.scores.X" for the class X, as events have it.
    timezone : str
        IANA zone in which days and weeks begin, and in which naive times are read.
    features : sequence of str, optional
        Profile these columns and no others, identifiers and free text too.
    exclude : sequence of str
        Columns that are not profiled.
    categorical : sequence of str
        Columns of integers that are categories.
    segments : sequence of str
        Columns by whose values counts are kept apart, too.
    importance : mapping, optional
        Feature -> weight >= 0.
    exclude_slices : sequence, optional
        Stretches of time whose rows are not counted, because they were no usual ones: each a
        local date ("2013-02-08") or an interval ("2013-02-08/2013-02-10" with both days,
        "2013-02-08T17:00/2013-02-08T21:00", or a pair). No slice is full that they touch.

    Raises
    ------
    InvalidReference
        When the frame cannot become a reference, with what mends it.
    """
    zone = zone_of(timezone)
    opened = frames.open_frame(frame)
    outputs = {
        PREDICTION: next(iter(frames.pick(opened, [prediction], "prediction")), None),
        SCORE: next(iter(frames.pick(opened, [score], "score")), None),
        **_class_scores(opened, scores or {}),
    }
    special = {
        *outputs.values(),
        *frames.pick(opened, [label], "label"),
        *frames.pick(opened, [timestamp], "timestamp"),
    }
    forced = frames.pick(opened, features or (), "features")
    excluded = frames.pick(opened, exclude, "exclude")
    left = special.union(excluded)
    names = frozenset(forced or (n for n in opened.columns if n not in left))
    by_name = set(frames.pick(opened, categorical, "categorical"))
    dimensions = frames.pick(opened, segments, "segments")
    if len(dimensions) > MAX_DIMENSIONS:
        raise InvalidReference(f"segments: {len(dimensions)} are over {MAX_DIMENSIONS}")
    for dimension in dimensions:
        if "=" in dimension:
            raise InvalidReference(
                f"segments: rename column {dimension!r}: a segment is named column=value, so the "
                "column's name must hold no '='"
            )
    sources = {name: name for name in opened.columns if name in names}
    for output, source in outputs.items():
        if output in sources and source != output:
            raise InvalidReference(
                f"column {output!r} has the name of a model's output: pass it as one, "
                "rename it, or exclude it"
            )
        sources.pop(output, None)
    sources |= {output: source for output, source in outputs.items() if source is not None}
    if not sources:
        raise InvalidReference("no column is left to profile")
    if len(sources) > MAX_FEATURES:
        raise InvalidReference(
            f"{len(sources):,} columns are over {MAX_FEATURES:,}: name the features= to watch"
        )

    times = _Times()
    if timestamp is not None:
        with frames.reading(timestamp):
            column = frames.column_of(opened, timestamp)
            times = _Times(*frames.read_times(column, timestamp, zone, timezone))
    left_out: tuple[tuple[int, int], ...] = ()
    if len(exclude_slices):
        opened, times, left_out = _without(opened, times, exclude_slices, zone)
    rows = len(opened)
    warnings = _few_rows(rows) + _outcomes(name for name in sources if name not in outputs)
    made: list[frames.Feature] = []
    for name, source in sources.items():
        with frames.reading(source):
            feature = frames.read_feature(
                frames.column_of(opened, source),
                name,
                is_category=source in by_name,
                is_forced=source in forced or name in outputs,
            )
        if name.startswith(SCORE) and name in outputs and feature.grid.kind != "numeric":
            raise InvalidReference(f"score column {source!r} holds no numbers")
        made.append(feature)
        warnings += [feature.warning] if feature.warning else []
    gridset = Gridset(tuple(feature.grid for feature in made))
    members = {ALL: np.ones(rows, np.bool_)}
    values_of: dict[str, tuple[str, ...]] = {}
    for dimension in dimensions:
        with frames.reading(dimension):
            number, values, notes = _dimension(frames.column_of(opened, dimension), dimension)
        values_of[dimension] = values
        refuse_too_wide(gridset, values_of)
        warnings += notes
        by_value = np.bincount(number, minlength=len(values) + 1)
        for i, value in enumerate((*values, OTHER)):
            if by_value[i] >= MIN_ROWS:
                members[f"{dimension}={value}"] = number == i

    first_ms = last_ms = counter = bucket = None
    if timestamp is not None:
        warnings += times.notes
        at_ms = times.ms[times.has_time]
        first_ms, last_ms = int(at_ms.min()), int(at_ms.max())
        cuts = slicing.cut(times.ms, times.has_time, zone, left_out)
        if cuts[LONGEST].is_full.sum() < MIN_SLICES:
            del cuts[LONGEST]  # too few to learn from: most references are shorter
        counter = SliceCounter(gridset, cuts, members)
        bucket = np.full(rows, -1, np.int64)
        bucket[times.has_time] = slicing.is_weekend(at_ms, zone)

    counted = ProfileCounter(gridset, members, bucket, BUCKETS)
    for f, feature in enumerate(made):
        places, told_apart = counted.add(f, feature.column, rows)
        if counter is not None:
            counter.add(f, places, told_apart)
    profiles, buckets = counted.profiles()

    return Reference(
        gridset=gridset,
        profiles=profiles,
        buckets=buckets,
        slices={} if counter is None else counter.slices(),
        dimensions=values_of,
        timezone=timezone,
        first_ms=first_ms,
        last_ms=last_ms,
        rows=rows,
        prediction=tuple(name for name in outputs if name in sources),
        importance=_importance(importance or {}, gridset.names()),
        excluded=left_out,
        warnings=tuple(warnings),
    )


class _Times(NamedTuple):
    """When the rows happened, and what is to be said of it; nothing without a time column."""

    ms: NDArray[np.int64] = np.empty(0, np.int64)
    has_time: NDArray[np.bool_] = np.empty(0, np.bool_)
    notes: Sequence[str] = ()


def _without(
    opened: frames.Frame, times: _Times, exclude_slices: Sequence[Any], zone: ZoneInfo
) -> tuple[frames.Frame, _Times, tuple[tuple[int, int], ...]]:
    """The frame without the rows of the excluded stretches, and these."""
    if not len(times.ms):
        raise InvalidReference(
            "exclude_slices names times, and the reference has none: timestamp= names their column"
        )
    excluded = excluding.intervals_of(exclude_slices, zone, times.ms[times.has_time])
    kept = np.flatnonzero(excluding.is_kept(times.ms, times.has_time, excluded))
    if not times.has_time[kept].any():
        raise InvalidReference("exclude_slices leaves no row that has a time: exclude less")
    note = (
        f"{len(times.ms) - len(kept):,} of {len(times.ms):,} rows are not counted, because "
        "exclude_slices leaves them out"
    )
    left = _Times(times.ms[kept], times.has_time[kept], (*times.notes, note))
    return frames.take(opened, kept), left, excluded


def _class_scores(opened: frames.Frame, scores: Mapping[Any, str]) -> dict[str, str]:
    """Feature -> column of each class's score."""
    if not isinstance(scores, Mapping):
        raise InvalidReference('scores must map classes to columns: {"late": "p_late"}')
    made = {}
    for label, column in scores.items():
        named = canonical_category(label)
        if not named or len(f"{SCORES_PREFIX}{named}") > frames.MAX_NAME:
            raise InvalidReference(
                f"scores: the class {short(label)} must be text or an integer of at most "
                f"{frames.MAX_NAME - len(SCORES_PREFIX)} characters"
            )
        made[f"{SCORES_PREFIX}{named}"] = frames.pick(opened, [column], "scores")[0]
    return made


def zone_of(timezone: str) -> ZoneInfo:
    """The IANA zone of that name.

    Raises
    ------
    InvalidReference
        When there is none.
    """
    try:
        return ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError):
        raise InvalidReference(
            f"timezone {timezone!r} is no IANA time zone (such as 'Europe/Berlin')"
        ) from None


def refuse_too_wide(gridset: Gridset, dimensions: Mapping[str, Sequence[str]]) -> None:
    """Refuse features and segments whose counts of one hour are too many to be held.

    Raises
    ------
    InvalidReference
        They are more than `MAX_CELLS`.
    """
    segments = 1 + sum(len(values) + 1 for values in dimensions.values())
    if segments > 1 and segments * gridset.size > MAX_CELLS:
        raise InvalidReference(
            f"segments: {len(gridset.features):,} features in {segments:,} segments are "
            f"{segments * gridset.size:,} counts an hour, over {MAX_CELLS:,}: name fewer segments "
            "or features"
        )


def _few_rows(rows: int) -> list[str]:
    if rows >= MIN_ROWS:
        return []
    return [
        f"only {rows:,} row{'' if rows == 1 else 's'}: below {MIN_ROWS:,} small drifts stay unseen "
        "(the warning limit of PSI never falls below 0.18); 10,000 or more are recommended"
    ]


def _outcomes(names: Iterable[str]) -> list[str]:
    """A warning for each feature that is named as if it were no feature."""
    notes = []
    for name in names:
        arguments = OUTCOMES.get(name.lower())
        if arguments is not None:
            pass_it = " or ".join(f"{argument}={name!r}" for argument in arguments)
            notes.append(
                f"{name!r} is watched as a feature: is it the {' or the '.join(arguments)}? "
                f"pass {pass_it}, or exclude it"
            )
    return notes


def _dimension(
    series: frames.Series, name: str
) -> tuple[NDArray[np.int64], tuple[str, ...], list[str]]:
    """Number of each row's value, the values (the most frequent first), warnings."""
    found = read_categories(series)
    counts = found.counts()
    counts.pop(OTHER, None)
    if not counts:
        raise InvalidReference(f"segments: column {name!r} holds no category")
    frames.refuse_surrogates(counts)
    ranked = sorted(counts, key=lambda value: (-counts[value], value))
    values = ranked[:MAX_SEGMENT_VALUES]
    number_of = {value: i for i, value in enumerate(values)}
    # The last is for rows without a category.
    numbers = [number_of.get(word, len(values)) for word in found.words.words] + [len(values)]
    number = np.array(numbers, np.int64)[found.numbers]
    notes = []
    if len(ranked) > len(values):
        notes.append(
            f"segments: {name!r} has {len(ranked):,} values, the {MAX_SEGMENT_VALUES} most "
            f"frequent are kept apart and the others are {OTHER}"
        )
    return number, tuple(values), notes


def _importance(importance: Mapping[str, Any], names: Sequence[str]) -> dict[str, float]:
    if not isinstance(importance, Mapping):
        raise InvalidReference('importance must map features to weights: {"age": 0.3}')
    for name, weight in importance.items():
        if name not in names:
            raise InvalidReference(f"importance: there is no feature {name!r}")
        if not isinstance(weight, (int, float)) or not is_finite(weight) or weight < 0:
            raise InvalidReference(
                f"importance: that of {name!r} must be a number >= 0, not {short(weight)}"
            )
    return {name: float(weight) for name, weight in sorted(importance.items())}


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
        # Only where there are any: others keep their digest.
        **({"excluded": [list(pair) for pair in reference.excluded]} if reference.excluded else {}),
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
            for name in SLICE_ARRAYS:
                put(f"slices {segment} {length} {name}", slice_array(slices, name).tobytes())
    return content.hexdigest()
