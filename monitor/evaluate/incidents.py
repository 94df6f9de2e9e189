"""From latches to incident rows: derive, match with what is stored, tell what is new."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from driftline.stats.reference import Reference
from monitor.detect.absent import ABSENT, SCHEMA
from monitor.detect.groups import ALL
from monitor.detect.incidents import Episode, Incident, IncidentState, derive
from monitor.detect.kinds import KIND_OF
from monitor.detect.knowledge import OPEN_STATES
from monitor.evaluate.shown import Shown
from monitor.storage import latches
from monitor.storage import schema as t
from monitor.storage.registry import BoundVersion


@dataclass(frozen=True)
class Touched:
    """Where latches changed: one incident's key but for its version and segment."""

    feature: str
    kind: str


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
        self._shown = Shown(conn, bound, references)
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
        touched = set(touched)
        # What is not sent any more is missing, too: that is told once.
        touched |= {Touched(key.feature, "missing") for key in touched if key.kind == SCHEMA}
        for key in sorted(touched, key=lambda key: (key.feature, key.kind)):
            statistics = [name for name, kind in KIND_OF.items() if kind == key.kind]
            over_all = self._unsent(key.feature) if key.kind == "missing" else []
            for segment in latches.segments_of(self._conn, self._bound.version_id, key.feature):
                members = latches.members(
                    self._conn, self._bound.version_id, segment, key.feature, statistics
                )
                incidents = derive(members)
                fresh.extend(
                    (incident, segment, key, _told_at(incident, over_all))
                    for incident in self._reconcile(segment, key, incidents, over_all)
                )
                if segment == ALL:
                    over_all = over_all + _spans(incidents)
        fresh.sort(key=lambda item: (item[0].opened_ms, item[1] != "all", item[2].feature))
        for incident, segment, key, told_ms in fresh:
            self._insert(incident, segment, key, told_ms)
        return self._changed

    def _unsent(self, feature: str) -> list[tuple[int, int | None]]:
        """Return when a feature was not sent at all."""
        version_id = self._bound.version_id
        return _spans(derive(latches.members(self._conn, version_id, ALL, feature, [ABSENT])))

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
            self._write(row.number, row, incident, segment, key, _told_at(incident, over_all))
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
        said, evidence = self._shown.said(row, incident, segment, key.feature)
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
                detail = said if ended is None else self._shown.ending(ended, segment, key.feature)
                self._event(number, event, at_ms, detail)

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


def _spans(incidents: Iterable[Incident]) -> list[tuple[int, int | None]]:
    """Return when incidents opened and resolved, each episode of theirs."""
    return [
        (episode.opened_ms, episode.resolved_ms)
        for incident in incidents
        for episode in incident.episodes
    ]


def _told_at(incident: Incident, over_all: list[tuple[int, int | None]]) -> int | None:
    """Return when the incident was first worth a message; None while others speak for it.

    Those of all rows speak for a segment's; what is still open when they resolve is told then.
    """
    for episode in incident.episodes:
        told_ms: int | None = episode.opened_ms
        for opened, resolved in sorted(over_all):
            if told_ms is not None and opened <= told_ms and not (resolved and resolved <= told_ms):
                told_ms = resolved
        if told_ms is not None and not (episode.resolved_ms and episode.resolved_ms <= told_ms):
            return told_ms
    return None
