"""References as people ask about them: who uses one, and what it leaves unjudged.

What a reference can judge is computed by the rule's own functions from its document
(and from what a length learnt live); nothing here decides anything.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from threading import Lock
from typing import Final, Generic, TypeVar

from sqlalchemy.engine import Connection

from driftline.stats.calibration import MIN_SLICES, Calibration
from driftline.stats.evidence import STANDARD
from driftline.stats.lengths import DEFAULT_LENGTHS
from driftline.stats.reference import Reference
from driftline.stats.rule import Rule
from monitor.storage import reads
from monitor.storage.evaluation import live_calibrations
from monitor.storage.promotions import Promotion
from monitor.storage.registry import monitor_of
from monitor.storage.rows import ReferenceRow, Use, VerdictCount
from monitor.views.profiled import FeatureLine, Length, features_of, lengths_of
from monitor.views.scope import NoSuch
from monitor.views.succession import successors
from monitor.windows.calendar import NOMINAL_MS

# Shorter beginnings of a digest name too many.
SHORTEST_PREFIX: Final = 6
# Verdicts are counted over so many of each length's newest windows.
LATELY: Final = 60
# What is kept decoded: they never change.
KEPT_REFERENCES: Final = 8
KEPT_OUTLINES: Final = 1_000
# A document takes a few milliseconds; the rest of a long list is told at the next look.
OUTLINES_AT_ONCE: Final = 200

V = TypeVar("V")


@dataclass(frozen=True)
class Outline:
    """What the list needs of a document, without unpacking an array.

    `slices` counts the full slices of each length, of all rows.
    """

    n_features: int
    timezone: str
    slices: dict[str, int]
    segments: tuple[str, ...]


@dataclass(frozen=True)
class Binding:
    """A version that a reference judges, `until_ms` another one takes over (None = to this day).

    `from_ms` 0 = from the first event on. `replaced` is the reference before it for the
    same version, `replaced_by` the one after it. `successor` is the version that took over from
    the version itself.
    """

    use: Use
    until_ms: int | None
    replaced: str | None
    replaced_by: str | None
    successor: Promotion | None = None

    @property
    def is_current(self) -> bool:
        """Return whether it judges what comes next."""
        return self.until_ms is None and self.use.archived_ms is None


@dataclass(frozen=True)
class Line:
    """One line of the list: a reference, or a reference in one of its bindings."""

    row: ReferenceRow
    outline: Outline | None
    binding: Binding | None


@dataclass(frozen=True)
class Segment:
    """A segment of the reference; without counts of its own it shows volume and rates only."""

    name: str
    rows: int | None

    @property
    def has_counts(self) -> bool:
        """Return whether its distributions are judged."""
        return self.rows is not None


@dataclass(frozen=True)
class ReferenceView:
    """One reference.

    Attributes
    ----------
    bindings
        Who is or was judged by it.
    judged
        The version whose windows and monitor the limits below are of: the newest that it judges.
    rule
        That monitor's profile and fixed limits; the standard where nothing is bound to it.
    excluded
        [start_ms, end_ms) of the stretches that were left out of it, ascending.
    successors
        Versions that say they replace one of its versions: (model, version, replaced).
    lengths
        What each of the monitor's window lengths knows, shortest first.
    features
        By the order of the document, the prediction's parts first.
    """

    row: ReferenceRow
    outline: Outline
    bindings: tuple[Binding, ...]
    judged: Use | None
    rule: Rule
    excluded: tuple[tuple[int, int], ...]
    successors: tuple[Use, ...]
    lengths: tuple[Length, ...]
    features: tuple[FeatureLine, ...]
    segments: tuple[Segment, ...]

    def other_models(self) -> list[str]:
        """Return the models it judges whose monitors the limits are not of."""
        current = {b.use.model for b in self.bindings if b.is_current}
        return sorted(current - {self.judged.model} if self.judged is not None else current)


def read_list(conn: Connection, *, model: str | None = None) -> list[Line]:
    """Return all references, newest first, one line for each binding.

    References that nothing is bound to stay in the list of all models.
    """
    rows = reads.references(conn)
    bindings = _bindings(reads.uses(conn), successors(conn))
    wanted = [
        row
        for row in rows
        if model is None or any(b.use.model == model for b in bindings.get(row.digest, ()))
    ]
    outlines = _outlines(conn, [row.digest for row in wanted])
    lines = []
    for row in wanted:
        bound: list[Binding | None] = [
            b for b in bindings.get(row.digest, ()) if model is None or b.use.model == model
        ]
        lines += [Line(row, outlines.get(row.digest), binding) for binding in bound or [None]]
    return lines


def read(conn: Connection, digest: str) -> ReferenceView:
    """Return one reference by its digest or by a beginning of it that names no other.

    Raises
    ------
    NoSuch
        With the nearest digests.
    """
    row = _find(conn, digest)
    all_uses = reads.uses(conn)
    bindings = tuple(_bindings(all_uses, successors(conn)).get(row.digest, ()))
    reference = _reference(conn, row.digest)
    current = [b for b in bindings if b.is_current] or list(bindings)
    judged = max(current, key=lambda b: b.use.created_ms).use if current else None
    spec_lengths: Sequence[str] = DEFAULT_LENGTHS
    live: dict[tuple[str, str], tuple[int, Calibration]] = {}
    counts: list[VerdictCount] = []
    collected: dict[str, int] = {}
    rule = STANDARD
    if judged is not None:
        spec = monitor_of(conn, judged.model_id)[1]
        spec_lengths, rule = spec.lengths, spec.rule()
        live = live_calibrations(conn, judged.version_id, row.digest)
        until = next(b.until_ms for b in current if b.use == judged)
        newest = reads.newest_starts(conn, judged.version_id, spec_lengths)
        counts = reads.verdicts(conn, judged.version_id, _spans(newest, judged, until))
        collected = reads.collected(
            conn, judged.version_id, row.digest, spec_lengths, at_most=MIN_SLICES
        )
    bound_versions = {(b.use.model, b.use.version) for b in bindings}
    if reference is None:
        return ReferenceView(
            row, Outline(0, "UTC", {}, ()), bindings, judged, rule, (), (), (), (), ()
        )
    lengths = lengths_of(reference, spec_lengths, live, counts, collected)
    return ReferenceView(
        row=row,
        outline=_outline_of(reference),
        bindings=bindings,
        judged=judged,
        rule=rule,
        excluded=reference.excluded,
        successors=tuple(
            {
                (use.model, use.version): use
                for use in all_uses
                if use.replaces is not None and (use.model, use.replaces) in bound_versions
            }.values()
        ),
        lengths=lengths,
        features=features_of(reference, lengths, counts, rule),
        segments=_segments(reference),
    )


def document(conn: Connection, digest: str) -> bytes:
    """Return a reference's document, found as `read` finds it."""
    found = reads.reference_document(conn, _find(conn, digest).digest)
    assert found is not None
    return found.to_document()


def _find(conn: Connection, digest: str) -> ReferenceRow:
    rows = {row.digest: row for row in reads.references(conn)}
    if digest in rows:
        return rows[digest]
    matching = [name for name in rows if name.startswith(digest)]
    if len(digest) >= SHORTEST_PREFIX and len(matching) == 1:
        return rows[matching[0]]
    nearest = matching[:5] if digest else []
    by_short = {name[: max(len(digest), 8)]: name for name in rows}
    near = nearest or [by_short[s] for s in get_close_matches(digest, by_short, n=3, cutoff=0.5)]
    raise NoSuch("reference", digest, tuple(near))


def _bindings(uses: Iterable[Use], after_it: Mapping[int, Promotion]) -> dict[str, list[Binding]]:
    """Return the bindings by digest; `uses` come by version and time.

    `after_it` has what took over from a version, by its id.
    """
    by_version: dict[int, list[Use]] = {}
    for use in uses:
        by_version.setdefault(use.version_id, []).append(use)
    found: dict[str, list[Binding]] = {}
    for bound in by_version.values():
        for at, use in enumerate(bound):
            before = bound[at - 1] if at else None
            after = bound[at + 1] if at + 1 < len(bound) else None
            found.setdefault(use.digest, []).append(
                Binding(
                    use,
                    None if after is None else after.effective_from_ms,
                    None if before is None else before.digest,
                    None if after is None else after.digest,
                    after_it.get(use.version_id),
                )
            )
    return found


def _spans(newest: dict[str, int], judged: Use, until_ms: int | None) -> dict[str, tuple[int, int]]:
    """Return the newest windows of each length that this binding judged."""
    spans = {}
    for length, start_ms in newest.items():
        end = start_ms + 1 if until_ms is None else min(start_ms + 1, until_ms)
        spans[length] = (
            max(judged.effective_from_ms, end - LATELY * NOMINAL_MS[length]),
            end,
        )
    return spans


def _segments(reference: Reference) -> tuple[Segment, ...]:
    named = [
        f"{dimension}={value}"
        for dimension, values in reference.dimensions.items()
        for value in values
    ]
    kept = {name: int(profile.counts[0]) for name, profile in reference.profiles.items()}
    names = dict.fromkeys([*kept, *named])
    return tuple(Segment(name, kept.get(name)) for name in names if name != "all")


def _outline_of(reference: Reference) -> Outline:
    return Outline(
        n_features=len(reference.gridset.features),
        timezone=reference.timezone,
        slices={
            length: len(cut.starts_ms) for length, cut in reference.slices.get("all", {}).items()
        },
        segments=reference.segments()[1:],
    )


def _outline(document: bytes) -> Outline:
    """Read the outline off a stored document, which was checked when it was registered."""
    found = json.loads(document)
    return Outline(
        n_features=len(found["features"]),
        timezone=found["facts"]["timezone"],
        slices={length: cut["n"] for length, cut in found["slices"].get("all", {}).items()},
        segments=tuple(name for name in found["profiles"] if name != "all"),
    )


class _Kept(Generic[V]):
    """Values by digest, the oldest go first."""

    def __init__(self, limit: int) -> None:
        self._limit, self._lock = limit, Lock()
        self._values: OrderedDict[str, V] = OrderedDict()

    def get(self, digest: str) -> V | None:
        with self._lock:
            return self._values.get(digest)

    def put(self, digest: str, value: V) -> None:
        with self._lock:
            self._values[digest] = value
            while len(self._values) > self._limit:
                self._values.popitem(last=False)


_outlines_kept: Final[_Kept[Outline]] = _Kept(KEPT_OUTLINES)
_references_kept: Final[_Kept[Reference]] = _Kept(KEPT_REFERENCES)


def _outlines(conn: Connection, digests: Sequence[str]) -> dict[str, Outline]:
    """Return the outlines; what is not known yet is read in one statement, so many at a time."""
    known = {digest: kept for digest in digests if (kept := _outlines_kept.get(digest))}
    missing = [digest for digest in digests if digest not in known][:OUTLINES_AT_ONCE]
    if missing:
        for digest, document in reads.documents(conn, missing).items():
            known[digest] = _outline(document)
            _outlines_kept.put(digest, known[digest])
    return known


def _reference(conn: Connection, digest: str) -> Reference | None:
    kept = _references_kept.get(digest)
    if kept is not None:
        return kept
    document = reads.documents(conn, [digest]).get(digest)
    if document is None:
        return None
    reference = Reference.from_document(document)
    _references_kept.put(digest, reference)
    return reference
