"""From latches to incident rows: derive, match with what is stored, tell what is new."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from driftline.stats.calibration import observe
from driftline.stats.episodes import CLEAR_AFTER
from driftline.stats.evidence import KIND_OF
from driftline.stats.grid import NumericGrid
from driftline.stats.groups import psi_by_feature
from driftline.stats.reference import Reference
from driftline.stats.words import Evidence, ending, part_of, summary
from monitor.detect.incidents import Episode, Incident, IncidentState, derive
from monitor.detect.knowledge import OPEN_STATES
from monitor.evaluate.judging import PaneTable
from monitor.storage import evaluation as sql
from monitor.storage import latches
from monitor.storage import schema as t
from monitor.storage.registry import BoundVersion
from monitor.windows.calendar import NOMINAL_MS, window_of

# "99.9 % sure" holds where every group expects this many rows.
HONEST_ROWS = 5
# Unseen values named in a sentence.
NAMED_VALUES = 3


@dataclass(frozen=True)
class Touched:
    """Where latches changed: one incident's key but for its version and segment."""

    feature: str
    kind: str


class _Telling(NamedTuple):
    """A finding, and the statistic of it that tells."""

    statistic: str
    finding: sa.Row[Any]


class IncidentBook:
    """Keeps one version's incident rows equal to what its latches say."""

    def __init__(
        self,
        conn: Connection,
        bound: BoundVersion,
        references: Mapping[str, Reference],
        now_ms: int,
    ) -> None:
        self._conn = conn
        self._bound = bound
        self._references = references
        self._now_ms = now_ms
        self._changed: set[int] = set()

    def update(self, touched: Iterable[Touched]) -> set[int]:
        """Derive the incidents of what was touched, in every segment, and store what changed.

        New ones are numbered in the order in which they opened.

        Returns
        -------
        set of int
            Numbers of those that are new, or that became something else to whoever was told
            of them: over, withdrawn, critical, opened again, muted. How firm they stand and
            in which words changes oftener.
        """
        fresh: list[tuple[Incident, str, Touched, int | None]] = []
        for key in sorted(touched, key=lambda key: (key.feature, key.kind)):
            statistics = [name for name, kind in KIND_OF.items() if kind == key.kind]
            over_all: list[tuple[int, int | None]] = []
            for segment in latches.segments_of(self._conn, self._bound.version_id, key.feature):
                members = latches.members(
                    self._conn, self._bound.version_id, segment, key.feature, statistics
                )
                incidents = derive(members)
                if segment == "all":
                    over_all = [
                        (episode.opened_ms, episode.resolved_ms)
                        for incident in incidents
                        for episode in incident.episodes
                    ]
                fresh.extend(
                    (incident, segment, key, _told_at(incident, segment, over_all))
                    for incident in self._reconcile(segment, key, incidents, over_all)
                )
        fresh.sort(key=lambda item: (item[0].opened_ms, item[1] != "all", item[2].feature))
        for incident, segment, key, told_ms in fresh:
            self._insert(incident, segment, key, told_ms)
        return self._changed

    def _reconcile(
        self,
        segment: str,
        key: Touched,
        incidents: list[Incident],
        over_all: list[tuple[int, int | None]],
    ) -> list[Incident]:
        """Update the rows that stand for `incidents`, withdraw the others; return the new ones."""
        c = t.incident.c
        rows = self._conn.execute(
            sa.select(t.incident)
            .where(
                c.version_id == self._bound.version_id,
                c.segment == segment,
                c.feature == key.feature,
                c.kind == key.kind,
            )
            .order_by(c.opened_ms)
        ).all()
        free = list(rows)
        unmatched = []
        for incident in incidents:
            row = next((row for row in free if _is_same(row, incident)), None)
            if row is None:
                unmatched.append(incident)
                continue
            free.remove(row)
            self._write(
                row.number, row, incident, segment, key, _told_at(incident, segment, over_all)
            )
        for row in free:
            if row.state != IncidentState.WITHDRAWN:
                self._changed.add(row.number)
                self._conn.execute(
                    sa.update(t.incident)
                    .where(c.number == row.number)
                    .values(state=IncidentState.WITHDRAWN.value, resolved_ms=row.opened_ms)
                )
                self._event(
                    row.number, "withdrawn", row.opened_ms, "late events changed its windows"
                )
        return unmatched

    def _insert(self, incident: Incident, segment: str, key: Touched, told_ms: int | None) -> None:
        number = self._conn.execute(
            sa.insert(t.incident)
            .values(
                version_id=self._bound.version_id,
                segment=segment,
                feature=key.feature,
                kind=key.kind,
                severity=incident.severity,
                state=incident.state.value,
                muted=told_ms is None,
                first_window_ms=incident.first_window_ms,
                opened_ms=incident.opened_ms,
                episodes="[]",
                summary="",
                evidence="{}",
            )
            .returning(t.incident.c.number)
        ).scalar_one()
        self._write(int(number), None, incident, segment, key, told_ms)

    def _write(
        self,
        number: int,
        row: sa.Row[Any] | None,
        incident: Incident,
        segment: str,
        key: Touched,
        told_ms: int | None,
    ) -> None:
        said, evidence = self._said(row, incident, segment, key)
        values = {
            "severity": incident.severity,
            "state": incident.state.value,
            "muted": told_ms is None,
            "first_window_ms": incident.first_window_ms,
            "opened_ms": incident.opened_ms,
            "told_ms": told_ms,
            "resolved_ms": incident.resolved_ms,
            "episodes": json.dumps(
                [
                    [episode.opened_ms, episode.first_ms, episode.last_ms, episode.resolved_ms]
                    for episode in incident.episodes
                ]
            ),
            "summary": said,
            "evidence": evidence,
        }
        if row is not None and all(row._mapping[name] == value for name, value in values.items()):
            return
        self._conn.execute(
            sa.update(t.incident).where(t.incident.c.number == number).values(**values)
        )
        if row is None or _is_news(row, incident, is_muted=told_ms is None):
            self._changed.add(number)
        known = {
            (event.event, event.at_ms)
            for event in self._conn.execute(
                sa.select(t.incident_event.c.event, t.incident_event.c.at_ms).where(
                    t.incident_event.c.incident_number == number
                )
            )
        }
        happened: list[tuple[str, int, Episode | None]] = [
            (event, at_ms, None) for at_ms, event in incident.told
        ]
        happened += [
            ("resolved", episode.resolved_ms, episode)
            for episode in incident.episodes
            if episode.resolved_ms is not None
        ]
        for event, at_ms, ended in sorted(happened, key=lambda item: item[1]):
            if (event, at_ms) not in known:
                detail = said if ended is None else self._ending(ended, segment, key)
                self._event(number, event, at_ms, detail)

    def _ending(self, episode: Episode, segment: str, key: Touched) -> str:
        """Return what ended an episode: the windows of the latch that ended last."""
        last = max(
            episode.members,
            key=lambda m: (m.latch.closed_ms or 0, NOMINAL_MS[m.length], m.level == "warning"),
        )
        held = last.statistic if last.statistic == "psi" else f"{last.statistic}_excess"
        f = t.finding.c
        query = (
            sa.select(f[held])
            .where(
                f.version_id == self._bound.version_id,
                f.length == last.length,
                f.segment == segment,
                f.feature == key.feature,
                f.start_ms < last.latch.closed_ms,
                # Windows that could not be judged neither end it nor hold it.
                f.marks.contains(f"{last.statistic}="),
            )
            .order_by(f.start_ms.desc())
            .limit(CLEAR_AFTER)
        )
        values = [float(value) for value in self._conn.execute(query).scalars()]
        is_expired = last.latch.closed_as == "expired"
        return ending(key.feature, last.statistic, last.length, values[::-1], is_expired=is_expired)

    def _event(self, number: int, event: str, at_ms: int, detail: str) -> None:
        self._conn.execute(
            sa.insert(t.incident_event).values(
                incident_number=number,
                event=event,
                at_ms=at_ms,
                recorded_ms=self._now_ms,
                detail=detail,
            )
        )

    def _said(
        self, row: sa.Row[Any] | None, incident: Incident, segment: str, key: Touched
    ) -> tuple[str, str]:
        """Return the incident's summary and its evidence as JSON.

        The window that opened it and the worst one rarely change: what is
        stored of them stands while their findings do.
        """
        first, worst = self._telling_windows(incident, segment, key)
        if row is not None and row.severity == incident.severity:
            stored = json.loads(row.evidence)
            if _tells(stored.get("opened"), first) and _tells(stored.get("worst"), worst):
                return row.summary, row.evidence
        opening = self._numbers(incident, first, segment)
        at_worst = opening if worst == first else self._numbers(incident, worst, segment)
        said = summary(opening, at_worst, self._bound.timezone)
        return said, json.dumps({"opened": asdict(opening), "worst": asdict(at_worst)})

    def _telling_windows(
        self, incident: Incident, segment: str, key: Touched
    ) -> tuple[_Telling, _Telling]:
        """Return the finding that opened the incident, and the worst one of all."""
        current = incident.episodes[0]
        opener = current.members[0]
        opening = {
            (opener.length, opener.statistic, start)
            for start, end in opener.latch.exceeding
            if end <= current.opened_ms
        }
        every = {
            (member.length, member.statistic, start)
            for member in incident.members
            for start, _ in member.latch.exceeding
        }
        rows = {}
        for length in sorted({member.length for member in incident.members}):
            f = t.finding.c
            starts = {start for name, _, start in every if name == length}
            for row in self._conn.execute(
                sa.select(t.finding).where(
                    f.version_id == self._bound.version_id,
                    f.length == length,
                    f.segment == segment,
                    f.feature == key.feature,
                    f.start_ms.in_(sorted(starts)),
                )
            ):
                rows[length, row.start_ms] = row

        def strength(place: tuple[str, str, int]) -> tuple[float, int]:
            length, statistic, start_ms = place
            return _ratio(rows[length, start_ms], statistic), -start_ms

        first, worst = max(opening, key=strength), max(every, key=strength)
        return (
            _Telling(first[1], rows[first[0], first[2]]),
            _Telling(worst[1], rows[worst[0], worst[2]]),
        )

    def _numbers(self, incident: Incident, telling: _Telling, segment: str) -> Evidence:
        """Return what one finding says of one statistic, with the part that moved."""
        statistic, found = telling.statistic, telling.finding._mapping
        length, start_ms = str(found["length"]), int(found["start_ms"])
        end_ms = window_of(start_ms, length, self._bound.timezone).end_ms
        # The reference that judged the window: another may be bound by now.
        reference = self._references[
            sql.digest_of_window(self._conn, self._bound.version_id, length, segment, start_ms)
        ]
        place = reference.gridset.names().index(str(found["feature"]))
        evidence = Evidence(
            feature=str(found["feature"]),
            statistic=statistic,
            length=length,
            start_ms=start_ms,
            end_ms=end_ms,
            rows=int(found["rows"]),
            value=float(found[statistic]),
            limit=float(found[f"{statistic}_limit"] or 0.0),
        )
        own = observe(reference, reference.profiles[segment].counts[None, :])
        if statistic != "psi":
            hits, n = own.of(statistic)
            grid = reference.gridset.features[place].grid
            return replace(
                evidence,
                excess=float(found[f"{statistic}_excess"] or 0.0),
                reference=float(hits[0, place] / max(n[0, place], 1)),
                low=float(grid.low) if isinstance(grid, NumericGrid) else None,
                high=float(grid.high) if isinstance(grid, NumericGrid) else None,
                values=self._unseen(evidence, reference) if statistic == "unseen" else (),
            )
        panes = PaneTable(self._conn, self._bound, reference, segment, start_ms, end_ms)
        seen = observe(reference, panes.windows([(start_ms, end_ms)]).profiles.counts)
        _, parts = psi_by_feature(reference.gridset, own.groups, seen.groups)
        span = reference.gridset.groups[place]
        before, window = own.groups[0, span], seen.groups[0, span]
        expected = before / max(before.sum(), 1) * window.sum()
        critical = found["psi_critical"]
        is_critical = (
            incident.severity == "critical"
            and critical is not None
            and evidence.value > float(critical)
        )
        return replace(
            evidence,
            critical=is_critical,
            limit=float(critical) if is_critical else evidence.limit,
            lower=float(found["psi_lower"]),
            is_honest=bool((expected >= HONEST_ROWS).all() and (window >= HONEST_ROWS).all()),
            part=part_of(reference.gridset.features[place], parts[0, span], before, window),
        )

    def _unseen(self, evidence: Evidence, reference: Reference) -> tuple[str, ...]:
        """Return the unseen values that came first: the same whenever this is asked."""
        u = t.unseen_value.c
        first_ms = sa.func.min(u.first_seen_ms)
        query = (
            sa.select(u.value)
            .where(
                u.version_id == self._bound.version_id,
                u.gridset == reference.gridset.digest,
                u.feature == evidence.feature,
                u.first_seen_ms < evidence.end_ms,
            )
            .group_by(u.value)
            .order_by(first_ms, u.value)
            .limit(NAMED_VALUES)
        )
        return tuple(self._conn.execute(query).scalars())


def _tells(stored: dict[str, Any] | None, telling: _Telling) -> bool:
    """Whether stored evidence is of this finding, as it stands."""
    if stored is None:
        return False
    found = telling.finding._mapping
    return bool(
        stored["statistic"] == telling.statistic
        and stored["value"] == found[telling.statistic]
        and all(stored[name] == found[name] for name in ("length", "start_ms", "rows"))
    )


def _is_news(row: sa.Row[Any], incident: Incident, *, is_muted: bool) -> bool:
    """Whether a stored row became something else to whoever was told of it."""
    found = row._mapping

    def told(state: str) -> str:
        return "open" if state in OPEN_STATES else "withdrawn" if state == "withdrawn" else "over"

    return bool(
        found["severity"] != incident.severity
        or told(found["state"]) != told(incident.state)
        or found["muted"] != is_muted
        or len(json.loads(found["episodes"])) != len(incident.episodes)
    )


def _is_same(row: sa.Row[Any], incident: Incident) -> bool:
    """Whether a stored row is this incident: it opened then, or their spans meet."""
    found = row._mapping
    if found["opened_ms"] == incident.opened_ms:
        return True
    start, end = int(found["first_window_ms"]), found["resolved_ms"]
    until = np.inf if end is None else int(end)
    own_until = np.inf if incident.resolved_ms is None else incident.resolved_ms
    return bool(start < own_until and incident.first_window_ms < until)


def _ratio(row: sa.Row[Any], statistic: str) -> float:
    found = row._mapping
    if statistic == "psi":
        value, limit = found["psi"], found["psi_limit"]
    else:
        value, limit = found[f"{statistic}_excess"], found[f"{statistic}_limit"]
    return abs(float(value)) / float(limit) if value is not None and limit else 0.0


def _told_at(
    incident: Incident, segment: str, over_all: list[tuple[int, int | None]]
) -> int | None:
    """Return when the incident was first worth a message; None while `all` speaks for it.

    What is still open when `all` resolves is told then.
    """
    if segment == "all":
        return incident.told[0][0]
    for episode in incident.episodes:
        told_ms: int | None = episode.opened_ms
        for opened, resolved in sorted(over_all):
            if told_ms is not None and opened <= told_ms and not (resolved and resolved <= told_ms):
                told_ms = resolved
        if told_ms is not None and not (episode.resolved_ms and episode.resolved_ms <= told_ms):
            return told_ms
    return None
