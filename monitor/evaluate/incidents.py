"""From latches to incident rows: derive, match with what is stored, tell what is new."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from driftline.stats.reference import Reference
from monitor.detect.absent import SCHEMA
from monitor.detect.incidents import Episode, Incident, IncidentState, derive
from monitor.detect.kinds import KIND_OF
from monitor.detect.knowledge import OPEN_STATES
from monitor.detect.silence import VOLUME
from monitor.detect.speaking import Span, speaking, told_at
from monitor.detect.succession import relieved
from monitor.evaluate.shown import Shown
from monitor.storage import latches, promotions
from monitor.storage import schema as t
from monitor.storage.registry import BoundVersion

# What a feature can have.
_KINDS: Final = frozenset(KIND_OF.values())


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
        self._takeovers = promotions.takeovers(conn, bound.version_id)

    def update(
        self,
        touched: Iterable[Touched],
        *,
        silence_since_ms: int | None = None,
        relieved_since_ms: int | None = None,
    ) -> set[int]:
        """Derive the incidents of what was touched, in every segment, and store what changed.

        New ones are numbered in the order in which they opened.

        Parameters
        ----------
        silence_since_ms
            Where silences changed, when the first of them opened: what stood since may be
            told, or not told, otherwise.
        relieved_since_ms
            Where it changed by whom the version was relieved, from when on at the earliest.

        Returns
        -------
        set of int
            Numbers of those that are new, or that became something else to whoever was told
            of them: over, withdrawn, critical, opened again, muted. How firm they stand and
            in which words changes oftener.
        """
        fresh: list[tuple[Incident, str, Touched, int | None]] = []
        touched = set(touched)
        if silence_since_ms is not None:
            touched |= self._standing_since(silence_since_ms)
        if relieved_since_ms is not None:
            touched |= self._standing_since(relieved_since_ms - 1)
            touched |= {
                Touched(feature, KIND_OF[statistic])
                for feature, statistic in latches.standing_since(
                    self._conn, self._bound.version_id, relieved_since_ms
                )
            }
        # A broken schema speaks for whatever else its feature has.
        touched |= {
            Touched(key.feature, kind) for key in touched if key.kind == SCHEMA for kind in _KINDS
        }
        silent = silences(self._conn, self._bound.version_id) if touched else []
        by_feature: dict[str, list[Touched]] = {}
        for key in sorted(touched, key=lambda key: (key.feature, key.kind)):
            by_feature.setdefault(key.feature, []).append(key)
        for feature, keys in by_feature.items():
            segments = latches.segments_of(self._conn, self._bound.version_id, feature)
            unsent = self._derived(feature, SCHEMA, segments)
            for key in keys:
                is_schema = key.kind == SCHEMA
                found = unsent if is_schema else self._derived(feature, key.kind, segments)
                for segment in segments:
                    others = speaking(segment, key.kind, found, unsent, silent)
                    incidents = found.get(segment, [])
                    fresh.extend(
                        (incident, segment, key, told_at(incident, others))
                        for incident in self._reconcile(segment, key, incidents, others)
                    )
        fresh.sort(key=lambda item: (item[0].opened_ms, item[1] != "all", item[2].feature))
        for incident, segment, key, told_ms in fresh:
            self._insert(incident, segment, key, told_ms)
        return self._changed

    def _derived(
        self, feature: str, kind: str, segments: Collection[str]
    ) -> dict[str, list[Incident]]:
        """Return the incidents of a feature and kind by segment."""
        statistics = [name for name, opens in KIND_OF.items() if opens == kind]
        found = latches.members(self._conn, self._bound.version_id, segments, feature, statistics)
        return {
            segment: derive(relieved(members, self._takeovers))
            for segment, members in found.items()
        }

    def _standing_since(self, since_ms: int) -> set[Touched]:
        c = t.incident.c
        query = (
            sa.select(c.feature, c.kind)
            .distinct()
            .where(
                c.version_id == self._bound.version_id,
                c.kind != VOLUME,
                c.state != IncidentState.WITHDRAWN,
                sa.or_(c.resolved_ms.is_(None), c.resolved_ms > since_ms),
            )
        )
        return {Touched(feature, kind) for feature, kind in self._conn.execute(query)}

    def _reconcile(
        self,
        segment: str,
        key: Touched,
        incidents: list[Incident],
        others: Sequence[Span],
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
            self._write(row.number, row, incident, segment, key, told_at(incident, others))
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
            ("superseded" if episode.is_superseded else "resolved", episode.resolved_ms, episode)
            for episode in incident.episodes
            if episode.resolved_ms is not None
        ]
        for event, at_ms, ended in sorted(happened, key=lambda item: item[1]):
            if (event, at_ms) not in known:
                detail = said if ended is None else self._ending(ended, segment, key.feature)
                self._event(number, event, at_ms, detail)

    def _ending(self, ended: Episode, segment: str, feature: str) -> str:
        if ended.is_superseded:
            at_ms = ended.resolved_ms
            # One that nobody could know of yet ended where it began.
            by = [found for found in self._takeovers if found.since_ms <= (at_ms or 0)]
            return f"version {promotions.name_of(self._conn, by[-1].by_version_id)} took over"
        return self._shown.ending(ended, segment, feature)

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


def silences(conn: Connection, version_id: int) -> list[Span]:
    """Return when the model had no predictions after this version's."""
    c = t.incident.c
    query = sa.select(c.opened_ms, c.resolved_ms).where(
        c.version_id == version_id, c.kind == VOLUME, c.state != IncidentState.WITHDRAWN
    )
    return [(opened_ms, resolved_ms) for opened_ms, resolved_ms in conn.execute(query)]


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
