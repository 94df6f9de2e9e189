"""Incidents as people speak of them: what belongs together is one thing with one number.

The monitor keeps one incident per feature, segment and kind. A blizzard opens
twenty of those; a person has one problem. This module groups them, and reads
one group with everything that was recorded of it. It decides nothing: every
member keeps its own state, number and evidence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from sqlalchemy.engine import Connection

from driftline.events import PREDICTION, SCORE, SCORES_PREFIX
from driftline.stats.words import Evidence
from monitor.detect.absent import SCHEMA
from monitor.detect.evidence import evidence_in, ratio_of
from monitor.detect.groups import ALL
from monitor.detect.groups import group as belonging_together
from monitor.detect.silence import VOLUME
from monitor.storage import reads
from monitor.storage.reads.judged import IN_AT_MOST
from monitor.storage.rows import OPEN_STATES, TOLD_STATES, Incident, IncidentEvent
from monitor.views.scope import NoSuch
from monitor.views.standing import NOTHING_KNOWN, Standing, standing
from monitor.windows.calendar import LENGTHS

# The states that a list can be asked for, and what each holds.
STATES = {
    "firing": OPEN_STATES,
    "all": TOLD_STATES,
    "resolved": ("resolved", "expired", "superseded"),
    "withdrawn": ("withdrawn",),
}
# Which word stands for a group whose members differ: the first that one of them has.
STATE_ORDER = ("firing", "recovering", "resolved", "superseded", "expired", "withdrawn")


def is_prediction(name: str) -> bool:
    """Whether a flat name holds what the model said, and no feature."""
    return name in (PREDICTION, SCORE) or name.startswith(SCORES_PREFIX)


def evidence_of(incident: Incident, which: str = "worst") -> Evidence | None:
    """Return the window that shows an incident best ("opened": the one that told it).

    None where nothing is stored.
    """
    return evidence_in(incident.evidence, which)


@dataclass(frozen=True)
class Group:
    """Incidents of one version that are one problem, by number; `number` is the first of them."""

    members: tuple[Incident, ...]

    @property
    def number(self) -> int:
        """The number that the group goes by."""
        return self.members[0].number

    @property
    def model(self) -> str:
        """The model's name."""
        return self.members[0].model

    @property
    def version(self) -> str:
        """The version's name."""
        return self.members[0].version

    @property
    def version_id(self) -> int:
        """The version's id."""
        return self.members[0].version_id

    @cached_property
    def told(self) -> tuple[Incident, ...]:
        """The members that speak for themselves; a muted one is spoken for by another."""
        return tuple(i for i in self.members if not i.muted) or self.members

    @property
    def is_muted(self) -> bool:
        """Whether another speaks for all of it: the same problem, which is counted there."""
        return all(incident.muted for incident in self.members)

    @cached_property
    def state(self) -> str:
        """The state of the member that is worst off."""
        states = {incident.state for incident in self.told}
        return next((state for state in STATE_ORDER if state in states), self.told[0].state)

    @property
    def is_open(self) -> bool:
        """Whether the problem stands."""
        return self.state in OPEN_STATES

    @cached_property
    def severity(self) -> str:
        """How bad it is now; once it is over, how bad it was."""
        concerned = [i for i in self.told if i.is_open] or self.told
        return "critical" if any(i.severity == "critical" for i in concerned) else "warning"

    @cached_property
    def opened_ms(self) -> int:
        """When the first of them was told."""
        return min(incident.opened_ms for incident in self.told)

    @cached_property
    def resolved_ms(self) -> int | None:
        """When the last of them ended; None while one stands."""
        if self.is_open:
            return None
        return max(i.resolved_ms if i.resolved_ms is not None else i.opened_ms for i in self.told)

    @cached_property
    def spans(self) -> tuple[tuple[int, int | None], ...]:
        """When it stood, as [opened, resolved or None), in order; what overlaps is one span."""
        found = sorted(
            (
                (int(e[0]), None if e[3] is None else int(e[3]))
                for i in self.told
                for e in i.episodes or [[i.opened_ms, 0, 0, i.resolved_ms]]
            ),
            key=lambda span: span[0],
        )
        joined: list[tuple[int, int | None]] = []
        for start, end in found:
            if joined and (joined[-1][1] is None or start <= joined[-1][1]):
                before = joined[-1]
                latest = None if end is None or before[1] is None else max(end, before[1])
                joined[-1] = (before[0], latest)
            else:
                joined.append((start, end))
        return tuple(joined)

    @cached_property
    def ranked(self) -> tuple[Incident, ...]:
        """The members worst first: those that stand, that are told, over all rows, critical."""
        return tuple(
            sorted(
                self.members,
                key=lambda i: (
                    i.muted,
                    i.is_open is not self.is_open,
                    i.segment != ALL,
                    i.severity != "critical",
                    -ratio_of(evidence_of(i)),
                    i.number,
                ),
            )
        )

    @property
    def worst(self) -> Incident:
        """The member that tells most."""
        return self.ranked[0]

    @cached_property
    def features(self) -> tuple[str, ...]:
        """The names that are concerned, worst first, each once."""
        return tuple(dict.fromkeys(i.feature for i in self.ranked if i.feature))

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of problem, the worst member's first."""
        return tuple(dict.fromkeys(i.kind for i in self.ranked))

    @cached_property
    def segments(self) -> tuple[str, ...]:
        """Where it shows, `all` first."""
        found = {incident.segment for incident in self.members}
        return tuple(sorted(found, key=lambda segment: (segment != ALL, segment)))


def group(incidents: Iterable[Incident]) -> list[Group]:
    """Return incidents as groups, the newest first, by the rule of `monitor.detect.groups`."""
    found = [Group(members) for members in belonging_together(incidents)]
    return sorted(found, key=lambda made: (-made.opened_ms, -made.number))


def standing_groups(conn: Connection, *, is_outline: bool = False) -> list[Group]:
    """Return what stands, counted as everywhere: grouped with what is over already.

    What others speak for is left out: a feature that is not sent is one problem, and its
    missing values no other.

    An outline has no evidence, summary and episodes: enough to count and to name by.
    """
    open_ones = reads.incidents(conn, states=OPEN_STATES, is_outline=True)
    version_ids = {incident.version_id for incident in open_ones}
    if not version_ids:
        return []
    outlines = group(reads.incidents(conn, version_ids=version_ids, is_outline=True))
    standing_ones = [made for made in outlines if made.is_open and not made.is_muted]
    return standing_ones if is_outline else _in_full(conn, standing_ones)


def _in_full(conn: Connection, outlines: Sequence[Group]) -> list[Group]:
    """Return the groups of whole rows that were made of outlines."""
    numbers = sorted({incident.number for made in outlines for incident in made.members})
    whole: dict[int, Incident] = {}
    for place in range(0, len(numbers), IN_AT_MOST):
        some = numbers[place : place + IN_AT_MOST]
        whole |= {i.number: i for i in reads.incidents(conn, numbers=some)}
    return [Group(tuple(whole[i.number] for i in made.members)) for made in outlines]


@dataclass(frozen=True)
class Listed:
    """A list of groups.

    Attributes
    ----------
    groups
        What was asked for, newest first.
    counts
        How many groups there are by state, under the other wishes.
    firing, muted
        How many stand, whatever was asked for, and how many more that others speak for.
    speakers
        The number of the group that speaks for a muted one, by its number.
    members
        How many incidents of a single feature, segment and kind the groups have.
    models, kinds
        What can be asked for.
    features
        How many features each version has (predictions not counted), by its id.
    zones
        The models' time zones, by name.
    judged_to_ms
        To when the versions are judged, by id.
    first_ms, last_ms
        When the first of all groups opened, and to when anything is judged.
    """

    groups: tuple[Group, ...]
    counts: Mapping[str, int]
    firing: int
    muted: int
    speakers: Mapping[int, int]
    members: int
    models: tuple[str, ...]
    kinds: tuple[str, ...]
    features: Mapping[int, int]
    zones: Mapping[str, str]
    judged_to_ms: Mapping[int, int | None]
    first_ms: int | None
    last_ms: int | None


def listed(
    conn: Connection,
    *,
    state: str = "all",
    model: str | None = None,
    kind: str | None = None,
    from_ms: int | None = None,
    to_ms: int | None = None,
) -> Listed:
    """Return groups; `[from_ms, to_ms)` asks for those that stood in that time."""
    models = reads.models(conn, include_archived=True)
    groups = group(reads.incidents(conn))
    asked = _wanted(groups, model, kind, from_ms, to_ms)
    shown = tuple(found for found in asked if found.state in STATES[state])
    versions = {version.id: version for m in models for version in m.versions}
    marks = [v.watermark_ms for v in versions.values() if v.watermark_ms is not None]
    return Listed(
        groups=shown,
        counts={
            name: sum(found.state in states for found in asked) for name, states in STATES.items()
        },
        firing=sum(found.is_open and not found.is_muted for found in groups),
        muted=sum(found.is_open and found.is_muted for found in groups),
        speakers=_speakers(groups, shown),
        members=sum(len(found.members) for found in shown),
        models=tuple(sorted({found.model for found in groups})),
        kinds=tuple(sorted({name for found in groups for name in found.kinds})),
        features=feature_counts(conn, {found.version_id for found in groups}),
        zones={m.name: m.timezone for m in models},
        judged_to_ms={version.id: version.watermark_ms for version in versions.values()},
        first_ms=min((found.opened_ms for found in groups), default=None),
        last_ms=max(marks, default=None),
    )


def _speakers(groups: Sequence[Group], shown: Iterable[Group]) -> dict[int, int]:
    """Return which group speaks for each muted one that is shown, where one is known."""
    out: dict[int, int] = {}
    for muted in (found for found in shown if found.is_muted):
        beside = [found for found in groups if found.version_id == muted.version_id]
        home = {i.number: found.number for found in beside for i in found.members}
        speaker = speaker_of(muted.worst, (i for found in beside for i in found.members))
        if speaker is not None and home[speaker.number] != muted.number:
            out[muted.number] = home[speaker.number]
    return out


def _wanted(
    groups: Iterable[Group],
    model: str | None,
    kind: str | None,
    from_ms: int | None,
    to_ms: int | None,
) -> list[Group]:
    return [
        found
        for found in groups
        if (model is None or found.model == model)
        and (kind is None or kind in found.kinds)
        and (to_ms is None or found.opened_ms < to_ms)
        and (from_ms is None or found.resolved_ms is None or found.resolved_ms > from_ms)
    ]


def page_of_groups(
    conn: Connection,
    *,
    state: str = "all",
    version_ids: Collection[int] | None = None,
    kind: str | None = None,
    from_ms: int | None = None,
    to_ms: int | None = None,
    after: tuple[int, int] | None = None,
    limit: int,
) -> list[Group]:
    """Return the next groups after one, newest first; `after` is its (opened, number).

    Which incidents belong together hangs on all of a version's: of those the outline is
    read, and whole rows of the page alone.
    """
    outlines = group(reads.incidents(conn, version_ids=version_ids, is_outline=True))
    found = [
        made
        for made in _wanted(outlines, None, kind, from_ms, to_ms)
        if made.state in STATES[state] and (after is None or (made.opened_ms, made.number) < after)
    ][:limit]
    return _in_full(conn, found)


def feature_counts(conn: Connection, version_ids: Iterable[int]) -> dict[int, int]:
    """Return how many features of each version are judged, predictions not counted."""
    ids = list(version_ids)
    if not ids:
        return {}
    names = reads.names_judged(conn, ids, lengths=LENGTHS)
    return {
        version_id: sum(not is_prediction(name) for name in found)
        for version_id, found in names.items()
    }


@dataclass(frozen=True)
class Over:
    """Of how many windows that an incident spans, how many were over the limit."""

    length: str
    over: int
    windows: int


@dataclass(frozen=True)
class Happened:
    """One transition of one member."""

    incident: Incident
    event: IncidentEvent


@dataclass(frozen=True)
class Opened:
    """One group with all that is recorded of it.

    `chosen` is the member whose number was asked for; `over` counts by number;
    `happened` is in event time; `why` says what keeps it open, or what ended it; `speaker` is
    what muted the chosen one, where something did.
    """

    group: Group
    chosen: Incident
    over: Mapping[int, Over]
    happened: tuple[Happened, ...]
    features: int | None
    timezone: str
    judged_to_ms: int | None
    why: Standing = NOTHING_KNOWN
    speaker: Incident | None = None


def group_of(conn: Connection, number: int) -> Group:
    """Return the group that an incident belongs to.

    Raises
    ------
    NoSuch
        There is no such incident, or it was not told yet; with the nearest numbers.
    """
    return _around(conn, number)[1]


def _around(conn: Connection, number: int) -> tuple[Incident, Group, list[Incident]]:
    """Return an incident, its group, and all of its version."""
    asked = reads.incidents(conn, number=number) if 0 < number < 2**63 else []
    if not asked:
        near = tuple(str(n) for n in reads.nearest_numbers(conn, number))
        raise NoSuch("incident", str(number)[:40], near)
    (incident,) = asked
    # A message's link is followed after its model was archived, too.
    every = reads.incidents(conn, version_ids=[incident.version_id], include_archived=True)
    found = next(
        made for made in group(every) if any(member.number == number for member in made.members)
    )
    return incident, found, every


def opened(conn: Connection, number: int) -> Opened:
    """Return the group that an incident belongs to, with all that is recorded of it.

    Raises
    ------
    NoSuch
        There is no such incident, or it was not told yet; with the nearest numbers.
    """
    incident, found, every = _around(conn, number)
    numbers = [member.number for member in found.members]
    histories = reads.histories(conn, numbers)
    model = reads.models(conn, name=incident.model, include_archived=True)[0]
    version = next(v for v in model.versions if v.id == incident.version_id)
    return Opened(
        group=found,
        chosen=incident,
        over=_over(conn, found.members),
        happened=tuple(
            sorted(
                (
                    Happened(member, event)
                    for member in found.members
                    for event in histories.get(member.number, ())
                ),
                key=lambda h: (h.event.at_ms, h.incident.number),
            )
        ),
        features=feature_counts(conn, [incident.version_id]).get(incident.version_id),
        timezone=model.timezone,
        judged_to_ms=version.watermark_ms,
        why=standing(conn, found.told, model.timezone),
        speaker=speaker_of(incident, every) if incident.muted else None,
    )


def speaker_of(muted: Incident, every: Iterable[Incident]) -> Incident | None:
    """Return what speaks for a muted incident: what stood when it opened (again) last.

    A silence speaks for everything, the schema for its feature, all rows for a segment.
    """
    at_ms = int(muted.episodes[-1][0]) if muted.episodes else muted.opened_ms

    def rank(other: Incident) -> int | None:
        stood = other.opened_ms <= at_ms and (
            other.resolved_ms is None or other.resolved_ms > at_ms
        )
        if other.number == muted.number or other.state == "withdrawn" or not stood:
            return None
        if other.kind == VOLUME:
            return 0
        if other.feature != muted.feature or other.segment not in (ALL, muted.segment):
            return None
        if other.kind == SCHEMA and muted.kind != SCHEMA:
            return 1
        return 2 if other.kind == muted.kind and other.segment == ALL else None

    ranked = [(found, other.number, other) for other in every if (found := rank(other)) is not None]
    return min(ranked, key=lambda one: one[:2])[2] if ranked else None


def _over(conn: Connection, members: Sequence[Incident]) -> dict[int, Over]:
    worst = {member.number: evidence_of(member) for member in members}
    told = {number: evidence for number, evidence in worst.items() if evidence is not None}
    if not told:
        return {}
    counts: dict[int, list[int]] = {number: [0, 0] for number in told}
    lengths = {evidence.length for evidence in told.values()}
    for number, length, exceeds, windows in reads.windows_over(conn, told, lengths=lengths):
        if told[number].length == length:
            counts[number][1] += windows
            if told[number].statistic in exceeds.split(","):
                counts[number][0] += windows
    return {
        number: Over(told[number].length, over, windows)
        for number, (over, windows) in counts.items()
        if windows
    }
