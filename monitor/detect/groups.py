"""Which incidents are one problem: the rule that pages and alerts share.

The monitor keeps one incident per feature, segment and kind. A blizzard opens twenty of
those; a person has one problem, sees one thing on a page and gets one message.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from monitor.detect.kinds import Subject, subject_of
from monitor.windows.calendar import DAY_MS

ALL = "all"
# What happens in a night is told by the hour at once, and by the day when the second bad
# day is over: at most two days after the first hour told it.
TOGETHER_MS = 2 * DAY_MS
# The longest window: what began further apart was told together by chance.
BEGAN_TOGETHER_MS = 7 * DAY_MS


class Stood(Protocol):
    """An incident as far as the rule reads it; times are epoch ms of event time."""

    @property
    def number(self) -> int:
        """What it goes by."""

    @property
    def version_id(self) -> int:
        """Whose it is: incidents of two versions are never one problem."""

    @property
    def segment(self) -> str:
        """`all`, or the rows with one value of a dimension."""

    @property
    def feature(self) -> str:
        """What moved."""

    @property
    def kind(self) -> str:
        """Distribution, missing, ..."""

    @property
    def opened_ms(self) -> int:
        """End of the window that made it sure."""

    @property
    def first_window_ms(self) -> int:
        """Start of its first bad window."""

    @property
    def resolved_ms(self) -> int | None:
        """When it ended, None while it stands."""

    @property
    def is_open(self) -> bool:
        """Whether it stands."""


Incident = TypeVar("Incident", bound=Stood)


def group(incidents: Iterable[Incident]) -> list[tuple[Incident, ...]]:
    """Return incidents as groups, each in the order of its numbers.

    Drift, silence and a broken schema are never one problem: somebody else mends each. Within
    them there are two rules, and neither makes chains: "joined to what overlaps with something
    that overlaps with it" would make one incident of a whole year.

    1. An incident of a segment belongs to the incident of the same version, feature and
       kind over all rows that stood while it did: it is the same problem, seen closer. But
       where the segment was told more than two days earlier it was a problem of its own.
    2. Of the others, one belongs to the group of the first that opened within two days
       before it (`TOGETHER_MS`), stood while it did, and whose first bad window lies within
       a week of its own (`BEGAN_TOGETHER_MS`). Both count from that first one always,
       however many have joined since.

    Three weeks of drift and a new one that opens in their midst thus stay two things; what
    one night did to five features, by the hour and then by the day, is one.

    Examples
    --------
    >>> from typing import NamedTuple
    >>> class Row(NamedTuple):
    ...     number: int
    ...     opened_ms: int
    ...     feature: str
    ...     first_window_ms: int = 0
    ...     version_id: int = 1
    ...     segment: str = "all"
    ...     kind: str = "missing"
    ...     resolved_ms: int | None = None
    ...     is_open: bool = True
    >>> rows = [Row(1, 0, "temp"), Row(2, DAY_MS, "wind"), Row(3, 3 * DAY_MS, "score")]
    >>> [[row.number for row in found] for found in group(rows)]
    [[1, 2], [3]]
    """
    apart: dict[tuple[int, Subject], list[Incident]] = {}
    for incident in incidents:
        key = incident.version_id, subject_of(incident.kind)
        apart.setdefault(key, []).append(incident)
    return [found for members in apart.values() for found in _of_one_version(members)]


def _of_one_version(incidents: Sequence[Incident]) -> list[tuple[Incident, ...]]:
    over_all: dict[tuple[str, str], list[Incident]] = {}
    for incident in incidents:
        if incident.segment == ALL:
            over_all.setdefault((incident.feature, incident.kind), []).append(incident)
    closer: dict[int, list[Incident]] = {}
    roots: list[Incident] = []
    for incident in incidents:
        siblings = over_all.get((incident.feature, incident.kind), ())
        whole = None
        if incident.segment != ALL:
            whole = max(
                (
                    i
                    for i in siblings
                    if i.opened_ms - incident.opened_ms <= TOGETHER_MS and overlap(i, incident)
                ),
                key=lambda i: i.number,
                default=None,
            )
        if whole is None:
            roots.append(incident)
        else:
            closer.setdefault(whole.number, []).append(incident)
    groups: list[list[Incident]] = []
    for root in sorted(roots, key=by_opening):
        home = next(
            (
                members
                for members in groups
                if root.opened_ms - members[0].opened_ms <= TOGETHER_MS
                and abs(root.first_window_ms - members[0].first_window_ms) <= BEGAN_TOGETHER_MS
                and overlap(members[0], root)
            ),
            None,
        )
        if home is None:
            groups.append([root])
        else:
            home.append(root)
    return [
        tuple(
            sorted(
                (i for root in roots for i in (root, *closer.get(root.number, ()))),
                key=lambda i: i.number,
            )
        )
        for roots in groups
    ]


def by_opening(incident: Stood) -> tuple[int, bool, int]:
    """Return what puts incidents in the order in which they are told."""
    return incident.opened_ms, incident.segment != ALL, incident.number


def overlap(one: Stood, other: Stood) -> bool:
    """Whether both stood at one time, from the start of their first bad window on."""
    return one.first_window_ms < _end(other) and other.first_window_ms < _end(one)


def _end(incident: Stood) -> float:
    if incident.is_open or incident.resolved_ms is None:
        return float("inf")
    return max(incident.resolved_ms, incident.opened_ms)
